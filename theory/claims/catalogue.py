"""All claims by id, in the order A, B, C, D, X, U, V."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from theory.claims import cross, neighbours, paper_a, paper_b, paper_c, paper_d, validity
from theory.claims.base import Claim
from theory.errors import TheoryError

_ROOMS = (paper_a, paper_b, paper_c, paper_d, cross, neighbours, validity)
CLAIMS: Mapping[str, Claim] = {claim.id: claim for room in _ROOMS for claim in room.CLAIMS}


def choose(wanted: Iterable[str | Claim] | None) -> tuple[Claim, ...]:
    """Claims by id (any case) or as they are; all of the catalogue if `wanted` is None."""
    if wanted is None:
        return tuple(CLAIMS.values())
    if isinstance(wanted, str):
        wanted = wanted.replace(",", " ").split()
    chosen = []
    for one in wanted:
        found = one if isinstance(one, Claim) else CLAIMS.get(one.strip().upper())
        if found is None:
            raise TheoryError(f"no claim is called {one!r}; there are {', '.join(CLAIMS)}")
        chosen.append(found)
    return tuple(dict.fromkeys(chosen))
