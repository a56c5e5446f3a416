"""All theorems, in the order in which they are told."""

from theory.errors import TheoryError
from theory.theorems.base import CheckResult, Counterexample, Outcome, Theorem

from . import accuracy, calibration, coverage, flow, gradient, graph, optimum, salience

_ORDER = "T1 T2 T3 T4 T5 T6 T7 T7' T8 T8' T9 P1 P2 K1 K2 K3 K4 K5 K6".split()

THEOREMS: dict[str, Theorem] = {
    theorem.id: theorem
    for theorem in sorted(
        (
            *gradient.THEOREMS,
            *calibration.THEOREMS,
            *optimum.THEOREMS,
            *flow.THEOREMS,
            *accuracy.THEOREMS,
            *salience.THEOREMS,
            *graph.THEOREMS,
            *coverage.THEOREMS,
        ),
        key=lambda theorem: _ORDER.index(theorem.id),
    )
}


def theorem(name: str) -> Theorem:
    """The theorem called `name`, in any case, with a prime or a trailing p for one (T7', T7p)."""
    key = name.strip().upper().replace("P", "'") if name[:1] in "Tt" else name.strip().upper()
    if key not in THEOREMS:
        raise TheoryError(f"no theorem is called {name!r}; there are {', '.join(THEOREMS)}")
    return THEOREMS[key]


__all__ = ["THEOREMS", "CheckResult", "Counterexample", "Outcome", "Theorem", "theorem"]
