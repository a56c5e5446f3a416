"""Every number behind every kind of finding's picture, worked out again from the lines of the records alone."""

import csv
import json
from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import t

from figures import findings
from figures.about import kind_of

EARLY, END = 5, 10  # of the records of these tests: the best dev accuracy, and the last step
LOOKS = (1, 3, 5, 8, 10)


@pytest.fixture(scope="module")
def lines(many):
    """Values and their n by every other field, as they stand in the file."""
    found = defaultdict(list)
    for one in map(json.loads, (many / "runs" / "one" / "records.jsonl").read_text("utf-8").splitlines()):
        found[one["study"], one["metric"], one["trained_on"], one["arm"]].append(one)
    return found


def seeds_of(lines, study, metric, on, *, arm="all", step=END, prompt="zero", split="test", stratum="all"):
    """One value a seed, strata with a bar pooled by n."""
    allowed = (
        {}
        if stratum == "all"
        else {k: set(v.split("|")) for k, v in (s.split("=") for s in stratum.split(","))}
    )
    total, weight = defaultdict(float), defaultdict(int)
    for one in lines[study, metric, on, arm]:
        has = dict(s.split("=") for s in one["stratum"].split(",")) if one["stratum"] != "all" else {}
        here = (one["step"], one["prompt"], one["split"]) == (step, prompt, split)
        if here and set(has) == set(allowed) and all(has[k] in allowed[k] for k in has):
            total[one["seed"]] += one["value"] * one["n"]
            weight[one["seed"]] += one["n"]
    assert total, (study, metric, on, arm, step, prompt, split, stratum)
    return np.array([total[seed] / weight[seed] for seed in sorted(total)])


def told(values):
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def along(lines, on, x, **where):
    """A curve between its looks, at a share of the fine-tuning in percent; None before the first look."""
    looks = [seeds_of(lines, step=step, on=on, **where) for step in LOOKS]
    at = x * END / 100
    return None if at < LOOKS[0] else np.array([np.interp(at, LOOKS, curve) for curve in np.transpose(looks)])


STEP = {"early stop": EARLY, "end": END, "early": EARLY}
ARMS = {
    "best known half": "best",
    "random half": "random",
    "lesser known half": "lesser",
    "whole set": "whole",
}
TUNED = {
    "known rows": ("known", "all", END),
    "unknown rows": ("unknown", "all", END),
    "untuned": ("none", "base", 0),
}


def gap(lines, study, high, low, **where):
    return seeds_of(lines, study, "accuracy", high, **where) - seeds_of(
        lines, study, "accuracy", low, **where
    )


def trajectories(lines, row):
    x = float(row["x"])
    dev = {"study": "salience", "metric": "accuracy", "split": "dev"}
    if row["panel"] == "accuracy":
        return along(lines, ARMS[row["series"]], x, **dev)
    if row["series"].startswith("test facts"):
        return gap(lines, "salience", "best", "lesser", step=STEP[row["series"].removeprefix("test facts, ")])
    both = [along(lines, on, x, **dev) for on in ("best", "lesser")]
    return None if both[0] is None else both[0] - both[1]


def mechanism(lines, row):
    look = {on: seeds_of(lines, "salience", "attention_subject", on, step=EARLY) for on in ("best", "lesser")}
    before = seeds_of(lines, "salience", "attention_subject", "none", arm="base", step=0)
    looks = {"after best known rows": look["best"] - before, "best minus lesser": look["best"] - look["lesser"],
             "after lesser known rows": look["lesser"] - before}  # fmt: skip
    if row["series"] == "change of attention on the subject (points)":
        return looks[row["x"]]
    repairs = {"lesser known rows": ("lesser", "all"), "best known rows": ("best", "all"),
               "with the best arm's attention": ("lesser", "patch:attention:best"),
               "with the best arm's values": ("lesser", "patch:values:best")}  # fmt: skip
    on, arm = repairs[row["x"]]
    return seeds_of(lines, "salience", "accuracy", on, arm=arm)


def patching(lines, row):
    part = next((name for name in ("attention", "values") if name in row["x"]), "")
    if row["series"].startswith("put into"):
        on, other = ("lesser", "best") if "lesser" in row["series"] else ("best", "lesser")
        patched = seeds_of(lines, "salience", "accuracy", on, arm=f"patch:{part}:{other}")
        return patched - seeds_of(lines, "salience", "accuracy", on)
    alone = {arm: gap(lines, "salience", "best", "lesser", arm=arm) for arm in ("attention", "values", "all")}
    told_as = {"attention alone": alone["attention"], "values alone": alone["values"],
               "attention minus values": alone["attention"] - alone["values"],
               "the whole gap, all weights": alone["all"]}  # fmt: skip
    return told_as[row["x"]]


