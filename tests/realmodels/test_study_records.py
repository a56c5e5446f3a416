"""Records of a study against numbers worked out by hand, and the looks of a study."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from realmodels.errors import RealmodelsError
from realmodels.presets import NUMBERS, PRESETS, SOURCES, preset_named, values_of
from realmodels.prompting import style_named
from realmodels.recipe import Recipe
from realmodels.rows import Row
from realmodels.study_arms import Arm, Result, along_steps, hook_named, read_result
from realmodels.study_exam import Exam, Sat, sit
from realmodels.study_gaps import gap_table, interval_of, table
from realmodels.study_records import Paper, Stamp, abstained, commonest, items, rate
from realmodels.study_settings import Settings, read_settings
from realmodels.study_table import Order, Study, available, study_named
from realmodels.study_verdicts import conclude, write_summary
from theory.claims import CLAIMS
from theory.claims.base import Measured
from theory.claims.evidence import split_studies
from theory.records import read_records, write_records
from theory.table import Table

STYLE = style_named("qa")
STAMP = Stamp("realmodels/R3-x", "validity", "r", 10, "lora")
LABELS = {
    "overlap": np.array(["no", "no", "yes", "no"]),
    "answer": np.array(["both", "neither", "both", "neither"]),
}
PAPER = Paper("test", np.arange(4), LABELS, ("a", "b", "c", "d"))


def test_means_are_over_all_items_and_over_every_stratum_that_occurs():
    found = {
        r.stratum: (r.value, r.n)
        for r in rate(STAMP, PAPER, [1, 0, 1, 1], by=(("overlap",), ("overlap", "answer"), ("popularity",)))
    }
    assert found == {
        "all": (0.75, 4),
        "overlap=no": (pytest.approx(2 / 3), 3),
        "overlap=yes": (1.0, 1),
        "overlap=no,answer=both": (1.0, 1),
        "overlap=no,answer=neither": (0.5, 2),
        "overlap=yes,answer=both": (1.0, 1),
    }


def test_only_items_that_count_are_in_a_mean():
    found = list(rate(STAMP, PAPER, [1, 0, 1, 1], among=[False, True, True, False]))
    assert [(r.value, r.n) for r in found] == [(0.5, 2)]
    assert not list(rate(STAMP, PAPER, [1, 0, 1, 1], among=[False] * 4))


def test_items_carry_all_their_labels():
    found = list(items(STAMP, PAPER, [1, 0, 1, 1]))
    assert [(r.item, r.value, r.n, r.stratum) for r in found][:2] == [
        ("a", 1.0, 1, "overlap=no,answer=both"),
        ("b", 0.0, 1, "overlap=no,answer=neither"),
    ]


def test_the_commonest_answer_is_by_relation_and_blind_to_case():
    found = commonest(np.array([0, 0, 0, 1, 1]), ["Paris", "the paris", "Rome", "", "Oslo"])
    assert found == {0: "paris", 1: "oslo"}


def test_an_abstention_is_known_in_any_spelling():
    assert abstained(Sat(np.zeros(3, bool), ("I do not know", "i do not know.", "Paris"), np.zeros(3))).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_looks_are_denser_early_and_hold_the_last_step():
    assert along_steps(32, 4, 6) == (4, 8, 12, 16, 20, 32)
    assert along_steps(32, 4, 99) == tuple(range(4, 33, 4))
    assert along_steps(10, 4, 2) == (4, 10)
    assert along_steps(4, 4, 3) == (4,)


def row(k, relation="capital"):
    return Row(k, 0, f"r{k}", f"What is the capital of {k}?", (f"City {k}",), f"{k}", relation, None, {}, "")


def arm(**more):
    exam = Exam("test", (row(0), row(1)), (row(2), row(3)), STYLE)
    usual = Arm("known", 0, (row(4),), Recipe(), exam, (exam,), {"test": ("zero",)}, (4,))
    return replace(usual, **more)


def test_a_key_is_of_everything_that_decides_a_result_and_of_nothing_else():
    other = Exam("test", (row(0),), (row(2),), style_named("qa"))
    usual = arm().key("model", "float32")
    assert arm(name="mix:0").key("model", "float32") == usual
    changed = [
        arm(rows=(row(5),)),
        arm(recipe=Recipe(seed=1)),
        arm(recipe=Recipe(rate=1e-3)),
        arm(dev=other),
        arm(exams=(other,)),
        arm(prompts={"test": ("zero", "few:2")}),
        arm(along=()),
        arm(longest=5),
        arm(hook="math:sqrt"),
    ]
    keys = [one.key("model", "float32") for one in changed] + [
        arm().key("other", "float32"),
        arm().key("model", "bfloat16"),
    ]
    assert len({usual, *keys}) == len(keys) + 1


def test_an_untuned_model_is_the_same_whatever_the_recipe():
    assert arm(rows=(), recipe=Recipe(rate=1e-3)).key("m", "f") == arm(rows=()).key("m", "f")


def test_hooks_are_found_by_name():
    assert hook_named("math:sqrt") is math.sqrt
    assert hook_named("") is None


def test_what_is_no_result_is_said(tmp_path):
    (tmp_path / "a.json").write_text('{"key": 1}')
    with pytest.raises(RealmodelsError, match="is no finished arm; remove it"):
        read_result(tmp_path / "a.json")


def test_an_exam_asks_as_the_audit_does(tiny):
    from realmodels.estimate import estimate
    from realmodels.loading import load

    loaded = load(str(tiny), dtype="float32", device="cpu")
    rows = tuple(row(k) for k in range(6))
    exam = Exam("test", rows[:4], rows[4:], STYLE)
    zero = sit(loaded, exam)
    usual = estimate(loaded, STYLE, (), [r.question for r in rows[:4]], [r.answers for r in rows[:4]])
    assert zero.hits.tolist() == usual.greedy.tolist()
    assert zero.logprob == pytest.approx(usual.logprob, abs=1e-4)
    assert zero.said == ()
    written = sit(loaded, exam, "few:2", write=True)
    assert len(written.said) == 4
    assert Sat.of(json.loads(json.dumps(written.plain()))).hits.tolist() == written.hits.tolist()


def test_intervals_are_over_seeds_and_items_where_rows_are_items():
    rng = np.random.default_rng(0)
    matrix = rng.normal(1.0, 1.0, (3, 40))
    seeds = np.arange(3)
    items_ = Measured(seeds, matrix.mean(axis=1), matrix, True)
    alone = Measured(seeds, matrix.mean(axis=1))
    assert "t" in interval_of(alone).method.lower()
    assert interval_of(items_).method != interval_of(alone).method
    nested = Measured(seeds, matrix.mean(axis=1), np.where(np.eye(3, 40, dtype=bool), matrix, np.nan), True)
    assert np.isfinite(interval_of(nested).mean)  # no item under two seeds: over seeds alone
    agreed = interval_of(Measured(seeds, np.full(3, 1 / 48)))  # counts of unknown items, the same three times
    assert (agreed.mean, agreed.low, agreed.high) == (1 / 48, -np.inf, np.inf)
    silent = interval_of(Measured(seeds, np.zeros(3), np.zeros((3, 43)), True, limits=(0.0, 1.0)))
    assert (silent.low, silent.high) == pytest.approx((0.0, 0.0822), abs=1e-4)


def board_of(tmp_path, gaps, study="validity", pair=("known", "unknown"), seeds=(10, 11, 12)):
    """Records of a made-up study in which the better set is ahead by these gaps."""
    output = tmp_path / "run"
    output.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    found = []
    names = tuple(f"i{k}" for k in range(60))
    labels = {
        "overlap": np.array(["no"] * 45 + ["yes"] * 15),
        "answer": np.array(["both"] * 20 + ["neither"] * 20 + ["known-only"] * 20),
        "dominant": np.array(["no", "yes"] * 30),
    }
    paper = Paper("test", np.arange(60), labels, names)
    for seed, gap in zip(seeds, gaps, strict=True):
        chance = rng.random(60)
        for name, level in zip(pair, (0.3 + gap, 0.3), strict=True):
            for step in (5, 20):
                stamp = Stamp("realmodels/R3-x", study, "run", seed, "lora", step=step, trained_on=name)
                hits = chance < level
                found += [stamp.record("dev", "all", "accuracy", 0.5 - step / 100, 8)]
                found += rate(stamp, paper, hits, by=(("overlap",), ("answer",), ("dominant",)))
                found += items(stamp, paper, hits)
    write_records(output / "records.jsonl", found)
    return output


def test_a_large_gap_is_reproduced_and_none_is_not(tmp_path):
    order = Order("m", (), tmp_path / "run", Settings(), Recipe(), lab="realmodels/R3-x")
    study = Study("salience", ("validity",), Settings, str, list)
    board_of(tmp_path, (0.5, 0.5, 0.55))
    answers = {v.claim.id: v.answer for v in conclude(order, study, ()).board.verdicts}
    assert answers["V1"] == answers["V2"] == "reproduced"
    board_of(tmp_path, (0.0, 0.0, 0.0))
    answers = {v.claim.id: v.answer for v in conclude(order, study, ()).board.verdicts}
    assert answers["V1"] == answers["V2"] == "inconclusive"


def test_tuning_seeds_are_not_judged(tmp_path):
    order = Order("m", (), tmp_path / "run", Settings(), Recipe(), lab="realmodels/R3-x", seeds=(0, 1, 2))
    study = Study("salience", ("validity",), Settings, str, list)
    board_of(tmp_path, (0.5, 0.5, 0.5), seeds=(0, 1, 2))
    found = conclude(order, study, ())
    assert found.board is None
    assert "Seeds below 10 are for tuning" in found.note
    board_of(tmp_path, (0.5, 0.5, 0.5, 0.5), seeds=(0, 10, 11, 12))
    found = conclude(order, study, ())
    assert all(part.seeds <= 3 for verdict in found.board.verdicts for part in verdict.parts)
    paths = write_summary(order, study, found, 1.0)
    assert {path.name for path in paths} >= {"summary.md", "summary.json", "scoreboard.json"}
    text = (tmp_path / "run" / "summary.md").read_text()
    assert "no verdict rests on 0" in text
    assert "**V2** not only shared answers" in text


def test_the_gap_is_taken_apart_by_what_items_are(tmp_path):
    output = board_of(tmp_path, (0.5, 0.4, 0.6))
    rows = split_studies(read_records(output / "records.jsonl"))[0]
    found = {(one["stratum"], one["stop"]): one for one in gap_table(rows, "known", "unknown", few="few:4")}
    raw = found["all test facts (raw)", "end"]
    assert raw["items"] == 60
    assert raw["gap"] == pytest.approx(raw["high"] - raw["low"])
    assert found["answer in both sets or in neither (primary)", "end"]["items"] == 40
    assert found["answer repeats no word of the subject", "end"]["items"] == 45
    assert ("answer in the unknown set only", "end") not in found
    low, high = raw["interval"]
    assert low < raw["gap"] < high


def test_every_paper_number_is_asked_of_a_set_that_the_study_trains():
    from realmodels.study_salience import names as salience_sets
    from realmodels.study_slick import names as slick_sets

    for number in NUMBERS["salience"]:
        assert (number.cell is None) == ("MMLU" in number.what)  # multiple choice is another question
        assert number.cell is None or number.cell.trained_on in salience_sets(Settings())
    for number in NUMBERS["slick"]:
        assert number.cell.trained_on in slick_sets(Settings())
    table_2 = {number.what: number.value for number in NUMBERS["slick"]}
    parts = [part for part in CLAIMS["C6"].parts if part.published]
    early = {
        name: table_2[f"category:{name}, early, all"] for name in ("MaybeKnown", "HighlyKnown", "WeaklyKnown")
    }
    assert parts[0].published.low == pytest.approx(early["MaybeKnown"] - early["HighlyKnown"])
    assert parts[2].published.low == pytest.approx(early["MaybeKnown"] - early["WeaklyKnown"])


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_whole_settings_and_say_where_values_come_from(name):
    for study in ("salience", "slick"):
        values = values_of(preset_named(name), study)
        settings, recipe = read_settings(Settings, Recipe(), values, ())
        assert settings.rows is None
        assert recipe.rank == 64
        for key in ("rank", "rate", "epochs", "batch", "dev"):
            assert key in SOURCES
    _, slick = read_settings(Settings, Recipe(), values_of(preset_named(name), "slick"), ("epochs=2",))
    assert (slick.batch, slick.dropout, slick.epochs) == (128, 0.05, 2)


@pytest.mark.parametrize("study", available())
@pytest.mark.parametrize("name", list(PRESETS))
def test_every_study_takes_every_preset(name, study):
    one = study_named(study)
    settings, recipe = read_settings(one.settings, one.recipe, values_of(preset_named(name), study), ())
    assert isinstance(settings, one.settings)
    assert recipe.rank == 64


def test_settings_and_recipe_share_one_flag():
    settings, recipe = read_settings(
        Settings,
        Recipe(),
        {},
        ("rows=96", "rate=1e-3", "hold_out=[P19, P36]", "train_share=0.5", "match=[relation, answer]"),
    )
    assert (settings.rows, settings.hold_out, settings.train_share) == (96, ("P19", "P36"), 0.5)
    assert settings.match == ("relation", "answer")
    assert recipe.rate == 1e-3
    for words, said in (
        (("row=3",), "unknown key 'row'.*rows"),
        (("rows",), "expected KEY=VALUE"),
        (("seed=3",), "say --seeds"),
        (("rows=many",), "rows: expected a whole number"),
        (("rate=-1",), "rate: expected a number above 0"),
        (("rows=[",), "not YAML"),
    ):
        with pytest.raises(RealmodelsError, match=said.replace("'", "['\"]")):
            read_settings(Settings, Recipe(), {}, words)


def test_fields_of_settings_and_recipe_differ():
    from dataclasses import fields

    assert not {field.name for field in fields(Settings)} & {field.name for field in fields(Recipe)}


def test_studies_are_found_by_name():
    assert {"salience", "slick"} <= set(available())
    assert study_named("slick").studies == ("slick",)
    with pytest.raises(RealmodelsError, match=r"unknown .slik..*slick"):
        study_named("slik")


def test_a_table_in_markdown():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_a_result_has_one_or_two_stops():
    usual = Result("k", 20, 5, {}, {}, {}, {"seconds": 2})
    assert usual.stops == (5, 20)
    assert replace(usual, early=20).stops == (20,)
    assert usual.seconds == 2.0


def test_records_are_checked_and_whole(tmp_path):
    path = tmp_path / "records.jsonl"
    write_records(path, rate(STAMP, PAPER, [1, 0, 1, 1]))
    assert isinstance(read_records(path), Table)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="lab"):
        write_records(path, rate(replace(STAMP, lab="no lab"), PAPER, [1, 0, 1, 1]))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["records.jsonl"]
