"""Plans of studies: before the audit and after it they say about the same, and a told speed stands for a timed one."""

import json
import re

import pytest

from realmodels import audit_cost, cost, study_plan
from realmodels.card import ModelCard
from realmodels.cli import COMMANDS
from realmodels.recipe import Recipe
from realmodels.study_prompts import PromptSettings
from realmodels.study_settings import Settings
from realmodels.study_table import Order
from realmodels.study_unlabelled import size_of
from theory.command import main

LABELS = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
SET = {
    "rows": 12,
    "dev": 20,
    "test": 30,
    "ood": 16,
    "looks": 3,
    "longest": 3,
    "epochs": 4,
    "batch": 3,
    "rank": 2,
    "train_share": 0.4,
    "dev_share": 0.3,
    "per_relation": 64,
}


@pytest.fixture
def sources(write_audit, tmp_path):
    """The same facts twice: audited, with every label as often in each relation, and as they are."""
    facts = [
        {
            "question": f"What is the {relation} of {relation}land {k}?",
            "answers": [f"{relation.title()} {k % 9}"],
            "subject": f"{relation}land {k}",
            "relation": relation,
        }
        for relation in ("capital", "river", "maker")
        for k in range(64)
    ]
    write_audit(
        [(fact, {"label": LABELS[k % 4], "margin": float(k % 7)}) for k, fact in enumerate(facts)],
        folder=tmp_path / "audit",
    )
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    return {"--audit": tmp_path / "audit", "--data": path}


@pytest.fixture
def planned(tiny, tmp_path, capsys):
    def plan(kind, *words):
        usual = [kind, "--model", tiny, "-o", tmp_path / "run", "--seeds", 10, "--plan", *words]
        code = main(
            "x", "t", COMMANDS, ["study", *map(str, usual), "--set", *(f"{k}={v}" for k, v in SET.items())]
        )
        said = capsys.readouterr()
        assert not (tmp_path / "run").exists()
        return said.out if code == 0 else said.err

    return plan


def tokens(said):
    found = re.search(r"tokens: +([\d,]+) to audit, ([\d,]+) to train, ([\d,]+) to ask", said)
    return [int(one.replace(",", "")) for one in found.groups()]


@pytest.mark.parametrize("kind", ["salience", "slick", "prompts"])
def test_both_forms_of_a_plan_agree(kind, planned, sources, monkeypatch):
    for module in (cost, audit_cost):
        monkeypatch.setattr(module, "calibrate", lambda *_: pytest.fail("timed though a speed was told"))
    after, before = (planned(kind, how, path, "--speed", 1000) for how, path in sources.items())
    (_, *labelled), (audit, *unlabelled) = tokens(after), tokens(before)
    assert audit > 0
    assert unlabelled == pytest.approx(labelled, rel=0.3)
    arms = [re.search(r"arms: +(\d+) .*and the untuned base", said)[1] for said in (after, before)]
    assert arms[0] == arms[1]
    hours = (audit + 2 * unlabelled[0] + unlabelled[1]) / 1000
    minutes = re.search(r"time: +about (\d+) min \(1,000 tokens a second as --speed says", before)
    assert int(minutes[1]) == round(hours / 60)


def test_a_speed_is_a_number_and_for_a_plan(tiny, planned, sources, tmp_path, capsys):
    for bad in ("0", "-3", "nan", "inf"):
        assert f"--speed {float(bad):g}: expected a number above 0" in planned(
            "slick", "--audit", sources["--audit"], f"--speed={bad}"
        )
    words = ["study", "slick", "--model", str(tiny), "-o", str(tmp_path / "run"), "--speed", "5"]
    assert main("x", "t", COMMANDS, words) == 2
    assert "--plan, which is all that it is for" in capsys.readouterr().err


def test_sets_are_as_large_as_labels_can_allow():
    sizes = {
        name: size_of(name, Settings(rows=64), 200, 500)
        for name in ("known", "mix:0.5", "whole", "known-only:0.25", "category:Unknown", "natural")
    }
    assert sizes == {
        "known": 64,
        "mix:0.5": 64,
        "whole": 128,
        "known-only:0.25": 48,
        "category:Unknown": 50,
        "natural": 50,
    }
    assert (
        size_of("known:by-relation", Settings(rows=64), 90, 500) == 45
    )  # of 90 facts two sets have half each
    assert size_of("unknown", Settings(rows=None), 400, 600) == 100
    assert size_of("small:random", PromptSettings(rows=64), 200, 500) == 6


def test_memory_and_steps_by_hand(monkeypatch, tmp_path):
    """Llama-2-7B: 32 layers of width 4,096 in bfloat16, rows of 64 tokens, a vocabulary of 32,000."""
    gib = 2**30
    seven = ModelCard("m", 6738415616, 32, 4096, 32000, 0, 13 * gib, 4096, "cpu", "bfloat16")
    monkeypatch.setattr(study_plan, "adapter_weights", lambda order, recipe: 20_000_000)
    order = Order("m", (), tmp_path, Settings(), Recipe())
    fixed = 13 * gib + 16 * 20_000_000
    for recipe, kept in (
        (Recipe(batch=32, checkpointing=True), 0.75 * gib),  # 32 x 64 x 4096 x 2 bytes x (32 inputs + 16)
        (Recipe(batch=128, checkpointing=True), 3 * gib),
        (Recipe(batch=128, micro=32, checkpointing=True), 0.75 * gib),
        (Recipe(batch=32), 8 * gib),  # x 16 x 32
    ):
        rows = recipe.micro or recipe.batch
        assert study_plan.memory(seven, recipe, order) == fixed + kept + rows * 8 * 32000 * 4
    assert (study_plan.step_of(Recipe()), study_plan.step_of(Recipe(checkpointing=True))) == (2, 3)
    assert study_plan.Load(5, 7, 11, study_plan.step_of(Recipe(checkpointing=True))).forward == 5 + 21 + 11
    assert study_plan.Load(5, 7, 11).forward == 5 + 14 + 11


def test_activations_computed_twice_take_longer(planned, sources):
    usual = planned("slick", "--audit", sources["--audit"], "--speed", 1000)
    SET["checkpointing"] = "true"
    try:
        twice = planned("slick", "--audit", sources["--audit"], "--speed", 1000)
    finally:
        del SET["checkpointing"]
    assert "a training token counts 2)" in usual
    assert "a training token counts 3)" in twice
    assert tokens(usual) == tokens(twice)
