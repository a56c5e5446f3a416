"""The network before any fine-tuning: a world, told in documents and read once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from synthetic.cache import Arrays, kept
from synthetic.documents import write_documents
from synthetic.errors import SyntheticError
from synthetic.model import LlamaSpec, Weights, initialise
from synthetic.train import train
from synthetic.vocabulary import SPECIAL, Vocabulary
from theory.world import World, make_world

if TYPE_CHECKING:
    from synthetic.setup import (
        Setup,  # its code decides what is asked for, not what comes out: see `cache.kept`
    )


class Names(NamedTuple):
    """The tokens of every name."""

    subjects: tuple[tuple[int, ...], ...]
    relations: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Base:
    """One seed of a laboratory, pretrained. The weights must not be written to."""

    setup: Setup
    seed: int
    world: World
    vocabulary: Vocabulary
    spec: LlamaSpec
    weights: Weights

    @cached_property
    def names(self) -> Names:
        world, spec = self.world, self.world.spec
        named = (
            (world.subject_name, spec.n_subjects),
            (world.relation_name, spec.n_relations),
            (world.answer_name, spec.n_answers),
        )
        return Names(*(tuple(tuple(self.vocabulary.encode(name(i))) for i in range(n)) for name, n in named))


def base(setup: Setup, seed: int, cache: Path | None = None, progress: str | None = None) -> Base:
    """The base of a setup and a seed: the same each time, taken from the cache if it is there."""
    world = make_world(setup.world, seed)
    vocabulary = vocabulary_of(setup, world)
    spec = setup.shape.llama(len(vocabulary))

    def make() -> Arrays:
        documents = write_documents(world, setup.text, vocabulary, seed)
        how = replace(setup.pretrain, seed=seed)
        trained = train(initialise(spec, seed), spec, documents, how, progress=progress)
        return {name: tensor.numpy() for name, tensor in trained.weights.items()} | {
            "losses": trained.losses.astype(np.float32)
        }

    arrays = dict(kept(cache, "base", base_key(setup, seed), __name__, make))
    losses = arrays.pop("losses")
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    if shapes != spec.shapes() or not np.isfinite(losses).all():
        raise SyntheticError(
            f"{cache}: the base of seed {seed} has other tensors than its spec; empty the cache"
        )
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Base(setup, seed, world, vocabulary, spec, weights)


def vocabulary_of(setup: Setup, world: World) -> Vocabulary:
    """The words of world and text, and those of the question that fine-tuning teaches."""
    told = Vocabulary.of(world, setup.text).words
    if both := sorted(set(setup.words()) & set(told)):
        raise SyntheticError(
            f"Setup: {both[0]!r} is a name of the world; question and abstention need new words"
        )
    return Vocabulary((*SPECIAL, *setup.words(), *told[len(SPECIAL) :]))


def base_key(setup: Setup, seed: int) -> dict[str, object]:
    """Everything that decides a base, the code apart."""
    parts = {name: asdict(getattr(setup, name)) for name in ("world", "text", "shape", "pretrain")}
    return {**parts, "words": setup.words(), "seed": seed}
