"""The same seed gives the same bytes: with other hash seeds, one worker or two, whatever was drawn before; and nothing
that is drawn elsewhere changes."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from figures.provenance import sources
from figures.report import page
from figures.report_theorems import check
from figures.runs import read_runs
from realmodels.arms import Design, draw
from realmodels.audited import read_audit
from realmodels.compare import bootstrap
from realmodels.estimate import Sampling, estimate
from realmodels.loading import load
from realmodels.prompting import STYLES, Shot
from realmodels.recipe import Recipe
from realmodels.rows import read_rows
from realmodels.splits import split_rows
from realmodels.train_run import Job, lone_arm, run_train
from synthetic.generate import generate
from synthetic.model import LlamaSpec
from synthetic.pocket import PocketSpec, make_pocket
from synthetic.train_spec import TrainSpec
from tests.hardening.crash import differences, left
from tests.hardening.victims import TINY
from tests.realmodels.conftest import FACTS, tiny, write_audit  # noqa: F401
from theory import THEOREMS, WorldSpec, evaluate, make_world
from theory.intervals import bootstrap_interval
from theory.measurements.write import write_data
from theory.records import Record, RecordWriter, read_records

ROOT = Path(__file__).resolve().parents[2]
SMALL = WorldSpec(subjects=30, never_seen=4, relations=4, answers=8, derived_answers=4, mean_exposure=8.0)


def digest(*paths):
    """Of the contents of files, in order."""
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


def apart(*words, seed):
    """A process of its own, with this hash seed."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=known, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- other hash seeds, one worker or two

