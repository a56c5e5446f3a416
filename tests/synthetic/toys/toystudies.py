"""Cheap deterministic studies, with every way to misbehave; what they do is said in the variable TOY (JSON)."""

import json
import os
import random
import signal
import time
from dataclasses import dataclass, field

import numpy as np

from synthetic.errors import SyntheticError
from synthetic.studies import Study
from theory.files import write_whole
from theory.schema import Record


@dataclass(frozen=True)
class ToySetup:
    rung: str
    scale: float
    how: str = "well"
    where: int = 100
    memory: float = 50.0
    inner: dict = field(default_factory=lambda: {"a": 1, "b": 2})


def setup_for(profile, rung):
    return ToySetup(
        rung, {"quick": 0.5, "full": 1.0, "paper": 2.0}[profile], **json.loads(os.environ.get("TOY", "{}"))
    )


def setup_from(mapping):
    if unknown := sorted(set(mapping) - set(ToySetup.__dataclass_fields__)):
        raise SyntheticError(f"Setup: no field {unknown[0]!r}")
    if mapping["scale"] <= 0:
        raise SyntheticError(f"Setup.scale is {mapping['scale']}; give a number above 0")
    return ToySetup(**mapping)


PACE = float(os.environ.get("TOY_PACE", "0"))  # seconds of a base; records do not depend on it


def shared_seconds(setup):
    return 2.0 * setup.scale


def _misbehave(setup, cache):
    match setup.how:
        case "refuse":
            raise SyntheticError("800 rows an arm are asked for, and there are 612 facts; ask for fewer")
        case "bug":
            raise ZeroDivisionError("a bug")
        case "memory":
            raise MemoryError
        case "torch memory":
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            print("the end is near")
            os._exit(3)
        case "full":
            raise OSError(28, "No space left on device", str(cache / "base"))
        case "forever":
            time.sleep(600)


def _base(setup, seed, cache):
    """A file in the cache that takes time to make; who worked and what was made is noted beside it."""
    with open(cache / "workers", "a") as file:
        file.write(f"{os.getpid()}\n")
    path = cache / f"base-{setup.rung}-{setup.scale}-{seed}.json"
    if not path.exists():
        time.sleep(PACE)
        with open(cache / "made", "a") as file:
            file.write(f"{path.name}\n")
        write_whole(path, json.dumps(np.random.default_rng(seed).random()))
    return json.loads(path.read_text())


def _salience(setup, seed, cache, report):
    base = _base(setup, seed, cache)
    if seed == setup.where:
        _misbehave(setup, cache)
    rng = np.random.default_rng([seed, len(setup.rung)])
    stray = random.random() + np.random.random()  # noqa: NPY002
    for trained_on, level in (("best", 0.8), ("lesser", 0.6), ("whole", 0.7), ("random", 0.7)):
        report(f"tuning {trained_on}", level)
        time.sleep(PACE / 4)
        for step in (0, 100):
            for split in ("dev", "test"):
                for stratum in ("all", "popularity=low", "popularity=high"):
                    value = level + 0.02 * rng.standard_normal() + 1e-3 * stray + 1e-3 * base
                    where = (step, trained_on, "zero", split, stratum, "accuracy", value, 200)
                    yield Record(f"synthetic/{setup.rung}", "salience", "-", seed, "all", *where)


def _slick(setup, seed, cache, report):
    _base(setup, seed, cache)
    time.sleep(PACE / 2)
    value = float(np.random.default_rng(seed).random())
    where = ("all", 0, "known", "zero", "test", "all", "accuracy")
    return [Record(f"synthetic/{setup.rung}", "slick", "-", seed, *where, value, 9)]


def _wrong(setup, seed, cache, report):
    good = Record(
        f"synthetic/{setup.rung}", "validity", "-", seed, "all", 0, "x", "zero", "test", "all", "m", 0.5, 1
    )
    changes = {
        "nothing": None,
        "lab": {"lab": "synthetic/R0"},
        "seed": {"seed": seed + 1},
        "study": {"study": "slick"},
        "value": {"value": float("nan")},
        "twice": {"value": 0.25},
    }[setup.how]
    return (
        []
        if changes is None
        else [good, Record(**{**{n: getattr(good, n) for n in good.__slots__}, **changes})]
    )


SALIENCE = Study(
    "salience", _salience, lambda s: ("best", "lesser"), lambda s: 10 * s.scale, lambda s: s.memory
)
SLICK = Study(
    "slick", _slick, lambda s: ("known",) if s.rung != "R1-fixed" else (), lambda s: 5.0, lambda s: s.memory
)
WRONG = Study("validity", _wrong, lambda s: ("x",), lambda s: 0.0)
