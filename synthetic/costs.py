"""What a base costs, from the size of its network and of what it reads."""

from __future__ import annotations

from functools import cache

from synthetic.base import vocabulary_of
from synthetic.setup import DEFAULT, Setup
from theory.world import make_world

VOCABULARY = 1500  # words, about
TOKENS = 9.3  # a statement, in documents of the default mixture
SECONDS = (
    2.6e-10  # a parameter and token: reading once, and the share of probing; one core, five rungs within 12%
)


@cache
def shared_seconds(setup: Setup) -> float:
    """World, pretraining and probing of one seed, on one core of the reference machine."""
    world = make_world(setup.world, 0)
    parameters = setup.shape.llama(len(vocabulary_of(setup, world))).parameters
    return SECONDS * parameters * TOKENS * float(world.exposure.sum())


def scaled(setup: Setup, seconds: float) -> float:
    """What takes `seconds` in the default laboratory, in one of another size: by its subjects and parameters."""
    default = DEFAULT.shape.llama(VOCABULARY).parameters * DEFAULT.world.subjects
    return seconds * setup.shape.llama(VOCABULARY).parameters * setup.world.subjects / default
