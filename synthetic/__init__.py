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
    from synthetic.generate import generate as generate
    from synthetic.model import LlamaSpec as LlamaSpec
    from synthetic.model import initialise as initialise
    from synthetic.pocket import PocketSpec as PocketSpec
    from synthetic.pocket import load_pocket as load_pocket
    from synthetic.pocket import make_pocket as make_pocket
    from synthetic.probe import probe as probe
    from synthetic.text_spec import TextSpec as TextSpec
    from synthetic.train import train as train
    from synthetic.train_spec import TrainSpec as TrainSpec
    from synthetic.vocabulary import Vocabulary as Vocabulary

_HOMES = {
    "SyntheticError": "synthetic.errors",
    "LlamaSpec": "synthetic.model",
    "initialise": "synthetic.model",
    "TextSpec": "synthetic.text_spec",
    "Vocabulary": "synthetic.vocabulary",
    "write_documents": "synthetic.documents",
    "TrainSpec": "synthetic.train_spec",
    "train": "synthetic.train",
    "generate": "synthetic.generate",
    "probe": "synthetic.probe",
    "PocketSpec": "synthetic.pocket",
    "make_pocket": "synthetic.pocket",
    "load_pocket": "synthetic.pocket",
    "know": "synthetic.facts",
    "save_model": "synthetic.export",
    "load_model": "synthetic.export",
}
__all__ = list(_HOMES)
__getattr__, __dir__ = public("synthetic", _HOMES)
