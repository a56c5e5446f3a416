"""`python -m theory check` finds every theorem holding and every false variant failing."""

import json
import re

import pytest

from theory.checks import check_all, check_perturbed, render
from theory.errors import TheoryError
from theory.theorems import THEOREMS, CheckResult, theorem
from theory.theorems.base import Counterexample, Outcome, Theorem

EXPECTED = ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T7'", "T8", "T8'", "T9"]
EXPECTED += ["P1", "P2", "K1", "K2", "K3", "K4", "K5", "K6"]


def test_every_theorem_is_there():
    assert list(THEOREMS) == EXPECTED


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_theorems_hold(seed):
    for result in check_all(n=400, seed=seed):
        assert result.holds, result
        assert result.instances >= 100, result


@pytest.mark.parametrize("key", EXPECTED)
def test_every_check_can_fail(key):
    rows = check_perturbed([key], n=1500, seed=5)
    assert len(rows) >= 2
    for row in rows:
        assert row.violations > 0, f"{key} does not notice {row.note!r}"


@pytest.mark.parametrize("key", EXPECTED)
def test_every_counterexample_breaks_and_every_theorem_is_complete(key):
    it = THEOREMS[key]
    assert it.title
    assert it.statement
    assert it.latex
    assert it.source
    assert it.assumptions
    for example in it.counterexamples:
        assert example.build()["breaks"] is True or bool(example.build()["breaks"]), (key, example.drops)


def test_same_seed_same_result_and_other_seed_other_instances():
    first, again, other = (check_all(["T1"], 200, seed)[0] for seed in (3, 3, 4))
    assert (first.worst_error, first.instances) == (again.worst_error, again.instances)
    assert first.worst_error != other.worst_error


def test_workers_do_not_change_the_result():
    one = check_all(["T2", "K1"], 30_000, 0, workers=1)
    two = check_all(["T2", "K1"], 30_000, 0, workers=2)
    assert [(r.theorem, r.instances, r.violations, r.worst_error) for r in one] == [
        (r.theorem, r.instances, r.violations, r.worst_error) for r in two
    ]


@pytest.mark.parametrize(
    ("name", "key"), [("t7'", "T7'"), ("T7p", "T7'"), ("k4", "K4"), (" p1 ", "P1"), ("T8P", "T8'")]
)
def test_names_are_forgiving(name, key):
    assert theorem(name).id == key


def test_a_violation_exits_with_1_and_is_named(cli, tmp_path):
    run = cli("theory", "check", "K1", "T1", "--n", "300", "--output", "c.json")
    assert run.returncode == 0, run.stderr
    assert "2 of 2 hold" in run.stdout
    rows = json.loads((tmp_path / "c.json").read_text())
    assert [row["theorem"] for row in rows] == ["K1", "T1"]
    assert all(row["holds"] for row in rows)
    broken = CheckResult("T1", 0, 10, 1, 0.5, 0.1)
    assert not broken.holds
    assert "VIOLATED" in render([broken])
    assert "broken: T1" in render([broken])
    untested = CheckResult("T1", 0, 0, 0, 0.0, 0.1)
    assert not untested.holds
    assert "NOT TESTED" in render([untested])


def test_check_exits_with_1_when_a_statement_is_violated(monkeypatch):
    from theory import cli as commands

    monkeypatch.setattr("theory.checks.check_all", lambda *a: [CheckResult("T1", 0, 10, 1, 0.5, 0.1)])
    assert commands.Check().run() == 1
    monkeypatch.setattr(
        "theory.checks.check_perturbed", lambda *a: [CheckResult("T1", 0, 10, 0, 0.0, 0.1, "sign")]
    )
    assert commands.Check(perturb=True).run() == 1


def test_perturb_reports_every_variant(cli):
    run = cli("theory", "check", "T2", "--n", "500", "--perturb")
    assert run.returncode == 0
    assert run.stdout.count("caught") == len(THEOREMS["T2"].perturbations)


def test_show_prints_statement_assumptions_and_counterexamples(cli):
    run = cli("theory", "show", "T2")
    assert run.returncode == 0
    for part in ("T2", "Assumptions", "without it", "breaks = True", "False variants"):
        assert part in run.stdout
    claim = cli("theory", "show", "a1")
    assert claim.returncode == 0
    assert "A1" in claim.stdout
    assert "Ghosal" in claim.stdout


def test_list_names_everything(cli):
    out = cli("theory", "list").stdout
    for key in [*EXPECTED, "A1", "B7", "C9", "D5", "X6", "U4", "V3"]:
        assert any(line.split()[0] == key for line in out.splitlines()), key
    assert "A1" not in cli("theory", "list", "theorems").stdout
    assert "T1 " not in cli("theory", "list", "claims").stdout


def make(**changes):
    fields = {
        "id": "T0",
        "title": "t",
        "statement": "s",
        "latex": "l",
        "assumptions": {"a": "words"},
        "status": "proved",
        "source": "ours",
        "formula": max,
        "run": lambda n, rng: Outcome(n, 0, 0.0),
        "perturbations": {"x": {}},
        "keeps": {"a": "why"},
    }
    return Theorem(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"counterexamples": (Counterexample("b", "w", dict),)}, "drops 'b', which is no assumption"),
        ({"keeps": None}, "neither a counterexample nor a reason"),
        ({"perturbations": {}}, "nothing shows that its check can fail"),
    ],
)
def test_an_incomplete_theorem_cannot_be_made(changes, line):
    with pytest.raises(TheoryError, match=line):
        make(**changes)
    assert make().check(3).instances == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((0,), "T0: n: expected an integer >= 1, got 0"),
        ((1.5,), "T0: n: expected an integer >= 1, got 1.5"),
        ((1, -1), "T0: seed: expected an integer >= 0, got -1"),
        ((1, 0.5), "T0: seed: expected an integer >= 0, got 0.5"),
    ],
)
def test_a_check_needs_whole_numbers(arguments, line):
    with pytest.raises(TheoryError, match=line):
        make().check(*arguments)


# A word glued to the letter after it (\\quadB) is no command: only these are.
LATEX = """Bigl Bigr Delta Pr Rightarrow alpha arg beta bigl bigr cap cup delta emptyset eta exp forall frac ge iff
infty int langle le left log mathbb mathrm max min neq partial phi pi propto qquad quad rangle rho right setminus
sigma sim subseteq sum tau text tfrac theta triangle"""


@pytest.mark.parametrize("key", EXPECTED)
def test_the_latex_of_a_statement_can_be_set(key):
    latex = THEOREMS[key].latex
    assert set(re.findall(r"\\([A-Za-z]+)", latex)) <= set(LATEX.split())
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") - latex.count(r"\leftarrow") == latex.count(r"\right")


def test_outcomes_add_up():
    total = Outcome(2, 1, 0.5, "a") + Outcome(3, 0, 0.7, "b")
    assert total == Outcome(5, 1, 0.7, "a; b")
