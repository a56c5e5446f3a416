"""Whole studies on a tiny model: finished once, interrupted, shared between studies, and asked wrongly."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from realmodels import attend_heads, study_arms, study_watch, train_loop
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.resident import Resident
from realmodels.study_arms import keys_of, results_of, shared_folder
from realmodels.study_attend import METRICS
from realmodels.study_cli import Study
from realmodels.study_facts import read_facts
from realmodels.study_questions import arms_of
from realmodels.study_salience import KIND
from realmodels.study_sets import draw_sets
from theory.claims import CLAIMS
from theory.claims.base import Absent
from theory.claims.evidence import split_studies
from theory.command import main
from theory.records import read_records
from theory.runs import locked

SMALL = (
    "rows=6",
    "dev=4",
    "test=10",
    "ood=4",
    "shots=1",
    "looks=2",
    "longest=3",
    "epochs=2",
    "batch=3",
    "rank=2",
)
LABELS = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
STEPS = 4  # of every set but `whole`


def run(*words):
    return main("python -m realmodels", "test", COMMANDS, ["study", *(str(word) for word in words)])


def write_facts_known(write_audit, folder):
    """Sixteen facts of every label in each of three relations, as an audit leaves them."""
    rows = []
    for relation in ("capital", "river", "maker"):
        for k in range(64):
            row = {
                "question": f"What is the {relation} of {relation}land {k}?",
                "answers": [f"{relation.title()} {k % 9}"],
                "subject": f"{relation}land {k}",
                "relation": relation,
            }
            special = {"label": LABELS[k % 4], "margin": float(k % 7), "dominant_answer": k % 9 < 2}
            rows.append((row, special | {"overlaps_subject": k % 5 == 0}))
    write_audit(rows, folder=folder)
    return folder


@pytest.fixture
def audit(write_audit, tmp_path):
    return write_facts_known(write_audit, tmp_path / "audit")


@pytest.fixture(scope="module")
def before(tiny, tmp_path_factory):
    """A finished study of salience: its folder, with the arms beside it. Made on first use; audits of the same content
    find the arms again wherever they are."""
    return {"folder": tmp_path_factory.mktemp("before"), "done": False}


@pytest.fixture
def study(tiny, audit, tmp_path):
    def start(name, out="run", *words, seeds=(10,), settings=SMALL):
        usual = ("--model", tiny, "--audit", audit, "-o", tmp_path / out, "--shared", tmp_path / "arms")
        return run(name, *usual, "--seeds", *seeds, *words, "--set", *settings)

    return start


@pytest.fixture
def salience(study, before, tmp_path):
    """The same study, finished here: trained by the first test that wants it."""
    if before["done"]:
        shutil.copytree(before["folder"] / "arms", tmp_path / "arms")
    assert study("salience") == 0
    if not before["done"]:
        shutil.copytree(tmp_path / "arms", before["folder"] / "arms")
        before["done"] = True
    return tmp_path / "run" / "records.jsonl"


@pytest.fixture
def made(monkeypatch):
    """Names of the arms that are really trained or asked."""
    real, names = study_arms._make, []

    def make(order, loaded, arm, key, folder):
        real(order, loaded, arm, key, folder)
        names.append(arm.name)

    monkeypatch.setattr(study_arms, "_make", make)
    return names


@pytest.fixture
def arms(tiny, audit, tmp_path):
    """Some arms as a study makes them, alone."""

    def make(*names, settings=SMALL, **more):
        given = Study("salience", tmp_path / "run", str(tiny), audit=audit, seeds=(10,), shared=tmp_path / "arms",
                      set=tuple(settings), **more)  # fmt: skip
        order, _ = given._order()
        facts = read_facts(audit, order.settings)
        drawn = {10: draw_sets(facts, names, order.settings, 10)}
        found, _ = arms_of(order, facts, drawn, KIND)
        return order, list(found.values())

    return make


def silent(text):
    pass


def test_a_study_writes_records_for_every_claim_that_it_speaks_to(made, capsys, salience, tmp_path):
    assert Counter(made) in (
        Counter(["base", "known", "unknown", "known-permuted", "best", "lesser", "whole", "random"]),
        Counter(),
    )
    said = capsys.readouterr().out
    assert "A1 lesser-known rows hurt" in said
    assert "none (untuned)" in said
    rows = {one.study: one for one in split_studies(read_records(salience))}
    assert set(rows) == {"salience", "validity"}
    assert {one.lab for one in rows.values()} == {"realmodels/R3-model"}
    for name in ("A1", "A2", "A7", "V1", "V2", "V3"):
        for part in CLAIMS[name].parts:
            if part.role == "decides" and "beyond guessing" not in part.name:
                assert not part.quantity.measure(rows[CLAIMS[name].study]).missing, (name, part.name)
    for part in CLAIMS["A4"].parts:
        assert not part.quantity.measure(rows["salience"]).missing, part.name
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["lab"] == "realmodels/R3-model"
    assert {"Verdicts", "Arms", "known minus unknown", "best minus lesser"} <= set(summary["sections"])
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["sets"]["10"]["known"] == 6
    assert not [one for one in (tmp_path / "arms").iterdir() if one.is_dir()]  # nothing but results


def test_what_the_records_say_is_what_was_asked(salience):
    table = read_records(salience)
    where = {"study": "validity", "trained_on": "known", "arm": "lora", "split": "test", "prompt": "zero"}
    last = table.take(table.mask(**where, metric="accuracy", step=STEPS))
    names, values = last.column("item"), last.numbers["value"]
    pooled = values[(names == "") & (last.column("stratum") == "all")]
    assert len(pooled) == 1
    assert (names != "").sum() == 10
    assert pooled[0] == pytest.approx(values[names != ""].mean())
    dev = table.take(table.mask(study="validity", trained_on="known", metric="accuracy", split="dev"))
    assert sorted(dev.numbers["step"].tolist()) == [2, 4]
    fitted = table.take(
        table.mask(study="validity", trained_on="known", metric="fitted", stratum="known=yes")
    )
    assert fitted.numbers["n"].tolist() == [6] * len(fitted)
    base = table.take(table.mask(study="validity", arm="base", split="test", stratum="all", item=""))
    assert set(base.column("prompt").tolist()) == {"zero", "few:1"}


def test_the_other_study_does_not_train_again_what_it_shares(salience, made, study, tmp_path):
    made.clear()
    assert study("slick", "slick") == 0
    assert not {"mix:0", "mix:1", "known-permuted"} & set(made)  # the same rows, answers and questions
    assert {"mix:0.5", "known-only:0.5", "category:MaybeKnown", "natural", "idk:0.5"} <= set(made)
    rows = split_studies(read_records(tmp_path / "slick" / "records.jsonl"))[0]
    for name in ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C9"):
        for part in CLAIMS[name].parts:
            for cell in part.quantity.cells:
                found = rows.curve(cell) if cell.stop == "every" else rows.series(cell)
                assert not isinstance(found, Absent), (name, part.name, found)
    for flagger in ("slick", "slick-1"):
        cell = CLAIMS["C8"].parts[0].quantity.cells[0].at(stratum=f"flagger={flagger}")
        assert not isinstance(rows.series(cell), Absent)
    summary = json.loads((tmp_path / "slick" / "summary.json").read_text())
    assert {"Training rows fitted, by step", "Test accuracy by category"} <= set(summary["sections"])
    assert len(summary["sections"]["The paper's numbers beside ours"]) == 50


def test_started_again_it_does_nothing_twice_and_ends_with_the_same_bytes(salience, made, study):
    before = salience.read_bytes()
    made.clear()
    assert study("salience") == 0
    assert made == []
    assert salience.read_bytes() == before


def test_interrupted_it_goes_on_where_it_was(salience, study, tmp_path, monkeypatch, capsys):
    whole, real, names = salience.read_bytes(), study_arms._make, []
    salience.unlink()
    for path in sorted((tmp_path / "arms").glob("*.json"))[:3]:
        path.unlink()

    def make(order, loaded, arm, key, folder):
        if names:
            raise KeyboardInterrupt
        real(order, loaded, arm, key, folder)
        names.append(arm.name)

    monkeypatch.setattr(study_arms, "_make", make)
    assert study("salience") == 130
    assert "run the same command again" in capsys.readouterr().err
    assert not salience.exists()
    monkeypatch.setattr(study_arms, "_make", real)
    assert study("salience") == 0
    assert salience.read_bytes() == whole


def test_two_processes_make_the_same_records_as_one(salience, study, tmp_path, capfd):
    alone = salience.read_bytes()
    for path in sorted((tmp_path / "arms").glob("*.json"))[:3]:
        path.unlink()
    assert study("salience", "run", "--workers", 2) == 0
    assert salience.read_bytes() == alone
    assert "stops" not in capfd.readouterr().err


class Stopped(Exception):
    pass


@pytest.mark.parametrize("step", [2, 4])
def test_an_arm_that_was_killed_goes_on_from_its_checkpoint(arms, tmp_path, monkeypatch, step):
    order, some = arms("known", settings=(*SMALL, "save_every=1"))
    real, taken = train_loop.take_step, []

    def take_step(*given):
        taken.append(1)
        if len(taken) == step:
            raise Stopped
        return real(*given)

    monkeypatch.setattr(train_loop, "take_step", take_step)
    with pytest.raises(Stopped):
        results_of(order, some, silent)
    taken.clear()
    monkeypatch.setattr(train_loop, "take_step", lambda *given: (taken.append(1), real(*given))[1])
    gone_on = results_of(order, some, silent)[0]
    assert len(taken) == STEPS - (step - 1)
    for path in (tmp_path / "arms").glob("*.json"):
        path.unlink()
    at_once = results_of(order, some, silent)[0]
    assert gone_on.about["final_hash"] == at_once.about["final_hash"]
    assert (gone_on.early, gone_on.dev) == (at_once.early, at_once.dev)
    assert {key: sat.plain() for key, sat in gone_on.asked.items()} == {
        key: sat.plain() for key, sat in at_once.asked.items()
    }


def test_what_a_killed_process_was_writing_is_dropped_by_the_next_and_nothing_else(arms, tmp_path):
    order, some = arms("known", settings=(*SMALL, "epochs=1"))
    (key,) = keys_of(order, some)
    folder = shared_folder(order)
    folder.mkdir(parents=True, exist_ok=True)
    other = f".{'0' * len(key)}.json.0123abcd"  # another process may be writing it
    for name in (f".{key}.json.0123abcd", other, f".{key}.json.mine"):
        (folder / name).write_text('{"key": "')
    results_of(order, some, silent)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [other, f".{key}.json.mine", f"{key}.json"]
    )


def test_the_early_stop_is_asked_with_its_own_weights(arms, tmp_path, monkeypatch):
    """What an arm answers at its early stop is what one answers that ends there."""
    shares = iter([0.5, 0.75, 0.25, 0.0])
    monkeypatch.setattr(train_loop, "exact_match", lambda *given: next(shares, 0.0))
    order, some = arms("known", settings=(*SMALL, "epochs=4", "warmup=0"))
    long = results_of(order, some, silent)[0]
    assert long.stops == (4, 8)
    shares = iter([0.5, 0.75])
    order, some = arms("known", settings=(*SMALL, "steps=4", "warmup=0"))
    short = results_of(order, some, silent)[0]
    assert short.stops == (4,)
    for (step, split, prompt), sat in short.asked.items():
        if step == 4:
            other = long.asked[4, split, prompt]
            assert sat.hits.tolist() == other.hits.tolist()
            assert sat.logprob.tolist() == other.logprob.tolist()
            assert other.logprob.tolist() != long.asked[8, split, prompt].logprob.tolist()


def test_nan_stops_the_arm_and_keeps_the_finished_ones(arms, tmp_path, monkeypatch):
    order, some = arms("known", "unknown")
    results_of(order, some[:1], silent)
    real = train_loop.take_step
    monkeypatch.setattr(train_loop, "take_step", lambda *given: replace(real(*given), loss=float("nan")))
    with pytest.raises(
        RealmodelsError, match=r"seed 10 unknown: .*the loss is nan at step 1.*finished arms are kept"
    ):
        results_of(order, some, silent)
    assert len(list((tmp_path / "arms").glob("*.json"))) == 1


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
def test_adapters_can_be_kept_and_open_in_peft(arms, tmp_path, tiny):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    order, some = arms("known", keep_adapters=True)
    results_of(order, some, silent)
    kept = [one for one in (tmp_path / "arms").iterdir() if (one / "adapter_config.json").exists()]
    assert len(kept) == 1
    tuned = Resident(str(tiny), device="cpu").tuned([f"own={kept[0]}"], base=False)[0]
    assert (tuned.arm, tuned.seed, tuned.step > 0) == ("known", some[0].seed, True)
    other = shutil.copytree(tiny, tmp_path / "other" / tiny.name)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(RealmodelsError, match="was trained on other weights"):
        Resident(str(other), device="cpu").tuned([f"own={kept[0]}"])
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), kept[0])
    assert np.isfinite(sum(float(weight.detach().sum()) for weight in model.parameters()))


def test_a_plan_says_what_it_costs_and_loads_and_writes_nothing(study, tmp_path, monkeypatch, capsys):
    from realmodels import cost, loading

    monkeypatch.setattr(cost, "calibrate", lambda model, seconds=5.0: 1000.0)
    monkeypatch.setattr(loading, "load", lambda *a, **k: pytest.fail("weights were loaded"))
    assert study("salience", "run", "--plan", seeds=(10, 11, 12)) == 0
    said = capsys.readouterr().out
    assert "22 (7 a seed and the untuned base), 0 finished" in said
    assert "known 6, unknown 6" in said
    assert "1,000 tokens a second" in said
    assert "GiB a process" in said
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "arms").exists()


def test_sets_whose_attention_was_not_measured_are_made_again_and_no_others(study, made, salience, tmp_path):
    made.clear()
    records = salience.read_bytes()
    assert study("salience", settings=(*SMALL, "attention=[best]")) == 0
    assert made == ["lesser"]  # without it is another arm; `best` and the untuned model are there
    assert study("salience", settings=(*SMALL, "attention=[]")) == 0
    assert made == ["lesser", "base", "best"]
    table = read_records(salience)
    assert "attention_subject" not in table.levels["metric"]
    assert "Attention to the subject" not in (tmp_path / "run" / "summary.md").read_text()
    made.clear()
    assert study("salience") == 0
    assert made == []
    assert salience.read_bytes() == records
    assert "## Attention to the subject" in (tmp_path / "run" / "summary.md").read_text()


def test_attention_is_added_to_finished_arms_without_asking_them_again(
    study, made, capsys, tmp_path, monkeypatch
):
    """Their adapters are trained again and are the same to the bit; if one were another, all of it would be asked."""
    from realmodels import cost

    real, asked = study_arms._ask, []

    def ask(loaded, arm, *rest, **more):
        asked.append(arm.name)
        return real(loaded, arm, *rest, **more)

    monkeypatch.setattr(cost, "calibrate", lambda model, seconds=5.0: 1000.0)
    for module in (study_arms, study_watch):
        monkeypatch.setattr(module, "_ask", ask)
    assert study("salience", "run", settings=(*SMALL, "attention=[]")) == 0
    capsys.readouterr()
    assert study("salience", "run", "--plan") == 0
    assert "5 finished, 3 to train or ask (3 of them only looked into)" in capsys.readouterr().out
    before = set(read_records(tmp_path / "run" / "records.jsonl").records())
    asked.clear()
    made.clear()
    assert study("salience") == 0
    assert sorted(made) == ["base", "best", "lesser"]
    assert not asked
    after = set(read_records(tmp_path / "run" / "records.jsonl").records())
    assert before < after
    assert {r.metric for r in after - before} == set(METRICS)
    for path in (tmp_path / "arms").glob("*.json"):
        said = json.loads(path.read_text())
        if said["about"]["arm"] == "lesser" and not said["extra"]:
            said["about"]["final_hash"] = "another"
            path.write_text(json.dumps(said))
        elif said["extra"]:
            path.unlink()
    assert study("salience") == 0
    assert set(asked) == {"lesser"}
    assert set(read_records(tmp_path / "run" / "records.jsonl").records()) == after


def test_a_plan_counts_what_looking_reads(study, monkeypatch, capsys):
    from realmodels import cost

    monkeypatch.setattr(cost, "calibrate", lambda model, seconds=5.0: 1000.0)

    def asked(*settings):
        assert study("salience", "run", "--plan", settings=(*SMALL, *settings)) == 0
        return int(re.search(r"([\d,]+) to ask", capsys.readouterr().out)[1].replace(",", ""))

    none, one, two = (asked(f"attention={names}") for names in ("[]", "[best]", "[best, lesser]"))
    stop = two - one  # an arm's two stops
    assert stop % 6 == 0  # ten questions thrice at each
    assert one - none == stop + stop // 2 + 8 * 10  # and the untuned model with a token a head and question


def test_a_model_that_cannot_be_looked_into_is_studied_all_the_same(study, monkeypatch, tmp_path):
    def none(loaded):
        raise RealmodelsError("its attention cannot be looked into")

    monkeypatch.setattr(attend_heads, "layers_of", none)
    assert study("salience") == 0
    assert (
        "Not measured: its attention cannot be looked into" in (tmp_path / "run" / "summary.md").read_text()
    )
    assert "attention_subject" not in read_records(tmp_path / "run" / "records.jsonl").levels["metric"]


def facts_file(tmp_path, count=20):
    path = tmp_path / "facts.jsonl"
    rows = (
        {
            "question": f"What is the {r} of {r}land {k}?",
            "answers": [f"City {k}"],
            "subject": f"{r}land {k}",
            "relation": r,
        }
        for r in ("capital", "river")
        for k in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_plan_without_an_audit_counts_that_too(tiny, tmp_path, monkeypatch, capsys):
    from realmodels import audit_cost, cost

    monkeypatch.setattr(cost, "calibrate", lambda model, seconds=5.0: 1000.0)
    monkeypatch.setattr(audit_cost, "calibrate", lambda model, seconds=5.0: 1000.0)
    data = facts_file(tmp_path)
    assert (
        run("slick", "--model", tiny, "--data", data, "-o", tmp_path / "run", "--plan", "--set", *SMALL) == 0
    )
    said = capsys.readouterr().out
    assert "46 (15 a seed and the untuned base)" in said
    assert "40 to audit" in said
    assert not (tmp_path / "run").exists()


def test_facts_are_drawn_and_audited_first_and_what_cannot_be_compared_is_said(tiny, tmp_path, capsys):
    words = ("--model", tiny, "--data", facts_file(tmp_path), "-o", tmp_path / "run")
    small = (*SMALL, "per_relation=12", "prompts=1", "audit_shots=1")
    assert run("salience", *words, "--set", *small) == 2
    said = capsys.readouterr().err
    assert "known: " in said
    assert "no row is some greedy answer is right" in said
    assert len((tmp_path / "run" / "audit" / "rows.jsonl").read_text().splitlines()) == 24
    assert (tmp_path / "run" / "audit" / "audit.jsonl").exists()


def test_a_folder_in_use_is_left_alone(study, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run" / ".lock"):
        assert study("salience") == 2
    assert "in use by process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "-1"), "--seeds -1: expected different numbers"),
        (("--seeds", "3", "3"), "--seeds 3 3"),
        (("--workers", "0"), "--workers: expected at least 1"),
        (("--set", "rows=1"), "rows: expected a whole number of at least 2, got 1"),
        (("--set", "rwos=12"), "unknown key \"rwos\""),
        (("--set", "rate=0"), "rate: expected a number above 0"),
        (("--set", "patience=2"), "--set patience: has no place in a study (every arm is trained to its end)"),
        (("--set", "eval_every=5"), "--set eval_every: has no place in a study (looks are by epoch)"),
        (("--preset", "llama-2"), "--preset: unknown 'llama-2'"),
        (("--lab", "R3"), "--lab 'R3': expected ROOM/RUNG-NAME"),
        (("--dtype", "float16"), "--dtype float16: gradients vanish"),
        (("--set", "hold_out=[rivers]"), "hold_out: unknown 'rivers'"),
        (("--set", "by=popularity"), "no row has a popularity"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(tiny, audit, tmp_path, capsys, words, said):
    usual = ("--model", tiny, "--audit", audit, "-o", tmp_path / "run", "--shared", tmp_path / "arms")
    assert run("salience", *usual, *words) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, captured.err
    assert said in lines[0]
    assert not (tmp_path / "run" / "records.jsonl").exists()


def test_without_a_model_or_with_a_wrong_one(audit, tmp_path, capsys):
    assert run("salience", "--audit", audit, "-o", tmp_path / "run") == 2
    assert "--model: none is named" in capsys.readouterr().err
    assert run("salience", "--model", tmp_path / "nothing", "--audit", audit, "-o", tmp_path / "run") == 2
    assert "nothing" in capsys.readouterr().err


def test_an_audit_of_another_model_is_refused(study, audit, capsys):
    said = {
        "source": {"kind": "jsonl", "columns": []},
        "model": {"name": "other", "fingerprint": "0", "adapter": None},
    }
    (audit / "summary.json").write_text(json.dumps(said))
    assert study("salience") == 2
    assert "is the audit of other, whose weights differ" in capsys.readouterr().err


def test_without_data_or_audit(tiny, tmp_path, capsys):
    assert run("salience", "--model", tiny, "-o", tmp_path / "run") == 2
    assert "--data: no source is named" in capsys.readouterr().err


def test_settings_are_shown_with_their_sources(tmp_path, capsys):
    assert run("slick", "--preset", "llama-2-7b", "-o", tmp_path / "run", "--show-settings") == 0
    said = capsys.readouterr().out
    assert "epochs: 50  # slick: the paper's convergence" in said
    assert "rows: null" in said
    assert not (tmp_path / "run").exists()
