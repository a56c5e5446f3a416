"""Which facts are for what. Subjects are shared out, so that no subject serves two purposes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.base import Base
from synthetic.errors import SyntheticError
from theory.world import World

if TYPE_CHECKING:
    from synthetic.setup import Setup

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Splits:
    """Facts by use, in ascending order, facts that were withheld in pretraining included (see `stated`)."""

    train: Ints  # to choose rows from
    dev: Ints
    test: Ints
    ood_relation: Ints  # relations held out, subjects of `test`
    ood_type: Ints  # types held out, subjects of that kind
    unseen: Ints  # never-seen subjects, relations trained on
    unseen_train: Ints  # other never-seen subjects, to make rows of
    shots: Ints  # to show in few-shot prompts; stated ones of every relation
    relations: Ints  # the relations trained on
    held_out: Ints  # the other relations of the types trained on


def split(base: Base) -> Splits:
    """Shares of subjects as the setup says, alike at every level of popularity."""
    setup, world = base.setup, base.world
    spec = world.spec
    trained_types = spec.types - setup.foreign
    relations, held_out = relations_of(setup, world)

    use = _uses(world, base.seed, (setup.shots_from, setup.dev, setup.test))
    of, relation = use[world.subject], world.relation
    told = np.isin(relation, relations)
    splits = Splits(
        train=np.flatnonzero(told & (of == _TRAIN)),
        dev=np.flatnonzero(told & (of == _DEV)),
        test=np.flatnonzero(told & (of == _TEST)),
        ood_relation=np.flatnonzero(np.isin(relation, held_out) & (of == _TEST)),
        ood_type=np.flatnonzero((world.relation_type[relation] >= trained_types) & (of == _TEST)),
        unseen=np.flatnonzero(told & (of == _UNSEEN)),
        unseen_train=np.flatnonzero(told & (of == _UNSEEN_TRAIN)),
        shots=np.flatnonzero((of == _SHOTS) & world.stated),
        relations=relations,
        held_out=held_out,
    )
    for name in ("train", "dev", "test", "shots"):
        if not len(getattr(splits, name)):
            raise SyntheticError(f"WorldSpec.subjects is {spec.subjects}: too few to leave facts for {name}")
    return splits


def relations_of(setup: Setup, world: World) -> tuple[Ints, Ints]:
    """The relations trained on and the other ones of the same types."""
    place = np.arange(world.spec.n_relations) % world.spec.relations
    own = world.relation_type < world.spec.types - setup.foreign
    return np.flatnonzero(own & (place >= setup.held_out)), np.flatnonzero(own & (place < setup.held_out))


def stated(base: Base, facts: ArrayLike) -> Ints:
    """Those that pretraining stated at least once."""
    facts = np.asarray(facts, np.int64)
    return np.asarray(facts[base.world.stated[facts]])


_SHOTS, _DEV, _TEST, _TRAIN, _UNSEEN, _UNSEEN_TRAIN = range(6)


def _uses(world: World, seed: int, shares: tuple[float, float, float]) -> Ints:
    """(subjects,) what each is for. Within a type they are ranked by popularity and every run of neighbours is
    shared out in the same way, in a random order."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5B17]))
    use = np.empty(world.spec.n_subjects, np.int64)
    limits = np.cumsum(shares)
    run = max(1, round(1 / min(shares)))
    for of_type in range(world.spec.types):
        subjects = np.flatnonzero((world.subject_type == of_type) & world.seen)
        subjects = subjects[np.argsort(world.popularity_rank[subjects])]
        level = np.arange(len(subjects)) // run
        order = np.lexsort((rng.random(len(subjects)), level))
        within = (np.arange(len(subjects)) % run + 0.5) / run
        use[subjects[order]] = np.searchsorted(limits, within, side="right")
        fresh = rng.permutation(np.flatnonzero((world.subject_type == of_type) & ~world.seen))
        use[fresh[: len(fresh) // 2]] = _UNSEEN
        use[fresh[len(fresh) // 2 :]] = _UNSEEN_TRAIN
    return use
