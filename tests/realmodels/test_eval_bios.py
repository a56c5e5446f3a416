"""Long form as a task of `eval`: the numbers of `bios write|split|score`, files, prompts, resumption, bad input."""

import json
import re
import warnings

import numpy as np
import pytest
import torch

from realmodels import eval_bios
from realmodels.bios_cli import Bios
from realmodels.compare_read import read_run
from realmodels.errors import RealmodelsError
from realmodels.eval_bios import means_of, metrics_of, prompts_for
from realmodels.eval_cli import Eval
from realmodels.eval_prompts import blocks, read_prompts
from realmodels.eval_tasks import read_tasks
from realmodels.prompting import style_named
from theory.command import main
from theory.records import read_records

FACTS = [
    ("Peru", "capital", "Lima"),
    ("Norway", "capital", "Oslo"),
    ("Norway", "size", ["big", "large"]),
    ("Cuba", "size", "small"),
    ("Chile", "size", "long"),
    ("Kenya", "capital", "Nairobi"),
]
POCKET = ("--request", "about {name} :", "--style", "plain", "--tokens", "24")


def run(*words):
    return main("python -m realmodels", "x", {"eval": Eval, "bios": Bios}, [str(word) for word in words])


def adapter_of(model, folder, seed=1):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        config = LoraConfig(
            r=2,
            lora_alpha=1,
            target_modules="all-linear",
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return folder


@pytest.fixture
def facts(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text(
        "".join(json.dumps({"subject": s, "relation": r, "object": o}) + "\n" for s, r, o in FACTS)
    )
    return path


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    lines = [
        {"question": f"What is the {r} of {s}?", "answers": o if isinstance(o, list) else [o], "subject": s}
        | {"relation": r, "popularity": 10.0 * k}
        for k, (s, r, o) in enumerate(FACTS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_numbers_are_those_of_bios_write_and_score(pocket, tmp_path, capsys):
    """On a model that knows some of its facts, bare and with an adapter."""
    data, tuned = pocket / "questions.jsonl", adapter_of(pocket, tmp_path / "tuned")
    words = ("eval", "--model", pocket, "--adapter", tuned, "--tasks", f"bios={data}", "--prompts", "zero")
    assert run(*words, *POCKET, "--splitter", "lines", "--limit", 30, "-o", tmp_path / "e") == 0
    assert re.search(r"bios +zero +tuned +30 +0\.\d{3}", capsys.readouterr().out)
    for name, more in (("base", ()), ("tuned", ("--adapter", tuned))):
        folder = tmp_path / name
        write = ("bios", "write", "--model", pocket, "--people", data, "--limit", 30, "-o", folder)
        assert run(*write, *POCKET, *more) == 0
        split = ("bios", "split", "--data", folder / "bios.jsonl", "--splitter", "lines", "-o", folder / "c")
        assert run(*split) == 0
        assert run("bios", "score", "--data", folder / "c", "--facts", data, "-o", folder / "s") == 0
        wanted = json.loads((folder / "s" / "summary.json").read_text())["all"]
        (path,) = (tmp_path / "e" / name).glob("results_*.json")
        found = json.loads(path.read_text())["results"]["bios_zero"]
        for metric in ("precision", "recall", "claims", "judged", "precision_judged"):
            assert found[f"{metric},none"] == pytest.approx(wanted[metric], abs=1e-12), metric
        texts = [json.loads(line)["text"] for line in (folder / "bios.jsonl").read_text().splitlines()]
        (path,) = (tmp_path / "e" / name).glob("samples_bios_zero_*.jsonl")
        assert [json.loads(line)["resps"] for line in path.read_text().splitlines()] == [[[t]] for t in texts]
        if name == "base":
            assert 0 < wanted["precision"] < 1
            assert 0 < wanted["recall"] < 1


def test_a_ratio_is_of_sums_and_texts_add_up_to_it():
    rng = np.random.default_rng(0)
    claims = rng.integers(0, 6, 40).astype(float)
    supported = np.minimum(rng.integers(0, 6, 40), claims)
    counts = {"claims": claims, "supported": supported, "judged": claims, "stated": supported}
    counts |= {"facts": np.full(40, 4.0), "tokens": claims, "finished": claims > 1}
    found = metrics_of(counts)
    assert found["precision"].mean() == pytest.approx(supported.sum() / claims.sum())
    assert found["recall"].mean() == pytest.approx(supported.sum() / 160)
    draws = rng.integers(0, 40, (4000, 40))  # its standard error is the ratio's
    ratios = supported[draws].sum(1) / claims[draws].sum(1)
    strata = [{"popularity": "low" if k < 20 else "high"} for k in range(40)]
    means = {(one.stratum, one.metric): one for one in means_of(counts, strata)}
    assert means["all", "precision"].stderr == pytest.approx(ratios.std(), rel=0.1)
    low = means["popularity=low", "precision"]
    assert (low.value, low.n) == (pytest.approx(supported[:20].sum() / claims[:20].sum()), 20)
    none = metrics_of(counts | {"claims": 0 * claims, "supported": 0 * claims, "judged": 0 * claims})
    assert "precision" not in none
    assert none["claims"].sum() == 0


def test_files_records_and_compare_read_them(tiny, facts, tmp_path, capsys):
    words = ("eval", "--model", tiny, "--tasks", f"bios={facts}", "--tokens", 8, "-o", tmp_path / "e")
    assert run(*words) == 0
    assert "bios: long form, not asked under few:4" in capsys.readouterr().err
    (path,) = (tmp_path / "e/base").glob("results_*.json")
    said = json.loads(path.read_text())
    assert said["configs"]["bios_zero"]["generation_kwargs"]["max_gen_toks"] == 8
    assert said["higher_is_better"]["bios_zero"]["claims"] is None
    assert said["n-samples"]["bios_zero"]["effective"] == 5
    (path,) = (tmp_path / "e/base").glob("samples_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["doc"]["subject"] for line in lines] == ["Peru", "Norway", "Cuba", "Chile", "Kenya"]
    assert lines[1]["doc"]["facts"][1] == {"relation": "size", "objects": ["big", "large"]}
    assert lines[0]["arguments"]["gen_args_0"]["arg_0"] == "Q: Tell me a bio of Peru.\nA:"
    for metric in lines[0]["metrics"]:
        mean = np.mean([line[metric] for line in lines])
        assert said["results"]["bios_zero"][f"{metric},none"] == pytest.approx(mean), metric
    assert all({"text", "by"} <= set(claim) for line in lines for claim in line["stated"])
    items = read_run(tmp_path / "e/base").task("bios_zero")
    assert {"recall", "claims"} <= set(items.metrics)
    assert items.subjects[0] == "peru"
    table = read_records(tmp_path / "e/records.jsonl")
    assert {"claim_recall", "claims", "tokens"} <= set(table.levels["metric"]) <= {
        "claim_precision", "claim_recall", "claims", "tokens"
    }  # fmt: skip
    assert set(table.levels["split"]) == {"bios"}
    assert run(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["strata"]["all"]["recall"] == pytest.approx(
        said["results"]["bios_zero"]["recall,none"]
    )


def test_who_is_written_about(facts, questions):
    (task,) = read_tasks(f"bios:{facts}")
    assert (task.name, [row.subject for row in task.rows][:2]) == ("bios", ["Peru", "Norway"])
    other, same = read_tasks(f"poets=bios:{facts},bios={questions}", limit=2)
    assert (other.name, len(other.questions), len(same.questions)) == ("poets", 2, 2)
    first, alone = read_tasks(f"bios,{questions}")
    assert (first.name, first.source, alone.long) == ("bios", str(questions), None)
    assert len(first.questions) == 5
    assert [fact.objects for fact in first.long.facts.about("norway")] == [("Oslo",), ("big", "large")]
    assert first.rows[1].popularity == 10.0


def test_other_peoples_texts_stand_before_the_request(facts, tmp_path):
    texts = tmp_path / "texts.jsonl"
    shown = [("Peru", "Peru is one."), ("Ghana", "Ghana is two."), ("Nepal", "Nepal is three.")]
    texts.write_text("".join(json.dumps({"name": n, "text": t}) + "\n" for n, t in shown))
    (task,) = read_tasks(f"bios={facts}", pools=f"bios={texts}")
    prompts = read_prompts("zero,few:2,few-wrong:2,cot")
    assert [prompt.name for prompt in prompts_for(task, prompts)] == ["zero", "few:2"]
    made = blocks(task, prompts[1], style_named("qa"))
    assert [block.index for block in made] == [(0,), (1, 2, 3, 4)]
    assert made[0].texts[0] == (
        "Q: Tell me a bio of Ghana.\nA: Ghana is two.\n\nQ: Tell me a bio of Nepal.\nA: Nepal is three.\n\n"
        "Q: Tell me a bio of Peru.\nA:"
    )
    assert all(text.startswith(block.prefix) for block in made for text in block.texts)
    assert "Peru is one." in made[1].prefix
    with pytest.raises(RealmodelsError, match="--prompts few:3: 2 texts to show before 'Peru'; expected 3"):
        blocks(task, read_prompts("few:3")[0], style_named("qa"))
    (bare,) = read_tasks(f"bios={facts}")
    assert [prompt.name for prompt in prompts_for(bare, prompts)] == ["zero"]


def test_a_killed_run_goes_on(tiny, facts, tmp_path, monkeypatch):
    words = ("eval", "--model", tiny, "--tasks", f"bios={facts}", "--tokens", 6, "--prompts", "zero")
    assert run(*words, "-o", tmp_path / "whole/e") == 0
    monkeypatch.setattr("realmodels.eval_run.TEXTS", 2)
    draw, asked = eval_bios.draw_texts, []

    def stops(limit):
        def once(loaded, prompts, *rest):
            if len(asked) >= limit:
                raise KeyboardInterrupt
            asked.append(prompts)
            return draw(loaded, prompts, *rest)

        return once

    monkeypatch.setattr(eval_bios, "draw_texts", stops(1))
    assert run(*words, "-o", tmp_path / "killed/e") == 130
    monkeypatch.setattr(eval_bios, "draw_texts", stops(9))
    assert run(*words, "-o", tmp_path / "killed/e") == 0
    assert [len(some) for some in asked] == [2, 2, 1]
    found = []
    for name in ("killed", "whole"):
        (path,) = (tmp_path / name / "e/base").glob("samples_*.jsonl")
        found.append(path.read_bytes() + (tmp_path / name / "e/records.jsonl").read_bytes())
    assert found[0] == found[1]


BAD = [
    (["--tasks", "bios"], "--tasks bios: about whom"),
    (["--tasks", "bios=nowhere.jsonl"], "nowhere.jsonl: no such file"),
    (["--tasks", "bios={facts},bios:{facts}"], "two tasks by the name of 'bios'"),
    (["--tasks", "bios={nobody}"], "no row has a subject, so there is nobody to write about"),
    (["--prompts", "cot,few:2"], "--prompts cot,few:2: none is for bios, which is long form; add zero"),
    (["--request", "Tell me"], "--request: expected {name} in it"),
    (["--tokens", "0"], "--tokens: expected at least 1"),
    (["--tokens", "900"], "the model sees 512 at once"),
    (["--splitter", "rule"], "--splitter: unknown 'rule'; did you mean 'rules'"),
    (["--exemplars-from", "bioz={facts}"], "no task 'bioz'; did you mean 'bios'"),
    (["--exemplars-from", "bios={nobody}"], "field 'name'"),
]


@pytest.mark.parametrize(("words", "line"), BAD)
def test_bad_input_is_one_line(tiny, facts, tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nobody.jsonl").write_text('{"question": "Who?", "answers": ["He"]}\n')
    usual = {"--model": tiny, "--tasks": f"bios={facts}", "--prompts": "zero", "--output-dir": "out"}
    given = [word.replace("{facts}", str(facts)).replace("{nobody}", "nobody.jsonl") for word in words]
    given += [word for pair in usual.items() if pair[0] not in given for word in pair]
    assert run("eval", *given) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert line in err
    assert not list(tmp_path.rglob("results_*"))


def test_the_table_can_be_another_one_without_writing_again(tiny, facts, tmp_path, monkeypatch):
    words = ("eval", "--model", tiny, "--tokens", 6, "--prompts", "zero", "-o", tmp_path / "e", "--tasks")
    assert run(*words, f"bios={facts}") == 0
    monkeypatch.setattr("realmodels.resident.load", None)  # no weights are opened
    more = facts.with_name("more.jsonl")
    more.write_text(
        facts.read_text() + json.dumps({"subject": "Cuba", "relation": "sea", "object": "sea"}) + "\n"
    )
    assert run(*words, f"bios={more}") == 0