def fitting(lines, row):
    if row["series"] == "held-out facts":
        return along(lines, "mix:0.5", float(row["x"]), study="slick", metric="accuracy")
    stratum = "known=yes" if row["series"].startswith("Known") else "known=no"
    where = {"study": "slick", "metric": "fitted", "split": "train", "stratum": stratum}
    return along(lines, "mix:0.5", float(row["x"]), **where)


def shares(lines, row):
    kind = {"all rows": "mix", "Unknown rows deleted": "known-only"}[row["series"]]
    return seeds_of(lines, "slick", "accuracy", f"{kind}:{float(row['x']) / 100:g}", step=STEP[row["stop"]])


def categories(lines, row):
    stratum = "all" if row["x"] == "all" else f"category={row['x']}"
    on = f"category:{row['series'].removeprefix('tuned on ')}"
    return seeds_of(lines, "slick", "accuracy", on, step=STEP[row["stop"]], stratum=stratum)


def plane(lines, row):
    """Coefficients by numpy's least squares; points are counted in `test_points_of_the_plane`."""
    name = row["series"].removeprefix("coefficient: ")
    if name == row["series"]:
        return None
    return np.array([fit[name] for fit in fits(lines)])


def points_of_plane(lines, s):
    """Accuracy, fitted Known and Unknown rows as shares of the set, of one seed, a fifth of the training on."""
    for share in (0, 0.25, 0.5, 0.75, 1):
        on = f"mix:{share:g}"
        for step in (one for one in LOOKS if one >= END / 5):
            where = {"step": step, "split": "train"}
            fitted = [
                seeds_of(lines, "slick", "fitted", on, stratum=f"known={known}", **where)[s]
                if there
                else None
                for known, there in (("yes", share < 1), ("no", share > 0))
            ]
            both = None not in fitted  # 50 rows of each kind that there is
            known, unknown = ((one or 0.0) * (0.5 if both else 1.0) for one in fitted)
            yield seeds_of(lines, "slick", "accuracy", on, step=step)[s], known, unknown


