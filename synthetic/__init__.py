"""The laboratory on a laptop: a tiny real Llama that has read a knowledge graph. torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.lazy import public

if TYPE_CHECKING:
    from synthetic.documents import write_documents as write_documents
    from synthetic.errors import SyntheticError as SyntheticError
    from synthetic.export import load_model as load_model
    from synthetic.export import save_model as save_model
    from synthetic.facts import know as know
    from synthetic.model import LlamaSpec as LlamaSpec
    from synthetic.model import initialise as initialise
    from synthetic.pocket import PocketSpec as PocketSpec
    from synthetic.pocket import load_pocket as load_pocket
    from synthetic.pocket import make_pocket as make_pocket
    from synthetic.text_spec import TextSpec as TextSpec
    from synthetic.train_spec import TrainSpec as TrainSpec
    from synthetic.vocabulary import Vocabulary as Vocabulary

_HOMES = {
    "LlamaSpec": "synthetic.model",
    "PocketSpec": "synthetic.pocket",
    "SyntheticError": "synthetic.errors",
    "TextSpec": "synthetic.text_spec",
    "TrainSpec": "synthetic.train_spec",
    "Vocabulary": "synthetic.vocabulary",
    "initialise": "synthetic.model",
    "know": "synthetic.facts",
    "load_model": "synthetic.export",
    "load_pocket": "synthetic.pocket",
    "make_pocket": "synthetic.pocket",
    "save_model": "synthetic.export",
    "write_documents": "synthetic.documents",
}
__all__, __getattr__, __dir__ = public("synthetic", _HOMES)