CHAIN = """
import sys
from realmodels.cli import COMMANDS
from theory.command import main
model, rows, out = sys.argv[1:]
common = ["--model", model, "--device", "cpu"]
for words in (
    ["audit", *common, "--data", rows, "-o", out + "/audit", "--prompts", "2", "--estimator", "sample",
     "--samples", "3"],
    ["audit", *common, "--data", rows, "-o", out + "/exact", "--prompts", "3", "--signals", "margin", "p_true"],
    ["filter", out + "/exact", "--arms", "random,unknown", "--match", "none", "-o", out + "/arms"],
    ["train", *common, "--data", rows, "-o", out + "/adapter", "--set", "epochs=2", "rank=2", "batch=3", "dropout=0.1"],
    ["eval", *common, "--tasks", "t=" + rows, "--adapter", "a=" + out + "/adapter", "--prompts", "zero,few:2",
     "--longest", "4", "-o", out + "/eval"],
):
    assert main("realmodels", "", COMMANDS, words) == 0, words
"""
CHAINED = (
    "audit/audit.jsonl",
    "audit/generations.jsonl",
    "audit/summary.json",
    "exact/audit.jsonl",
    "exact/summary.json",
    "arms/random.jsonl",
    "arms/unknown.jsonl",
    "adapter/adapter_model.safetensors",
    "adapter/adapter_config.json",
    "adapter/records.jsonl",
    "eval/records.jsonl",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "capitals.jsonl"
    lines = [
        {"question": f"What is the capital of {s}?", "answers": [a], "subject": s, "relation": "capital"}
        for s, a in FACTS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_real_models_do_not_depend_on_the_hash_seed(tiny, rows, tmp_path):  # noqa: F811
    found = []
    for seed in (1, 977):
        out = tmp_path / str(seed) / "out"  # folders of one name, for it stands in records
        out.mkdir(parents=True)
        apart("-c", CHAIN, str(tiny), str(rows), str(out), seed=seed)
        samples = sorted((out / "eval").glob("*/samples_*"))
        assert len(samples) == 4  # two models, two prompts
        found.append(digest(*(out / name for name in CHAINED), *samples))
    assert found[0] == found[1]


POCKET = """
import sys
from pathlib import Path
from synthetic.model import LlamaSpec
from synthetic.pocket import PocketSpec, make_pocket
from synthetic.train_spec import TrainSpec
from theory import WorldSpec
world = WorldSpec(subjects=30, never_seen=4, relations=4, answers=8, derived_answers=4, mean_exposure=8.0)
spec = PocketSpec(world, llama=LlamaSpec(4, width=32, heads=2, kv_heads=1, hidden=32, context=192),
                  train=TrainSpec(rate=8e-3, batch=8))
print(make_pocket(sys.argv[1], 5, spec).scores)
"""


def test_the_laboratory_does_not_depend_on_the_hash_seed(tmp_path):
    said = [apart("-c", POCKET, str(tmp_path / str(seed)), seed=seed) for seed in (1, 977)]
    assert said[0] == said[1]
    names = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert "model.safetensors" in names
    assert digest(*(tmp_path / "1" / name for name in names)) == digest(
        *(tmp_path / "977" / name for name in names)
    )


@pytest.mark.slow
def test_records_of_the_laboratory_do_not_depend_on_workers_or_the_hash_seed(tmp_path):
    """A base that knows some facts: one that knows none is refused, for `known` has no row then."""
    (tmp_path / "tiny.toml").write_text(TINY)
    found = []
    for workers, seed in ((1, 1), (2, 977)):
        out = tmp_path / str(seed)
        words = ["--studies", "salience", "validity", "--seeds", "100", "101", "--workers", str(workers)]
        where = ["--setup", str(tmp_path / "tiny.toml"), "-o", str(out)]
        apart("-m", "synthetic", "run", "quick", *words, *where, seed=seed)
        found.append(left(out))
    assert sum(name.endswith("/records.jsonl") for name in found[0]) == 2
    assert differences(*found) == []


def test_measurements_do_not_depend_on_workers_or_the_hash_seed(tmp_path):
    found = []
    for workers, seed in ((1, 1), (2, 977)):
        out = tmp_path / str(seed)
        words = ["--seeds", "2", "--only", "graph_gap", "graph_gap_fit", "--workers", str(workers)]
        apart("-m", "theory", "data", "-o", str(out), *words, seed=seed)
        found.append(digest(*sorted(out.glob("*.csv"))))
    assert len(found[0]) == 3  # with the comparison
    assert found[0] == found[1]


@pytest.mark.slow
def test_figures_do_not_depend_on_the_hash_seed(tmp_path):
    found = []
    for seed in (1, 977):
        run = tmp_path / str(seed) / "run"
        run.mkdir(parents=True)
        records_of(run)
        out = tmp_path / str(seed) / "out"
        apart("-m", "figures", "all", str(run), "--workers", "1", "--output", str(out), seed=seed)
        names = sorted(file.name for file in out.iterdir())
        assert {f"forest-A1.{kind}" for kind in ("csv", "pdf", "png", "svg")} < set(names)
        found.append(dict(zip(names, digest(*(out / name for name in names)), strict=True)))
    assert found[0] == found[1]


# ---------------------------------------------------------------- global random state


def streams():
    return random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()  # noqa: NPY002


def same(one, other):
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for mine, yours in zip(one, other, strict=True)
        for a, b in zip(mine, yours, strict=True)
    )


def alone(make):
    """What `make` gives, the same whatever was drawn before it; what is drawn after it is as if it had not been."""
    kept = streams()
    try:
        found = []
        for seed in (11, 12):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            before = streams()
            found.append(make())
            assert same(before, streams()), "what is drawn elsewhere would change"
        assert found[0] == found[1], "what was drawn elsewhere changes it"
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(torch.tensor(kept[2], dtype=torch.uint8))
    return found[0]


def test_the_test_sees_draws():
    for touched in (random.random, np.random.random, lambda: torch.rand(1).item()):
        with pytest.raises(AssertionError, match="would change"):
            alone(touched)
    state = random.getstate()

    def used():
        found = random.random()
        random.setstate(before)
        return found

    before = state
    with pytest.raises(AssertionError):
        alone(used)


def records_of(folder):
    with RecordWriter(folder / "records.jsonl") as out:
        for seed in (100, 101, 102):
            for k, on in enumerate(("best", "lesser", "whole", "random")):
                for step in (1, 5, 10):
                    for split in ("dev", "test"):
                        value = 0.5 + 0.01 * k * step + 0.0001 * seed * (k + 1)
                        said = ("all", step, on, "zero", split, "all", "accuracy", value / 2, 40)
                        out.write(Record("synthetic/R2-2layer", "salience", "r", seed, *said))
    return folder


def test_theory_leaves_random_numbers_alone(tmp_path):
    table = read_records(records_of(tmp_path) / "records.jsonl")
    sample = np.linspace(0, 1, 12)
    for make in (
        lambda: make_world(SMALL, seed=3).fingerprint,
        lambda: [str(THEOREMS[name].check(n=20, seed=1).violations) for name in ("T2", "K1", "P1")],
        lambda: str(bootstrap_interval(sample, draws=50, seed=2)),
        lambda: evaluate(table).to_json(),
        lambda: digest(*write_data(tmp_path / "data", [0], ["phase_diagram"], 1)[:1]),
    ):
        assert alone(make)


def test_figures_leave_random_numbers_alone(tmp_path):
    runs, found = read_runs([records_of(tmp_path)]), sources([tmp_path])
    checks = check(2)
    assert alone(lambda: page(runs, found, [], checks))


def test_the_laboratory_leaves_random_numbers_alone(tmp_path):
    spec = PocketSpec(
        SMALL,
        llama=LlamaSpec(4, width=32, heads=2, kv_heads=1, hidden=32, context=192),
        train=TrainSpec(rate=8e-3, batch=8),
    )

    def made():
        pocket = make_pocket(tmp_path / "m", 5, spec, overwrite=True)
        bos = [pocket.vocabulary.bos]
        said = generate(pocket.weights, pocket.llama, [bos], most=6, temperature=1.0, draws=3, seed=4)
        return digest(tmp_path / "m" / "model.safetensors"), said.tolist(), dict(pocket.scores)

    assert alone(made)


def test_real_models_leave_random_numbers_alone(tiny, rows, write_audit, tmp_path):  # noqa: F811
    loaded = load(str(tiny), device="cpu")
    data = read_rows(rows)
    questions, answers = [row.question for row in data.rows], [row.answers for row in data.rows]
    labels = ["HighlyKnown", "MaybeKnown", "Unknown"] * 3
    audit = write_audit(
        [({"question": f"q{k}", "answers": ["a"]}, {"label": label}) for k, label in enumerate(labels)]
    )
    recipe = Recipe(rank=2, rate=1e-2, batch=4, epochs=1, dropout=0.2)
    count = iter(range(100))

    def sampled():
        shots = [Shot("What is the capital of Fiji?", "Suva")]
        ask = (loaded, STYLES["qa"], shots, questions, answers)
        found = estimate(*ask, estimator="sample", sampling=Sampling(samples=3), seed=5)
        return found.samples, found.p_sample.tolist()

    def trained():
        out = tmp_path / f"t{next(count)}" / "out"
        run_train(Job(str(tiny), (lone_arm(str(rows), out),), out, recipe, device="cpu"), lambda text: None)
        return digest(out / "adapter_model.safetensors")

    def drawn():
        found = draw(read_audit(audit), Design(("known", "unknown"), (), 3, seed=3))
        return [arm.rows.tolist() for arm in found.arms]

    groups = np.arange(10)
    for make in (
        lambda: load(str(tiny), device="cpu").fingerprint,
        sampled,
        trained,
        drawn,
        lambda: split_rows(data.rows, {"a": 0.5, "b": 0.5}, "salt"),
        lambda: str(bootstrap(np.linspace(0, 1, 10)[:, None], groups, draws=50)),
    ):
        assert alone(make)