def fits(lines):
    for s in range(4):
        y, known, unknown = np.transpose(list(points_of_plane(lines, s)))
        design = np.stack([np.ones_like(y), known, unknown], axis=1)
        found, *_ = np.linalg.lstsq(design, y, rcond=None)
        left = ((y - design @ found) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        yield {
            "base": found[0],
            "known": found[1],
            "unknown": found[2],
            "r2": (1 - left) / 100,
        }  # r2 is no percentage


NEITHER = (
    "all",
    "overlap=no",
    "overlap=no,answer=both|neither|both-or-neither",
    "overlap=no,answer=both|neither|both-or-neither,dominant=no",
)


def waterfall(lines, row):
    high, low = row["sets"].split(" minus ")
    gaps = [gap(lines, "validity", high, low, stratum=one) for one in NEITHER]
    steps = {"raw": gaps[0], "rest": gaps[3]}
    steps |= {name: gaps[i] - gaps[i + 1] for i, name in enumerate(("copying", "answer support", "guessing"))}
    return steps[row["series"]]


def prompts(lines, row):
    if row["panel"] == "gap":
        return gap(lines, "prompts", "known", "unknown", step=STEP[row["series"]], prompt=row["x"])
    on, arm, step = TUNED[row["series"]]
    return seeds_of(lines, "prompts", "accuracy", on, arm=arm, step=step, prompt=row["x"])


def similarity(study):
    def found(lines, row):
        where = {"split": "graded", "stratum": f"similarity={row['x']}"}
        if row["panel"] == "gap":
            return gap(lines, study, "known", "unknown", step=STEP[row["series"]], **where)
        return seeds_of(lines, study, "accuracy", TUNED[row["series"]][0], **where)

    return found


def edges(lines, row):
    metric = {"without the prompt": "edge_gap", "with it, counted": "edge_gap_prompted",
              "one prompt merged into both (K1)": "edge_gap_merged",
              "prompt holds each edge by chance (K2)": "edge_gap_thinned"}[row["series"]]  # fmt: skip
    return seeds_of(lines, "prompts", metric, "across", prompt=row["x"])


SPLIT = {"domain tuned on": "test", "another domain": "ood-type"}


def precision(lines, row):
    metric = {"true claims a text": "true_claims", "claim precision": "claim_precision"}[row["x"]]
    on, arm = row["series"], {"none": "base", "pairs:belief": "dpo"}.get(row["series"], "all")
    step = 0 if arm == "base" else END
    found = seeds_of(lines, "beliefs", metric, on, arm=arm, step=step, split=SPLIT[row["panel"]])
    return found / (100 if metric == "true_claims" else 1)  # a count is no percentage


BASE = {"arm": "base", "step": 0}


def signals(lines, row):
    auroc = row["panel"] == "AUROC"
    metric = "belief_auroc" if auroc else "belief_calibration_error"
    where = {"split": SPLIT[row["series"]], "stratum": f"signal={row['x']}"}
    return seeds_of(lines, "beliefs", metric, "none", **BASE, **where) / (100 if auroc else 1)


def reliability(lines, row):
    """The tenth whose mean belief is the place."""
    name = {
        "probability of the statement": "statement",
        "token probability": "token",
        "few-shot question": "question",
        "agreement over samples": "consistency",
        "probe on hidden states": "probe",
        "yes or no": "verification",
    }
    where = {"split": SPLIT[row["series"]]}
    for k in range(1, 11):
        stratum = f"signal={name[row['panel']]},bin={k}"
        at = seeds_of(lines, "beliefs", "belief_bin_mean", "none", **BASE, **where, stratum=stratum).mean()
        if abs(100 * at - float(row["x"])) < 1e-9:
            return seeds_of(lines, "beliefs", "belief_bin_true", "none", **BASE, **where, stratum=stratum)
    raise AssertionError(row)


def labels(lines, row):
    signal = "statement" if row["series"].startswith("probability") else "probe"
    more = f",labels={float(row['x']):g}" if row["series"] == "probe on hidden states" else ""
    return seeds_of(lines, "beliefs", "belief_auroc", "none", **BASE, stratum=f"signal={signal}{more}") / 100


def dial(lines, row):
    if row["series"] == "kept by own belief":
        return seeds_of(lines, "beliefs", "claim_precision", "generated+belief")
    share = float(row["x"]) / 100
    plain = share == (0 if row["panel"] == "noise" else 1)
    on = "generated+support" + ("" if plain else f":{row['panel']}{share:g}")
    return seeds_of(lines, "beliefs", "claim_precision", on)


def statements(lines, row):
    metric = {"wrong statements": "hallucination", "floor for any learner": "hallucination_floor",
              "mass of facts never stated": "missing_mass", "share of mentions of facts stated once": "singleton_share",
              "that share less miscalibration": "hallucination_bound_bare"}[row["series"]]  # fmt: skip
    return seeds_of(lines, "beliefs", metric, row["x"], arm="free", split="free")


BY_HAND = {
    "trajectories": trajectories, "mechanism": mechanism, "patching": patching, "fitting": fitting, "shares": shares,
    "categories": categories, "plane": plane, "waterfall": waterfall, "prompts": prompts, "edges": edges,
    "similarity-prompts": similarity("prompts"), "similarity-crosstests": similarity("crosstests"),
    "precision": precision, "signals": signals, "reliability": reliability, "labels": labels, "dial": dial,
    "statements": statements,
}  # fmt: skip


def test_every_kind_of_finding_is_worked_out_by_hand():
    kinds = set(findings.PICTURES) - {"similarity"} | {"similarity-prompts", "similarity-crosstests"}
    assert set(BY_HAND) == kinds


@pytest.mark.parametrize("kind", sorted(BY_HAND))
def test_every_number_behind_a_picture_is_what_the_records_say(drawings, lines, kind):
    found = [one for one in drawings.values() if kind_of(one.name) == kind]
    assert found
    checked = 0
    for one in found:
        with open(one.csv, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                values = BY_HAND[kind](lines, row)
                if values is None:  # before the first look, or a point of the plane
                    assert kind == "plane" or row["mean"] == "nan", row
                    continue
                mean, low, high = (100 * x for x in told(values))
                ends = (low, high) if float(row["low"]) not in (0.0, 100.0) else (max(low, 0.0), high)
                assert [float(row[name]) for name in ("mean", "low", "high")] == pytest.approx(
                    [mean, *ends]
                ), row
                assert row["interval"] == "over seeds"
                assert int(row["n"]) == len(values)
                checked += 1
    assert checked > 3


def test_points_of_the_plane(drawings, lines):
    with open(drawings["plane-synthetic-R2-2layer"].csv, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["series"].startswith("mix:")]
    for s in range(4):
        seen = sorted(
            tuple(float(row[name]) for name in ("mean", "known", "unknown"))
            for row in rows
            if float(row["x"]) == s
        )
        expected = sorted(tuple(100 * x for x in point) for point in points_of_plane(lines, s))
        assert np.array(seen) == pytest.approx(np.array(expected))
