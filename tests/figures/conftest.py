"""Records, data and a graph that every picture can be drawn from, and the pictures themselves, caught before saving."""

import csv
import json
from collections import namedtuple
from itertools import product
from zlib import crc32

import pytest

from figures import closed_forms, findings, prompts, theorems
from figures.beliefs import SIGNALS, TEXTS
from figures.everything import of_graphs, of_runs
from figures.parts import claim_parts
from figures.runs import read_runs
from figures.style import KINDS
from theory.claims import CLAIMS, Cell, decompose
from theory.records import Record, RecordWriter

SEEDS = (100, 101, 102, 103)
STEPS = {1: 0.3, 3: 0.8, 5: 1.0, 8: 0.9, 10: 0.8}  # what is left of a value at each step
LAB = "synthetic/R2-2layer"
Drawn = namedtuple("Drawn", "name figure csv")


def chance(*key):
    """A number in [0, 1) that belongs to these words, on every machine."""
    return crc32(repr(key).encode()) / 2**32


def extra_cells():
    """What pictures read beyond the claims' own cells."""
    for a, b in (("attention", "lesser"), ("values", "lesser"), ("attention", "best"), ("values", "best")):
        yield "salience", Cell("accuracy", "best" if b == "lesser" else "lesser", arm=f"patch:{a}:{b}")
    for arm, on in product(("attention", "values"), ("best", "lesser")):
        yield "salience", Cell("accuracy", on, arm=arm)
    for on, prompt in product(("known", "unknown"), prompts.PROMPTS):
        yield "prompts", Cell("accuracy", on, "early", prompt=prompt)
        yield "prompts", Cell("accuracy", "none", arm="base", prompt=prompt)
    for metric, prompt in product(prompts.EDGES, prompts.PROMPTS):
        if prompt != "zero":
            yield "prompts", Cell(metric, "across", prompt=prompt)
    for study, on, i in product(("prompts", "crosstests"), ("known", "unknown"), range(1, 5)):
        yield study, Cell("accuracy", on, "early", "graded", f"similarity={i}")
    for on, kind, stratum in product(("known", "unknown"), ("", ":by-relation"), decompose.STRATA):
        yield "validity", Cell("accuracy", f"{on}{kind}", stratum=stratum)
    for category, test in product(("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"), repeat=2):
        yield "slick", Cell("accuracy", f"category:{category}", "early")
        yield "slick", Cell("accuracy", f"category:{category}", "early", stratum=f"category={test}")
    for share, kind in product((0.25, 0.5, 0.75), ("mix", "known-only")):
        yield "slick", Cell("accuracy", f"{kind}:{share:g}", "early")
    for on, split, metric in product(TEXTS, ("test", "ood-type"), ("claim_precision", "true_claims")):
        arm = {"none": "base", "pairs:belief": "dpo"}.get(on, "")
        yield "beliefs", Cell(metric, on, split=split, arm=arm)
    for signal, split in product(SIGNALS, ("test", "ood-type")):
        for metric in ("belief_auroc", "belief_calibration_error"):
            yield "beliefs", Cell(metric, "none", split=split, stratum=f"signal={signal}", arm="base")
        for k, metric in product(range(1, 11), ("belief_bin_mean", "belief_bin_true")):
            yield "beliefs", Cell(metric, "none", split=split, stratum=f"signal={signal},bin={k}", arm="base")
    for n in (16, 64, 256):
        yield "beliefs", Cell("belief_auroc", "none", stratum=f"signal=probe,labels={n}", arm="base")
    for tail in ("noise0.1", "noise0.3", "coverage0.7", "coverage0.4"):
        yield "beliefs", Cell("claim_precision", f"generated+support:{tail}")
    metrics = ("hallucination", "hallucination_floor", "missing_mass", "singleton_share")
    for metric, on in product((*metrics, "hallucination_bound_bare"), ("statements:1.5", "statements:5")):
        yield "beliefs", Cell(metric, on, split="free", arm="free")


