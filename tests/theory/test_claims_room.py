"""No gap can be seen where both arms answer next to nothing, or nearly all: such a part is decided neither way."""

import numpy as np
import pytest

from theory.claims import CLAIMS, evaluate
from theory.claims.base import EDGE
from theory.records import Record
from theory.table import Table

SEEDS = range(1000, 1010)
FAR, NEAR = "similarity=1", "similarity=4"


def graded(study, levels):
    """Records of `study` in which (known, unknown) answer so many in each quarter, seed by seed a little apart."""
    rng = np.random.default_rng(0)
    records = []
    for stratum, pair in levels.items():
        for trained_on, value in zip(("known", "unknown"), pair, strict=True):
            for seed in SEEDS:
                share = float(np.clip(value + rng.normal(0, 0.002), 0, 1))
                stamp = ("synthetic/R2-2layer", study, "r", seed, "all", 40, trained_on, "zero", "graded")
                records.append(Record(*stamp, stratum, "accuracy", share, 100))
    return Table.from_records(records)


def judged(claim, levels):
    (verdict,) = evaluate(graded(CLAIMS[claim].study, levels), [claim]).verdicts
    return verdict


def outcomes(verdict):
    return [part.outcome for part in verdict.parts]


def test_a_gap_that_fades_where_there_is_room_is_reproduced():
    verdict = judged("B2", {NEAR: (0.60, 0.45), FAR: (0.30, 0.29)})
    assert (verdict.answer, outcomes(verdict)) == ("reproduced", ["supported", "supported", "reported"])
    assert not any(part.cramped for part in verdict.parts)


def test_a_gap_that_does_not_fade_is_not_reproduced():
    assert judged("B2", {NEAR: (0.60, 0.45), FAR: (0.40, 0.25)}).answer == "inconclusive"
    assert judged("B2", {NEAR: (0.60, 0.45), FAR: (0.60, 0.30)}).answer == "contradicted"


@pytest.mark.parametrize(
    ("far", "said"),
    [
        ((0.010, 0.001), "at the floor: at most 1.0% in every arm with prompt=zero split=graded stratum=similarity=1"),
        ((0.990, 0.985), "at the ceiling: at least 98.5% in every arm with prompt=zero split=graded"),
    ],
)  # fmt: skip
def test_a_gap_that_fades_into_the_floor_or_the_ceiling_is_inconclusive(far, said):
    verdict = judged("B2", {NEAR: (0.60, 0.45), FAR: far})
    assert (verdict.answer, outcomes(verdict)) == ("inconclusive", ["supported", "open", "reported"])
    fade = verdict.parts[1]
    assert fade.cramped.startswith(said)
    assert fade.note == fade.cramped
    assert fade.interval.low > 0
    assert fade.adjusted < 0.01  # it would have been supported
    assert verdict.reason == f"open: {fade.part.name} ({said.partition(':')[0]})"


def test_one_arm_above_the_edge_is_room_enough():
    """The untrained half may be at the floor: the gap to the other one is there to be seen."""
    assert judged("B2", {NEAR: (0.60, 0.45), FAR: (EDGE + 0.01, 0.0)}).answer == "reproduced"
    assert judged("B2", {NEAR: (0.60, 0.45), FAR: (EDGE - 0.01, 0.0)}).answer == "inconclusive"


def test_nothing_is_held_against_the_claim_at_the_ceiling_either():
    """A nearest quarter that is answered whole shows less of a gap than the farthest: no contradiction."""
    verdict = judged("B2", {NEAR: (0.990, 0.975), FAR: (0.60, 0.45)})
    assert outcomes(verdict) == ["open", "open", "reported"]
    assert verdict.answer == "inconclusive"


def test_the_quarters_of_x5_need_room_too():
    levels = {NEAR: (0.60, 0.45), "similarity=3": (0.4, 0.3), "similarity=2": (0.3, 0.25), FAR: (0.20, 0.17)}
    assert judged("X5", levels).answer == "reproduced"
    assert outcomes(judged("X5", levels | {FAR: (0.01, 0.001)})) == ["open"] * 3


def test_the_room_counts_in_the_family_all_the_same():
    """Leaving a part out would make the others easier."""
    open_air, floor = (judged("B2", {NEAR: (0.60, 0.45), FAR: far}) for far in ((0.30, 0.29), (0.01, 0.001)))
    assert [part.family for part in open_air.parts] == [part.family for part in floor.parts]


def test_the_rule_and_the_page_say_so():
    assert "all arms answer less than 5%, or more than 95%, is decided neither way" in CLAIMS["B2"].rule
    assert "decided neither way" not in CLAIMS["A1"].rule
    board = evaluate(graded("prompts", {NEAR: (0.60, 0.45), FAR: (0.01, 0.001)}), ["B2"])
    assert "inconclusive (at the floor), gap in the nearest minus gap in the farthest" in board.to_markdown()
    assert "at the floor: at most 1.0%" in board.to_csv()
    assert "at the floor: at most 1.0%" in board.to_text(parts=True)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_rooms_are_places_that_the_part_reads(claim):
    for part in claim.parts:
        assert {cell for room in part.rooms for cell in room} <= set(part.quantity.cells), part.name
