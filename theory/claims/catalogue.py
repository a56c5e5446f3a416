"""All claims by id, in the order A, B, C, D, X, U, V."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from theory.claims import cross, neighbours, paper_a, paper_b, paper_c, paper_d, validity
from theory.claims.base import Claim
from theory.errors import TheoryError

_ROOMS = (paper_a, paper_b, paper_c, paper_d, cross, neighbours, validity)
CLAIMS: Mapping[str, Claim] = {claim.id: claim for room in _ROOMS for claim in room.CLAIMS}


def choose(wanted: Iterable[str | Claim] | None) -> tuple[Claim, ...]:
    """Claims by id (any case, several joined by commas) or as they are; all if `wanted` is None."""
    if wanted is None:
        return tuple(CLAIMS.values())
    found: list[Claim] = []
    for one in (wanted,) if isinstance(wanted, str) else wanted:
        found += [one] if isinstance(one, Claim) else map(_named, one.replace(",", " ").split())
    return tuple(dict.fromkeys(found))


def _named(name: str) -> Claim:
    if name.upper() not in CLAIMS:
        raise TheoryError(f"no claim is called {name!r}; there are {', '.join(CLAIMS)}")
    return CLAIMS[name.upper()]
