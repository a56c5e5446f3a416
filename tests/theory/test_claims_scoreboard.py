"""Every claim through records and `evaluate`: planted, opposite, null, missing; and what the scoreboard writes."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from theory.claims import CLAIMS, Claim, Scoreboard, Verdict, evaluate
from theory.claims.base import MIN_SEEDS
from theory.claims.decide import conclude, judge
from theory.claims.placebo import Noise, Truth, draw, effects, plan
from theory.claims.placebo_rows import itemise, to_table
from theory.claims.render import COLUMNS, safe
from theory.intervals import holm, minimum_detectable_effect, t_interval
from theory.records import RecordWriter, read_records
from theory.table import Table

QUIET = Noise(shared=0.01, trained=0.003, step=0.002, own=0.002)
EVERY = pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)


def planted(claims: list[Claim], truth: Truth, seeds: int = 12, seed: int = 0) -> Table:
    it = plan(claims, truth)
    return to_table(it, draw(it, np.random.default_rng(seed), 1, seeds, QUIET)[0])


def only(board: Scoreboard) -> Verdict:
    (verdict,) = board.verdicts
    return verdict


@EVERY
def test_a_claim_that_is_true_is_reproduced(claim: Claim) -> None:
    verdict = only(evaluate(planted([claim], "claimed"), [claim]))
    assert verdict.answer == "reproduced", verdict.reason
    assert verdict.held == (len([p for p in claim.parts if p.role != "reported"]),) * 2
    assert verdict.reason == ""
    arm = {"D5": "", "X3": "attention"}.get(claim.id, "all")
    assert (verdict.lab, verdict.run, verdict.arm) == ("theory/R1-placebo", "placebo", arm)


@EVERY
def test_a_claim_whose_opposite_is_true_is_contradicted(claim: Claim) -> None:
    verdict = only(evaluate(planted([claim], "opposite"), [claim]))
    assert verdict.answer == "contradicted"
    opposed = [part.part.name for part in verdict.parts if part.outcome == "opposed"]
    assert verdict.reason == "opposite: " + "; ".join(opposed)


@EVERY
def test_at_the_boundary_records_and_arrays_give_the_same_verdicts(claim: Claim) -> None:
    """In a family of its own, or other claims that find rows here would share the correction."""
    claim = replace(claim, id=f"Z{claim.id}")
    it = plan([claim], "null")
    values = draw(it, np.random.default_rng(5), 12, 8)
    fast = conclude(judge([part for _, part in it.parts], effects(it, values)))
    answers = {1: "reproduced", 0: "inconclusive", -1: "contradicted"}
    slow = [only(evaluate(to_table(it, one), [claim])).answer for one in values]
    assert slow == [answers[int(v)] for v in fast]
    assert slow.count("inconclusive") >= 10


@EVERY
def test_every_cell_that_decides_is_missed_when_it_is_not_there(claim: Claim) -> None:
    table = planted([claim], "claimed", seeds=4)
    deciding = [cell for p in claim.parts if p.role == "decides" for cell in p.quantity.cells]
    for cell in dict.fromkeys(deciding):
        stratum = cell.stratum
        there = table.mask(
            arm=cell.arm_in("all"),
            trained_on=cell.trained_on,
            metric=cell.metric,
            prompt=cell.prompt,
            split=cell.split,
        )
        if "|" not in stratum:
            there &= table.mask(stratum=stratum)
        assert there.any()
        verdict = only(evaluate(table.take(~there), [claim]))
        assert verdict.answer == "missing"
        assert verdict.reason.startswith(f"no rows with study={claim.study} metric=")
        named = [w for w in verdict.missing if f"metric={cell.metric} trained_on={cell.trained_on} " in w]
        assert any(f"prompt={cell.prompt} split={cell.split} stratum={stratum} at " in w for w in named), cell


def test_a_missing_dev_curve_is_the_reason_when_the_early_stop_cannot_be_found() -> None:
    table = planted([CLAIMS["A1"]], "claimed")
    verdict = only(evaluate(table.take(~table.mask(split="dev", trained_on="lesser")), ["A1"]))
    assert verdict.answer == "missing"
    assert verdict.reason == (
        "no rows with study=salience metric=accuracy trained_on=lesser arm=all prompt=zero split=dev stratum=all at "
        "every step (the early stop is the step with the best dev accuracy)"
    )


def test_a_study_nobody_wrote_is_missing_in_every_laboratory() -> None:
    table = planted([CLAIMS["A1"]], "claimed")
    verdict = only(evaluate(table, ["C1"]))
    assert (verdict.answer, verdict.lab, verdict.run) == ("missing", "theory/R1-placebo", "-")
    assert verdict.reason == "no rows with study=slick"
    nobody = evaluate(Table.from_records([]))
    assert len(nobody.verdicts) == 41
    assert {v.answer for v in nobody.verdicts} == {"missing"}
    assert "41 missing" in nobody.to_text()


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_too_few_seeds_are_inconclusive_with_the_reason(seeds: int) -> None:
    table = planted([CLAIMS["A1"]], "claimed", seeds=6)
    kept = table.mask(seed=tuple(range(seeds))) | table.mask(trained_on="best")
    verdict = only(evaluate(table.take(kept), ["A1"]))
    if seeds == 0:
        assert verdict.answer == "missing"
        return
    assert verdict.answer == "inconclusive"
    words = f"{seeds} paired {'seed' if seeds == 1 else 'seeds'}, {MIN_SEEDS} are needed"
    assert verdict.reason == f"{words}; {6 - seeds} seeds left out, not in every cell"
    part = verdict.parts[0]
    assert part.outcome == "too few seeds"
    assert part.seeds == seeds
    assert part.interval is not None
    assert np.isfinite(part.interval.mean)
    assert verdict.parts[1].outcome == "reported"
    json.loads(evaluate(table.take(kept), ["A1"]).to_json())


def test_contradiction_by_one_part_stands_even_if_another_is_missing() -> None:
    table = planted([CLAIMS["C1"]], "opposite")
    verdict = only(evaluate(table.take(~table.mask(split="dev")), ["C1"]))
    assert verdict.answer == "contradicted"
    assert [part.outcome for part in verdict.parts] == ["opposed", "missing"]


def test_a_part_asked_only_where_it_can_be_does_not_make_a_claim_missing() -> None:
    table = planted([CLAIMS["B1"]], "claimed")
    verdict = only(evaluate(table.take(~table.mask(arm="all@instruct")), ["B1"]))
    assert verdict.answer == "reproduced"
    assert verdict.held == (2, 2)
    assert [part.outcome for part in verdict.parts] == ["supported", "supported", "not asked"]
    opposite = planted([CLAIMS["B1"]], "opposite")
    assert only(evaluate(opposite, ["B1"])).parts[2].outcome == "opposed"


def test_numbers_of_a_part() -> None:
    claim = CLAIMS["A1"]
    it = plan([claim], "published")
    values = draw(it, np.random.default_rng(3), 1, 10)
    part = only(evaluate(to_table(it, values[0]), ["A1"])).parts[0]
    x = 100 * effects(it, values)[0][0]
    expected = t_interval(x)
    assert part.interval is not None
    assert part.bootstrap is not None
    assert (part.interval.mean, part.interval.low, part.interval.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert part.bootstrap.low < part.interval.mean < part.bootstrap.high
    assert part.bootstrap.method == "bootstrap (BCa)"
    assert part.p == pytest.approx(expected.pvalue())
    assert (part.family, part.adjusted) == (1, part.p)
    assert part.detectable == pytest.approx(float(minimum_detectable_effect(x.std(ddof=1), 10)))
    assert part.seeds == 10
    assert part.overlaps is (expected.low <= 10 and expected.high >= 5)


def test_overlap_with_the_papers_number() -> None:
    for effect, meets in ((0.075, True), (0.04, False), (0.2, False)):
        it = plan(["A1"], "claimed", {"points": effect})
        values = draw(it, np.random.default_rng(0), 1, 10, QUIET)
        assert only(evaluate(to_table(it, values[0]), ["A1"])).parts[0].overlaps is meets


def test_the_family_is_whole_whichever_claims_are_asked_for() -> None:
    family = [claim for claim in CLAIMS.values() if claim.family == "A"]
    it = plan(family, "claimed")
    table = to_table(it, draw(it, np.random.default_rng(1), 1, 6)[0])
    whole = {v.claim.id: v for v in evaluate(table).verdicts}
    alone = only(evaluate(table, ["A3"]))
    assert alone == whole["A3"]
    deciding = [part for v in evaluate(table, family).verdicts for part in v.parts if part.family]
    assert {part.family for part in deciding} == {len(deciding)} == {11}
    assert [part.adjusted for part in deciding] == pytest.approx(
        holm(np.array([part.p for part in deciding]))
    )
    assert any(part.adjusted > part.p for part in deciding)


def test_the_same_claim_under_another_definition_takes_the_place_of_the_catalogues() -> None:
    table = planted([CLAIMS["D1"]], "claimed")
    stricter = replace(CLAIMS["D1"], parts=(replace(CLAIMS["D1"].parts[0], null=0.5),))
    assert only(evaluate(table, [stricter])).answer == "contradicted"
    assert only(evaluate(table, ["D1"])).answer == "reproduced"


def test_runs_are_judged_apart_and_labs_side_by_side() -> None:
    it = plan(["D1"], "claimed")
    other = plan(["D1"], "opposite")
    rng = np.random.default_rng(2)
    tables = [
        to_table(it, draw(it, rng, 1, 6, QUIET)[0], "synthetic/R2-2layer", "a"),
        to_table(other, draw(other, rng, 1, 6, QUIET)[0], "synthetic/R2-2layer", "b"),
        to_table(it, draw(it, rng, 1, 6, QUIET)[0], "realmodels/R3-smollm2", "a"),
    ]
    table = Table.from_records(record for t in tables for record in t.records())
    board = evaluate(table, ["D1"])
    assert [(v.lab, v.run, v.answer) for v in board.verdicts] == [
        ("synthetic/R2-2layer", "a", "reproduced"),
        ("synthetic/R2-2layer", "b", "contradicted"),
        ("realmodels/R3-smollm2", "a", "reproduced"),
    ]
    text = board.to_text()
    assert "synthetic/R2-2layer a" in text
    assert "realmodels/R3-smollm2  " in text
    assert "2 reproduced, 1 contradicted, 0 inconclusive, 0 missing." in text


def test_a_lora_laboratory_answers_the_same_claims() -> None:
    it = plan(["A1", "X3"], "claimed", arm="lora")
    table = to_table(it, draw(it, np.random.default_rng(0), 1, 12, QUIET)[0], "realmodels/R4-llama-2-7b")
    found = evaluate(table, ["A1", "X3"]).verdicts
    assert [(v.answer, v.arm) for v in found] == [("reproduced", "lora"), ("reproduced", "lora")]


def test_claims_can_be_put_to_an_arm_of_ones_choice() -> None:
    rng = np.random.default_rng(0)
    full, attention = plan(["A1"], "opposite"), plan(["A1"], "claimed", arm="attention")
    tables = [to_table(it, draw(it, rng, 1, 8, QUIET)[0]) for it in (full, attention)]
    table = Table.from_records(record for one in tables for record in one.records())
    by_arm = {arm: only(evaluate(table, ["A1"], arm)) for arm in ("", "attention", "values")}
    assert {arm: (v.answer, v.arm) for arm, v in by_arm.items()} == {
        "": ("contradicted", "all"),
        "attention": ("reproduced", "attention"),
        "values": ("missing", "values"),
    }


def test_records_read_back_from_a_file_give_the_same_scoreboard(tmp_path) -> None:
    table = planted([CLAIMS["A1"], CLAIMS["C4"]], "claimed")
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.write_many(table.records())
    assert evaluate(read_records(tmp_path / "records.jsonl")) == evaluate(table)


@pytest.mark.parametrize(
    ("shared", "method"), [(True, "crossed seeds x items"), (False, "t over seed means (items nested)")]
)
def test_items_are_crossed_or_nested(shared: bool, method: str) -> None:
    table = itemise(planted([CLAIMS["A1"]], "claimed", seeds=5), 60, np.random.default_rng(0), shared=shared)
    part = only(evaluate(table, ["A1"])).parts[0]
    assert part.interval is not None
    assert part.interval.method == method
    assert part.seeds == 5
    assert part.p == pytest.approx(part.interval.pvalue())


def test_the_items_of_one_seed_are_not_counted_as_seeds() -> None:
    table = itemise(planted([CLAIMS["A1"]], "claimed", seeds=1), 60, np.random.default_rng(0))
    part = only(evaluate(table, ["A1"])).parts[0]
    assert (part.outcome, part.seeds) == ("too few seeds", 1)
    assert part.interval is not None
    assert part.interval.n == 60
    assert "seeds not covered" in part.interval.method


def test_mixed_rows_fall_back_to_seeds() -> None:
    table = planted([CLAIMS["A1"]], "claimed", seeds=5)
    items = itemise(table, 60, np.random.default_rng(0))
    lesser, best = items.mask(trained_on="lesser"), table.mask(trained_on="best")
    mixed = Table.from_records([*items.take(lesser).records(), *table.take(best).records()])
    part = only(evaluate(mixed, ["A1"])).parts[0]
    assert part.interval is not None
    assert part.interval.method == "t"


def test_what_is_written(tmp_path) -> None:
    board = evaluate(planted([CLAIMS["A1"], CLAIMS["C1"]], "claimed"), ["A1", "C1", "C2"])
    paths = board.write(tmp_path / "new" / "folder")
    names = ["scoreboard.json", "scoreboard.csv", "scoreboard.md"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(names)
    page = paths[2].read_text().splitlines()
    assert page[0] == "| claim | paper | theory/R1-placebo |"
    assert page[2].startswith("| A1 lesser-known rows hurt | 5 to 10 (paper) | reproduced, ")
    assert [line[2:4] for line in page[2:]] == ["A1", "C1"]
    content = json.loads(paths[0].read_text())
    assert [v["claim"] for v in content["verdicts"]] == ["A1", "C1", "C2"]
    assert content["level"] == 0.05
    first = content["verdicts"][0]
    assert first["verdict"] == "reproduced"
    assert first["rule"] == CLAIMS["A1"].rule
    assert first["mark"] == "paper"
    part = first["parts"][0]
    assert part["outcome"] == "supported"
    assert part["low"] < part["effect"] < part["high"]
    assert (part["published_low"], part["published_high"], part["published_mark"]) == (5, 10, "paper")
    assert part["overlaps"] is True
    assert content["verdicts"][2]["parts"][0]["effect"] is None
    assert content["verdicts"][2]["parts"][0]["missing"][0].startswith("study=slick metric=fitted")

    rows = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    assert len(rows) == sum(len(v["parts"]) for v in content["verdicts"])
    assert rows[0]["claim"] == "A1"
    assert float(rows[0]["effect"]) == part["effect"]
    assert {row["outcome"] for row in rows} >= {"supported", "missing", "reported"}
    below = [row for row in rows if row["claim"] == "C1"]
    assert float(below[0]["effect"]) < 0  # a negative number stays a number


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "\n-1"])
def test_text_that_a_spreadsheet_would_run_is_disarmed(text: str) -> None:
    assert safe(text) == "'" + text.replace("\r", "\n")
    board = evaluate(planted([CLAIMS["A1"]], "claimed"), ["A1"])
    attacked = Scoreboard((replace(only(board), run=text),))
    (row, *_) = csv.DictReader(io.StringIO(attacked.to_csv()))
    assert row["run"].startswith("'")


def test_numbers_none_and_lists_in_cells() -> None:
    assert (safe(-1.5), safe(0), safe(None), safe("a=b"), safe([])) == (-1.5, 0, "", "a=b", "")
    assert safe(["=a", "b"]) == "'=a; b"


def test_the_text_has_a_line_a_claim_and_says_how_it_was_decided() -> None:
    table = planted([CLAIMS["A1"], CLAIMS["A2"], CLAIMS["C1"]], "claimed")
    board = evaluate(table, ["A1", "A2", "A4", "C1"])
    lines = board.to_text().splitlines()
    assert lines[0].split() == [word for column in COLUMNS if column != "lab" for word in column.split()]
    claims = {line.split()[0]: line for line in lines[1:] if line[:1].strip()}
    assert list(claims)[:4] == ["A1", "A2", "A4", "C1"]
    assert "reproduced" in claims["A1"]
    assert "1/1" in claims["A1"]
    assert "5 to 10 (paper) ~" in claims["A1"]
    assert "points" in claims["A1"]
    assert "missing" in claims["A4"]
    below = lines[lines.index(claims["A4"]) + 1]
    assert below.startswith("     no rows with study=salience metric=attention_subject trained_on=lesser")
    assert "-14 (paper) !" in claims["C1"]
    assert lines[-4] == "Laboratory: theory/R1-placebo."
    assert lines[-3] == "3 reproduced, 0 contradicted, 0 inconclusive, 1 missing."
    assert "Two-sided 5% over seeds after Holm's correction" in lines[-2]

    detailed = board.to_text(parts=True)
    squeezed = " ".join(detailed.split())
    assert "best-known half minus whole set at the early stop (not below -2)" in squeezed
    assert (
        "subject attention after lesser-known rows minus untuned (below 0): no rows with study=salience"
        in squeezed
    )
    first = [line.split()[0] for line in detailed.splitlines() if line.strip()]
    assert [first.count(word) for word in ("supported", "reported", "missing")] == [4, 2, 2]


def test_the_text_of_all_claims_fits_a_terminal() -> None:
    table = planted(list(CLAIMS.values()), "claimed", seeds=3)
    text = evaluate(table.take(~table.mask(study="beliefs"))).to_text(parts=True)
    assert max(map(len, text.splitlines())) <= 120


def test_an_empty_scoreboard_can_be_written() -> None:
    assert Scoreboard(()).to_csv() == ""
    assert json.loads(Scoreboard(()).to_json())["verdicts"] == []
    assert "0 reproduced" in Scoreboard(()).to_text()


def test_claims_whose_study_nobody_ran_share_a_line() -> None:
    table = planted([CLAIMS["A1"]], "claimed")
    text = evaluate(table).to_text()
    assert "No rows with study=prompts: B1, B2, B3, B4, B5, B6, B7." in text
    assert not any(line.startswith("B1") for line in text.splitlines())
    assert any(line.startswith("A4") and "missing" in line for line in text.splitlines())
    alone = evaluate(table, ["B1"]).to_text()
    assert any(line.startswith("B1") and "missing" in line for line in alone.splitlines())
    assert "No rows with study=" not in alone


def test_the_page_shows_the_part_that_settled_the_verdict() -> None:
    """A4's first part holds and its second is opposed: the page names the second, with its numbers."""
    claim = CLAIMS["A4"]
    it = plan([claim], "claimed")
    values = draw(it, np.random.default_rng(0), 1, 12, QUIET)[0]
    best = [
        k for k, (_, cell) in enumerate(it.keys) if cell.trained_on == "best" and cell.metric != "accuracy"
    ]
    values[:, best] -= 0.5
    verdict = only(evaluate(to_table(it, values), [claim]))
    assert [part.outcome for part in verdict.parts[:2]] == ["supported", "opposed"]
    page = Scoreboard((verdict,)).to_markdown()
    opposed = verdict.parts[1]
    assert f"**contradicted**, {opposed.part.name}: {opposed.interval.mean:.1f} [" in page