def all_cells():
    found = {(claim.study, cell) for claim in CLAIMS.values() if claim.id != "B7" for cell in claim.cells}
    found |= set(extra_cells())
    found |= {(s, Cell("accuracy", c.trained_on, "every", "dev", arm=c.arm, base=c.base)) for s, c in found}
    return sorted({(s, c.at(stop="every")) for s, c in found}, key=repr)


def labels(stratum):
    """The strata that a cell pools, one a row."""
    pairs = [part.partition("=") for part in stratum.split(",")]
    if stratum == "all":
        return [stratum]
    return [",".join(f"{k}={v}" for (k, _, _), v in zip(pairs, one, strict=True))
            for one in product(*(values.split("|") for _, _, values in pairs))]  # fmt: skip


def all_records(lab=LAB, run="r1", seeds=SEEDS, steps=None):
    """Rows of every cell; `steps` (what is left of a value at each, by study) instead of the usual few."""
    for study, cell in all_cells():
        looks = (steps or {}).get(study, STEPS)
        arm = cell.arm_in("all")
        untuned = arm.partition("@")[0] == "base"
        for stratum, seed, (step, left) in product(labels(cell.stratum), seeds, looks.items()):
            if untuned and step > 1:
                continue
            level = 0.2 + 0.6 * chance(cell.trained_on, arm, cell.metric, cell.prompt, cell.split, stratum)
            if cell.metric == "belief_bin_mean":
                level = (int(stratum.rpartition("=")[2]) - 0.5) / 10
            noise = 0.04 * (chance(cell.trained_on, arm, cell.metric, seed, stratum) - 0.5)
            value = (level + noise) * (1.0 if untuned else left)
            fields = (0 if untuned else step, cell.trained_on, cell.prompt, cell.split, stratum, cell.metric)
            yield Record(lab, study, run, seed, arm, *fields, value, 50)


def write_records(folder, records):
    folder.mkdir(parents=True)
    with RecordWriter(folder / "records.jsonl") as out:
        out.write_many(records)
    return folder


