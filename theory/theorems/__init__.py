"""All theorems, in the order in which they are told."""

from theory.errors import TheoryError
from theory.theorems import accuracy as accuracy
from theory.theorems import calibration as calibration
from theory.theorems import coverage as coverage
from theory.theorems import flow as flow
from theory.theorems import gradient as gradient
from theory.theorems import graph as graph
from theory.theorems import optimum as optimum
from theory.theorems import salience as salience
from theory.theorems.base import CheckResult, Counterexample, Outcome, Theorem

_TOLD = [*("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T7'", "T8", "T8'", "T9"), "P1", "P2"]
_TOLD += ["K1", "K2", "K3", "K4", "K5", "K6"]
_FILES = (gradient, calibration, optimum, flow, accuracy, salience, graph, coverage)
_FOUND = {theorem.id: theorem for file in _FILES for theorem in file.THEOREMS}

THEOREMS: dict[str, Theorem] = {key: _FOUND[key] for key in _TOLD}


def theorem(name: str) -> Theorem:
    """The theorem called `name`, in any case, with a prime or a trailing p for one (T7', T7p)."""
    key = name.strip().upper()
    if key.startswith("T"):
        key = key.replace("P", "'")
    if key not in THEOREMS:
        raise TheoryError(f"no theorem is called {name!r}; there are {', '.join(THEOREMS)}")
    return THEOREMS[key]


__all__ = ["THEOREMS", "CheckResult", "Counterexample", "Outcome", "Theorem", "theorem"]
