"""The tables beside the verdicts, against what is worked out by hand from a few records."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from synthetic import summary
from synthetic.preference import CONTROL
from synthetic.tables import COLUMNS, CONTRASTS, tables
from theory.records import Record
from theory.table import Table

LAB, SEEDS = "synthetic/R2-2layer", (200, 201, 202)
RUN = {"beliefs": "beliefs-0a1b2c3d4e", "prompts": "prompts-0a1b2c3d4e"}
PAIRS = {(one, other) for _, one, other in CONTRASTS}
LATER = {  # came after the runs of which whole summaries are kept
    *(pair for pair in PAIRS if CONTROL in pair or "generated:first" in pair),
    ("pairs:belief", "generated+belief"),
    ("pairs:belief", "none"),
}
DIAL = {seed: (0.30 + 0.01 * i, 0.28 + 0.02 * i * i) for i, seed in enumerate(SEEDS)}


def record(study, seed, metric, value, on, arm="all", step=7, prompt="zero", split="test", stratum="all"):
    return Record(
        LAB, study, RUN[study], seed, arm, step, on, prompt, split, stratum, metric, value, 10
    )  # fmt: skip


def written():
    for i, seed in enumerate(SEEDS):
        belief, support = DIAL[seed]
        for on, value in (("generated+belief", belief), ("generated+support", support)):
            yield record("beliefs", seed, "claim_precision", value, on, step=7 + i)
            yield record("beliefs", seed, "claim_precision_greedy", value + 0.1 * (i + 1), on, step=7 + i)
            yield record("beliefs", seed, "claim_precision", 0.9, on, split="train")
            yield record("beliefs", seed, "claims", 2.0, on, prompt="few:2")  # the prompt is no other set
        yield record("beliefs", SEEDS[0], "claims", 1.5, "generated")


def believed():
    for i, seed in enumerate(SEEDS):
        head = {"on": "none", "arm": "base", "step": 0}
        yield record("beliefs", seed, "belief_auroc", 0.6 + 0.1 * i, stratum="signal=probe", **head)
        yield record("beliefs", seed, "belief_auroc", 0.5, stratum="signal=probe,labels=64", **head)
        full = f"signal=probe,labels={300 + i}"  # all there are, other in every seed: the plain probe again
        yield record("beliefs", seed, "belief_auroc", 0.6 + 0.1 * i, stratum=full, **head)


def stated():
    """At the second moment one seed breaks the bound; the sure floor is kept."""
    for i, seed in enumerate(SEEDS):
        for step in (10, 20):
            false, bound = (0.5, -0.1) if step == 10 else (0.3 - 0.1 * i, 0.15)
            for metric, value in (
                ("hallucination", false),
                ("hallucination_bound", bound),
                ("hallucination_floor", 0.05),
            ):
                yield record(
                    "beliefs", seed, metric, value, "statements:1.5", "free", step, split="free"
                )  # fmt: skip


def counted():
    for i, seed in enumerate(SEEDS):
        values = {"edge_gap": 0.2, "edge_gap_prompted": 0.1 + 0.15 * i, "edge_gap_merged": 0.05}
        for metric, value in (values | {"edge_gap_thinned": 0.08, "edge_gap_widens": 0.25}).items():
            yield record("prompts", seed, metric, value, "across", prompt="few:4")
        for step, share in ((5, 0.7), (60 + i, 0.4 + 0.1 * i), (9, 0.6)):  # the last step counts
            yield record("prompts", seed, "edge_share", share, "known", step=step)
        yield record("prompts", seed, "accuracy", 0.5, "known", step=60 + i)


ASKED = {  # by split, stratum and prompt: accuracy after known and unknown rows at the early stop, and at the end
    ("test", "all", "zero"): ((0.6, 0.4), (0.5, 0.2)),
    ("ood-type", "all", "few-wrong:4"): ((0.5, 0.45), (0.1, 0.1)),
    ("graded", "similarity=1", "cot"): ((0.3, 0.1), (0.0, 0.0)),
}


def asked():
    """The early stop is where accuracy on dev is best, at a step of its own in every network."""
    for i, seed in enumerate(SEEDS):
        for on, arm, early in (("known", 0, 20 + i), ("unknown", 1, 30)):
            for step, dev in ((early, 0.7), (60, 0.5)):
                yield record("prompts", seed, "accuracy", dev, on, step=step, split="dev")
                for (split, stratum, prompt), values in ASKED.items():
                    value = values[step == 60][arm] + 0.01 * i * (arm == 0)
                    where = {"prompt": prompt, "split": split, "stratum": stratum}
                    yield record("prompts", seed, "accuracy", value, on, step=step, **where)
        yield record("prompts", seed, "accuracy", 0.02 * i, "none", arm="base", step=0)


def rows(*makers):
    made = tables(Table.from_records([record for maker in makers for record in maker()]))
    return {name: [dict(zip(COLUMNS[name], row, strict=True)) for row in some] for name, some in made.items()}


def the(some, **equals):
    (found,) = [row for row in some if all(row[name] == value for name, value in equals.items())]
    return found


def ends(values):
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return pytest.approx(
        [np.mean(values), np.mean(values) - half, np.mean(values) + half], rel=1e-3, abs=1e-9
    )


def limits(row):
    return [row["mean"], row["low"], row["high"]]


def test_sets_have_a_mean_and_an_interval_over_seeds():
    found = rows(written)["beliefs"]
    own = the(found, trained_on="generated+belief", split="test", metric="claim_precision")
    assert limits(own) == ends([0.30, 0.31, 0.32])
    assert (own["seeds"], own["lab"], own["run"]) == (3, LAB, RUN["beliefs"])
    one = the(found, trained_on="generated")
    assert (one["mean"], one["low"], one["high"], one["seeds"]) == (1.5, "", "", 1)
    assert the(found, prompt="few:2", trained_on="generated+belief")["mean"] == 2.0


def test_sets_are_compared_seed_by_seed():
    found = rows(written)["contrasts"]
    dial = the(found, question="dial", split="test", metric="claim_precision")
    assert (dial["of"], dial["minus"], dial["seeds"]) == ("generated+belief", "generated+support", 3)
    assert limits(dial) == ends([one - other for one, other in DIAL.values()])
    read = the(found, question="dial", split="train")
    assert limits(read) == [0.0, 0.0, 0.0]
    greedy = the(found, of="generated+belief greedy")
    assert (greedy["minus"], greedy["metric"]) == ("generated+belief sampled", "claim_precision")
    assert limits(greedy) == ends([0.1, 0.2, 0.3])
    assert not [row for row in found if row["metric"] == "claims"]  # asked behind other texts


def test_a_probe_with_all_its_labels_stands_there_once():
    found = rows(believed)["signals"]
    assert [(row["signal"], row["seeds"]) for row in found] == [("probe", 3), ("probe,labels=64", 3)]
    assert limits(found[0]) == ends([0.6, 0.7, 0.8])


def test_bounds_are_judged_at_every_moment():
    found = rows(stated)["free"]
    early, late = ({row["metric"]: row for row in found if row["step"] == step} for step in (10, 20))
    assert limits(early["above_bound"]) == ends([0.6] * 3)
    assert limits(late["above_bound"]) == ends([0.15, 0.05, -0.05])
    assert limits(late["above_floor"]) == ends([0.25, 0.15, 0.05])
    assert [one["bound_held"]["mean"] for one in (early, late)] == [1.0, pytest.approx(2 / 3, rel=1e-4)]
    assert [one["bound_says_something"]["mean"] for one in (early, late)] == [0.0, 1.0]


def test_edges_stand_beside_what_is_foretold_of_them():
    found = rows(counted)["edges"]
    across = {row["metric"]: row for row in found if row["trained_on"] == "across"}
    assert limits(across["edge_gap_off_k1"]) == ends([0.05, 0.20, 0.35])
    assert limits(across["edge_gap_off_k2"]) == ends([0.02, 0.17, 0.32])
    assert across["edge_gap_widened"]["mean"] == pytest.approx(2 / 3, rel=1e-4)
    assert limits(the(found, trained_on="known")) == ends([0.4, 0.5, 0.6])
    assert not [row for row in found if row["metric"] == "accuracy"]


def test_gaps_are_paired_by_seed_at_both_stops_on_every_kind_of_fact():
    found = rows(asked)["gaps"]
    assert len(found) == 2 * len(ASKED)
    for (split, stratum, prompt), values in ASKED.items():
        for stop, (known, unknown) in zip(("early", "end"), values, strict=True):
            row = the(found, split=split, stratum=stratum, prompt=prompt, stop=stop)
            assert limits(row) == ends([known - unknown + 0.01 * i for i in range(3)])
            assert (row["known"], row["unknown"]) == pytest.approx((known + 0.01, unknown))
            assert row["untuned"] == (pytest.approx(0.02) if split == "test" else "")


def test_what_has_no_rows_is_no_table():
    assert set(rows(believed)) == {"signals"}
    assert set(rows(counted)) == {"edges"}


@pytest.mark.parametrize("folder", ["", "first", "third"])
def test_what_is_kept_has_every_contrast_of_ten_seeds(folder):
    path = summary.__file__.rpartition("summary.py")[0] + f"results/{folder}"
    for name, columns in COLUMNS.items():
        with open(f"{path}/{name}.csv", newline="") as file:
            kept = list(csv.DictReader(file))
        assert tuple(kept[0]) == columns
        assert all(
            float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in kept if row["low"]
        )
        if name == "contrasts":
            pairs = {(row["of"], row["minus"]) for row in kept if row["split"] == "test"}
            assert pairs >= PAIRS - LATER
            assert {row["seeds"] for row in kept} == {"10"}


@pytest.mark.parametrize("name", ["contrasts", "signals", "gaps"])
def test_what_later_code_asks_stands_beside_the_same_numbers(name):
    """Two studies of the third run again: every number of the whole run to the digit, and what it had not asked."""
    folder = Path(summary.__file__).parent / "results" / "third"
    numbers = ("run", "mean", "low", "high", "seeds", "known", "unknown", "untuned")

    def kept(path):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return {tuple(v for k, v in row.items() if k not in numbers): {**row, "run": ""} for row in rows}

    whole, later = kept(folder / f"{name}.csv"), kept(folder / "later" / f"{name}.csv")
    assert {key: later[key] for key in whole} == whole
    assert len(later) > len(whole) > 100
    if name == "contrasts":
        assert {(row["of"], row["minus"]) for row in later.values() if row["split"] == "test"} >= PAIRS