def write_csv(path, head, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def write_data(folder):
    """Small files such as `theory data` writes."""
    folder.mkdir()
    interval = ("mean", "low", "high", "n")
    kinds = product(
        ("adam", "adam, attention only", "sgd"), ("accuracy", "attention_subject"), (0, 40, 160, 320)
    )
    window = [[v, "best-lesser", "known", m, s, x, x - 1, x + 1, 24]
              for v, m, s in kinds for x in [20 * chance(v, m, s) - 6]]  # fmt: skip
    write_csv(
        folder / "window.csv", ("variant", "trained_on", "stratum", "metric", "step", *interval), window
    )
    points = [[noise, y, y + 9 * chance(i, noise) - 4, y + 2 * chance(i) - 1]
              for i, noise in product(range(15), (0, 0.2, 0.4)) for y in [100 * chance(i, noise, "y")]]  # fmt: skip
    write_csv(
        folder / "prediction_points.csv",
        ("noise", "accuracy", "accuracy_theory", "accuracy_measured_values"),
        points,
    )
    curve = [[r, t, a, f, 20 * f, 25 * f, 25 * f - 0.4, 25 * f + 0.4, 24]
             for r, t, a in ((3, 100, "fixed"), (1, 8000, "fixed"), (3, 4000, "trained"))
             for f in (0.001, 0.01, 0.1)]  # fmt: skip
    head = ("relations", "steps", "attention", "frequency", "law", *interval)
    write_csv(folder / "salience_curve.csv", head, curve)
    gaps = [[3, 0.1, rows, p, x, x + 1, x - 2, x + 4, 24]
            for rows, p in product((1, 4, 16), (0, 0.4)) for x in [80 * chance(rows, p)]]  # fmt: skip
    write_csv(folder / "graph_gap.csv", ("dim", "theta", "rows", "prompt", "expected", *interval), gaps)
    mono = [[seed, learner, x, x / 2 + 0.1, x / 3 - 0.1, 0.1]
            for seed, learner, x in product((1, 2), ("memoriser", "smoother"), (0.1, 0.3, 0.5))]  # fmt: skip
    head = ("seed", "learner", "monofact", "hallucination", "bound", "miscalibration")
    write_csv(folder / "monofact_curve.csv", head, mono)
    return folder


def write_graph(path, **changes):
    """A graph of twelve held-out facts of four answers; two facts that tuning saw must not be drawn."""
    extracted = {"base": {"own": range(6)}, "known": {"zero": range(3, 9), "few:4": (0, 9)}}
    extracted["unknown"] = {"zero": (0, 1), "few:4": (1, 2, 11)}
    names = ("zero", "own", "few:4")
    edges = [
        {
            "fact": i,
            "source": f"s{i}",
            "target": f"a{i % 4}",
            "exposure": 1 + i,
            "use": "test" if i < 12 else "train",
            "row": None if i < 12 else "known",
            "shown": False,
            "extracted": {net: [p for p in names if i in by.get(p, ())] for net, by in extracted.items()},
        }
        for i in range(14)
    ]
    nodes = [{"id": f"s{i}", "kind": "subject", "name": f"Subject {i}"} for i in range(14)]
    nodes += [{"id": f"a{i}", "kind": "answer", "name": f"Answer {i}"} for i in range(4)]
    told = {"format": "nameblind graph 1", "lab": LAB, "study": "prompts", "seed": 100, "relation": 3}
    told |= {"relation_name": "born in", "prompts": list(names), "nodes": nodes, "edges": edges}
    path.write_text(json.dumps(told | changes))
    return path


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """A folder with a run of every study, one of `theory data`, and a graph."""
    folder = tmp_path_factory.mktemp("many")
    write_records(folder / "runs" / "one", all_records())
    write_data(folder / "data")
    write_graph(folder / "graph.json")
    return folder


@pytest.fixture(scope="session")
def many_runs(many):
    return read_runs([many / "runs"])


def caught(draw):
    """The pictures that `draw` would save, each with its figure and its numbers."""
    figures = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **_: figures.append(figure))
        token = KINDS.set(("png",))
        try:
            paths = list(draw())
        finally:
            KINDS.reset(token)
    pictures = [(at, path) for at, path in enumerate(paths) if path.suffix == ".png"]
    tables = [next(one for one in paths[at:] if one.suffix == ".csv") for at, _ in pictures]
    assert len(pictures) == len(figures)
    return [Drawn(path.stem, figure, table)
            for (_, path), figure, table in zip(pictures, figures, tables, strict=True)]  # fmt: skip


@pytest.fixture
def catch():
    return caught


@pytest.fixture(scope="session")
def lone(tmp_path_factory):
    """Every finding's picture that a single seed gives, and the rule of a claim, by name."""
    place = tmp_path_factory.mktemp("lone")
    runs = read_runs([write_records(place / "one", all_records(seeds=SEEDS[:1]))])
    pictures = (*findings.PICTURES.values(), lambda runs, folder: claim_parts(runs, "C8", folder))
    return {
        one.name: one for one in caught(lambda: (path for draw in pictures for path in draw(runs, place)))
    }


@pytest.fixture(scope="session")
def drawings(many, many_runs, tmp_path_factory):
    """Every picture there is, by name."""
    place = tmp_path_factory.mktemp("drawings")

    def draw():
        yield from of_runs(many_runs, place)
        yield from theorems.draw_all(many / "data", place)
        yield from of_graphs([many / "graph.json"], place)
        yield from closed_forms.draw_all(place)

    found = {one.name: one for one in caught(draw)}
    assert len(found) > len(findings.PICTURES) + len(theorems.PICTURES) + len(closed_forms.PICTURES)
    return found
