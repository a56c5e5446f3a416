"""What the tests of the studies share: a laboratory of seconds, what it is made to know, and a look at all names."""

from collections import Counter
from dataclasses import replace

import numpy as np

from synthetic.knowledge import knowledge
from synthetic.setup import DEFAULT, Shape
from theory.claims.vocabulary import NAMES, meaning

SEEDS = (0, 1, 2)


def tiny(world=None, tune=None, **others):
    """A laboratory with these fields of its world, its tuning and itself in place of tiny ones."""
    small = {"types": 3, "subjects": 44, "never_seen": 0, "relations": 3, "derived": 0, "answers": 6}
    names = {"subject_words": (1, 2), "answer_words": (1, 2)}
    return replace(
        DEFAULT,
        world=replace(DEFAULT.world, **{**small, **names, "mean_exposure": 4.0, **(world or {})}),
        tune=replace(DEFAULT.tune, **{"rate": 1e-2, "epochs": 6, "batch": 8, **(tune or {})}),
        **{
            "shape": Shape(width=32, layers=1, heads=2, hidden=32, context=128),
            "pretrain": replace(DEFAULT.pretrain, rate=8e-3),
            "shots_from": 0.14,
            "dev": 0.14,
            "prompts": 4,
            "shots": 2,
            **others,
        },
    )


def every_other(ground, cache=None):
    """What the base knows, but for the prompts: every other fact is answered under all of them, the rest Unknown."""
    found = knowledge(ground, cache)
    able = np.random.default_rng(ground.seed).permutation(len(found.greedy)) % 2 == 0
    return answered(found, able)


def answered(found, able):
    """These facts are answered under all prompts, the others never."""
    greedy = np.repeat((able & found.probed)[:, None], found.greedy.shape[1], axis=1)
    return replace(found, greedy=greedy, sampled=np.where(greedy, 0.9, 0.0))


def check_names(records):
    """No observation stands there twice, and every name is in the vocabulary."""
    seen = Counter(replace(r, value=0.0, n=1) for some in records.values() for r in some)
    assert set(seen.values()) == {1}
    for record in seen:
        for field in (*NAMES, "stratum"):
            assert meaning(field, getattr(record, field)), record
