"""Evaluation on tiny models: adapters on one base, files in the harness's shape, resumption, strata, bad input."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from realmodels import eval_ask, harness, mmlu
from realmodels.compare_read import read_run
from realmodels.errors import RealmodelsError
from realmodels.eval_cli import Eval
from realmodels.eval_files import records, samples, write_eval
from realmodels.eval_prompts import answer_prompt, blocks, read_prompts
from realmodels.eval_run import Job, lab_of, run_eval
from realmodels.eval_strata import means, popularity_edges, strata_of, wilson
from realmodels.eval_tasks import doc_hash, read_tasks
from realmodels.loading import load
from realmodels.prompting import Shot, render_prefix, render_question, style_named
from realmodels.resident import Resident
from tests.realmodels.common import tune
from theory.command import main
from theory.matching import match
from theory.records import read_records

FACTS = [
    ("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi"),
    ("Cuba", "Havana"), ("Egypt", "Cairo"), ("Chile", "Santiago"), ("Ghana", "Accra"), ("Nepal", "Kathmandu"),
    ("Panama", "Panama City"), ("Monaco", "Monaco"),
]  # fmt: skip
CHOICES = 'Which is %s?,a,b,c,d,B\nWhat of %s?,x,yy,z,w,D\n"Why, in %s?",k,l,m,n,A\n'


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "capitals.jsonl"
    lines = [
        {"id": f"r{i}", "question": f"What is the capital of {s}?", "answers": [a], "subject": s}
        | {"relation": "capital", "popularity": 10.0 * i}
        for i, (s, a) in enumerate(FACTS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def choices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmlu")
    for split in ("dev", "test"):
        (folder / split).mkdir()
        for subject in ("law", "fine_art"):
            (folder / split / f"{subject}_{split}.csv").write_text(CHOICES % (subject, split, subject))
    return folder


@pytest.fixture(scope="session")
def adapters(tiny, tmp_path_factory):
    """Two LoRA adapters that change answers."""
    folder = tmp_path_factory.mktemp("adapters")
    return [
        tune(tiny, folder / f"tuned-{seed}", seed=seed, rank=rank, named=seed + 6)
        for seed, rank in ((1, 4), (2, 2))
    ]


def job(tiny, output, tasks, **options):
    prompts = read_prompts(options.pop("prompts", "zero,few:2"))
    pools, limit = options.pop("pools", ""), options.pop("limit", None)
    adapters = tuple(map(str, options.pop("adapters", ())))
    return Job(
        str(tiny),
        adapters,
        read_tasks(tasks, limit=limit, pools=pools),
        prompts,
        output,
        style_named("qa"),
        **{"longest": 6, "thought": 5, "device": "cpu", **options},
    )


def run(*args, **options):
    return run_eval(job(*args, **options), progress=False)


def lines_of(folder, pattern):
    (path,) = folder.glob(pattern)
    return path.read_text().splitlines()


def test_the_base_is_the_plain_model_before_and_after_adapters(tiny, adapters):
    resident = Resident(str(tiny), device="cpu")
    base, one, two = resident.tuned([str(adapters[0]), f"other={adapters[1]}"])
    assert [who.name for who in (base, one, two)] == ["base", "tuned-1", "other"]
    assert [who.seed for who in (base, one, two)] == [0, 7, 8]
    assert [(who.arm, who.step) for who in (base, one, two)] == [("none", 0), ("known", 30), ("known", 30)]
    again = resident.tuned([str(adapters[0]), f"other={adapters[0]}"])
    assert [who.arm for who in again] == ["none", "tuned-1", "other"]
    plain, ids = load(str(tiny), device="cpu").model, torch.tensor([[5, 9, 12, 40]])
    with torch.inference_mode():
        wanted = plain(ids).logits
        heard = []
        for who in (base, one, base, two, base):
            with resident.wearing(who) as loaded:
                heard.append(loaded.model(ids).logits)
                assert loaded.fingerprint == who.fingerprint
        with pytest.raises(ZeroDivisionError), resident.wearing(one):
            1 / 0  # noqa: B018
        with resident.wearing(base) as loaded:
            heard.append(loaded.model(ids).logits)
    for k in (0, 2, 4, 5):
        assert torch.equal(heard[k], wanted)
    assert (heard[1] - wanted).abs().max() > 0.1
    assert (heard[3] - heard[1]).abs().max() > 0.1
    assert loaded.model is resident.base().model
    assert not any("lora" in name for name, _ in loaded.model.named_modules())


def test_an_adapter_is_as_its_merged_model(tiny, adapters, rows, choices, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapters[0])
        merged.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "merged")
    tasks, prompts = f"{rows},mmlu={choices}", "zero,few:2,cot"
    tuned = run(tiny, tmp_path / "a", tasks, prompts=prompts, adapters=adapters[:1])
    whole = run(tmp_path / "merged", tmp_path / "b", tasks, prompts=prompts)
    own = [exam for exam in tuned.exams if exam.who.path]
    base = [exam for exam in tuned.exams if not exam.who.path]
    assert len(own) == len(whole.exams) == 6
    for mine, theirs, bare in zip(own, whole.exams, base, strict=True):
        assert (mine.said, mine.thoughts) == (theirs.said, theirs.thoughts)
        np.testing.assert_allclose(mine.metrics["logprob"], theirs.metrics["logprob"], atol=1e-5)
        assert np.abs(mine.metrics["logprob"] - bare.metrics["logprob"]).max() > 0.1


def test_the_untouched_base_is_as_if_there_were_no_adapter(tiny, adapters, rows, tmp_path):
    alone = run(tiny, tmp_path / "a", f"{rows}")
    beside = run(tiny, tmp_path / "b", f"{rows}", adapters=adapters)
    for mine, theirs in zip(alone.exams, beside.exams[:2], strict=True):
        assert (mine.said, list(mine.metrics["logprob"])) == (theirs.said, list(theirs.metrics["logprob"]))
    without = run(tiny, tmp_path / "c", f"{rows}", adapters=adapters, base=False)
    assert [exam.who.name for exam in without.exams] == ["tuned-1", "tuned-1", "tuned-2", "tuned-2"]


def test_answers_are_those_of_transformers(tiny, rows, tmp_path):
    """Greedy generation by transformers itself, one question at a time, cut at the first line break."""
    done = run(tiny, tmp_path / "e", f"{rows}", prompts="zero,few:3")
    loaded = load(str(tiny), device="cpu")
    for exam in done.exams:
        for text, said in zip(exam.prompts, exam.said, strict=True):
            ids = torch.tensor([loaded.tokens.prompt_ids(text)])
            out = loaded.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6, pad_token_id=0
            )
            new = out[0, ids.shape[1] :].tolist()
            stop = next((k for k, token in enumerate(new) if token in loaded.tokens.stops("\n")), len(new))
            assert said == loaded.tokens.text(new[:stop]).strip().split("\n")[0].strip()


def test_batches_change_nothing(tiny, adapters, rows, choices, tmp_path):
    tasks = f"{rows},mmlu={choices}"
    options = {"prompts": "few:2,cot", "adapters": adapters[:1], "base": False}
    usual, *others = (
        run(tiny, tmp_path / f"{batch}", tasks, batch=batch, **options) for batch in (None, 1, 5)
    )
    for other in others:
        for mine, theirs in zip(usual.exams, other.exams, strict=True):
            assert (mine.said, mine.thoughts) == (theirs.said, theirs.thoughts)
            np.testing.assert_allclose(mine.metrics["logprob"], theirs.metrics["logprob"], atol=1e-5)


def test_letters_are_scored_as_they_stand(tiny, choices, tmp_path):
    """The log chance of each letter behind the harness's prompt, by a plain forward pass."""
    done = run(tiny, tmp_path / "e", f"{choices}", prompts="few:2")
    (exam,) = done.exams
    assert exam.task.letters
    loaded = load(str(tiny), device="cpu")
    for i, question in enumerate(exam.task.questions):
        subject = question.doc["subject"]
        shots = mmlu.read_items(choices / "dev")[subject][:2]
        assert exam.prompts[i] == mmlu.prompt(subject, question.choices, shots)
        before, scores = loaded.tokens.prompt_ids(exam.prompts[i]), []
        for word in mmlu.continuations():
            own = loaded.tokens.answer_ids(word)
            logs = loaded.model(torch.tensor([[*before, *own]])).logits.log_softmax(-1)[0]
            places = range(len(before) - 1, len(before) - 1 + len(own))
            scores.append(sum(float(logs[p, token]) for p, token in zip(places, own, strict=True)))
            first = logs[len(before) - 1].argmax() == own[0]
            if len(own) == 1:
                assert exam.letters[i][mmlu.continuations().index(word)][1] == bool(first)
        np.testing.assert_allclose([logprob for logprob, _ in exam.letters[i]], scores, atol=1e-5)
        assert exam.metrics["acc"][i] == (int(np.argmax(scores)) == question.doc["answer"])


def test_metrics_by_hand(tiny, rows, tmp_path):
    """A model that says the answers of the next question, with its wording."""
    (exam,) = run(tiny, tmp_path / "e", f"{rows}", prompts="zero").exams
    from realmodels.eval_run import scored

    said = ["Paris", "the tokyo!", "It is Lima.", "Oslo is nice", "", "havana cuba", *["x"] * 6]
    found = scored(said, exam.task.questions)
    assert found["exact"].tolist() == [1, 0, 0, 0, 0, 0, *[0] * 6]
    assert found["normalized"].tolist() == [1, 1, 0, 0, 0, 0, *[0] * 6]
    assert found["contains"].tolist() == [1, 1, 1, 1, 0, 1, *[0] * 6]
    assert found["f1"].tolist() == pytest.approx([1, 1, 1 / 2, 1 / 2, 0, 2 / 3, *[0] * 6])


def test_prompts_are_worded_in_one_place(rows):
    (task,) = read_tasks(f"{rows}")
    style = style_named("qa")
    zero, few, wrong, cot = read_prompts("zero,few:3,few-wrong:3,cot")
    (bare,) = blocks(task, zero, style)
    assert bare.texts[0] == "Q: What is the capital of France?\nA:"
    asked = {}
    for solved, wrongly in zip(blocks(task, few, style), blocks(task, wrong, style), strict=True):
        assert solved.index == wrongly.index
        for i, text, other in zip(solved.index, solved.texts, wrongly.texts, strict=True):
            asked[i] = text
            assert text == solved.prefix + render_question(style, task.rows[i].question)
            assert f"capital of {FACTS[i][0]}?\nA: " not in text
            pairs, others = (re.findall(r"of (\w+)\?\nA: (.+)\n\n", t) for t in (text, other))
            assert [s for s, _ in pairs] == [s for s, _ in others]
            assert all(dict(FACTS)[s] == a for s, a in pairs)
            assert all(dict(FACTS)[s] != a for s, a in others)
            assert len(pairs) == 3
    assert sorted(asked) == list(range(len(FACTS)))
    (thinking,) = blocks(task, cot, style)
    assert thinking.texts[0] == "Q: What is the capital of France?\nA: Let's think step by step."
    said = answer_prompt(thinking.texts[0], " It is\nParis. ", style)
    assert said == f"{thinking.texts[0]} It is Paris.\nSo the answer is"
    assert answer_prompt("t", "", style_named("sentence")) == "t . So the answer is"


def test_thinking_stands_before_the_answer(tiny, rows, tmp_path):
    (exam,) = run(tiny, tmp_path / "e", f"{rows}", prompts="cot").exams
    assert any(exam.thoughts)
    for text, thought in zip(exam.prompts, exam.thoughts, strict=True):
        assert text.endswith(f"step by step.{' ' + thought if thought else ''}\nSo the answer is")
    (line, *_) = samples(exam)
    assert line["thought"] == exam.thoughts[0]


def test_solved_questions_from_elsewhere(rows, tmp_path):
    other = tmp_path / "dev.jsonl"
    other.write_text(
        "".join(
            json.dumps({"question": f"What is the capital of {s}?", "answers": [a], "relation": "capital"})
            + "\n"
            for s, a in (("Spain", "Madrid"), ("Italy", "Rome"), ("Iran", "Tehran"))
        )
    )
    (task,) = read_tasks(f"q={rows}", pools=f"q={other}")
    (block,) = blocks(task, *read_prompts("few:3"), style_named("qa"))
    shots = [Shot(row.question, row.answers[0]) for row in task.pool]
    assert sorted(block.prefix.split("\n\n")) == sorted(render_prefix(style_named("qa"), shots).split("\n\n"))


def test_a_limit_does_not_change_who_stands_before_whom(rows):
    def asked(limit):
        (task,) = read_tasks(f"{rows}", limit=limit)
        made = blocks(task, *read_prompts("few:3"), style_named("qa"))
        return {i: text for block in made for i, text in zip(block.index, block.texts, strict=True)}

    whole, some = asked(None), asked(4)
    assert some == {i: whole[i] for i in range(4)}


def test_hashes_are_those_of_our_harness_tasks(rows):
    (task,) = read_tasks(f"{rows}")
    for question, doc in zip(task.questions, harness.documents(str(rows)), strict=True):
        assert dict(question.doc) == doc
        assert question.hash == doc_hash(doc)


def test_an_audit_brings_its_labels_and_has_the_same_items(write_audit, rows):
    original = [json.loads(line) for line in rows.read_text().splitlines()]
    labels = ["Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"]
    path = write_audit(
        [
            (
                {"prompt": row["question"], "gold": row["answers"]},
                {"label": labels[i % 4], "dominant_answer": i % 3 == 0, "overlaps_subject": i == 1}
                | {
                    key: row[key]
                    for key in ("id", "question", "answers", "subject", "relation", "popularity")
                },
            )
            for i, row in enumerate(original)
        ]
    )
    (task,), (plain,) = read_tasks(f"{path}"), read_tasks(f"{rows}")
    assert [q.hash for q in task.questions] == [q.hash for q in plain.questions]
    assert read_tasks(f"q={path.parent}")[0].questions[3].hash == plain.questions[3].hash
    found = strata_of(task)
    assert found[1] == {
        "relation": "capital", "category": "WeaklyKnown", "popularity": "low", "overlap": "yes", "dominant": "no"
    }  # fmt: skip
    assert [own["category"] for own in found] == labels * 3
    by = {mean.stratum: mean for mean in means({"exact": np.arange(12.0)}, found)}
    assert by["category=Unknown"].value == pytest.approx((0 + 4 + 8) / 3)
    assert by["category=Unknown"].stderr == pytest.approx(stats.sem([0, 4, 8]))
    assert by["overlap=no,dominant=no"].n == 7
    assert list(by)[:5] == ["all", *(f"category={label}" for label in labels)]
    (half,) = read_tasks(f"{path}", limit=5)
    assert len(half.questions) == 5


def test_strata_without_an_audit(rows):
    (task,) = read_tasks(f"{rows}")
    found = strata_of(task)
    assert popularity_edges(task) == (30.0, 70.0)
    assert [own["popularity"] for own in found] == ["low"] * 4 + ["middle"] * 4 + ["high"] * 4
    assert [own["overlap"] for own in found[-2:]] == ["yes", "yes"]  # Panama City, Monaco
    assert all("dominant" not in own and "category" not in own for own in found)


@pytest.mark.parametrize(("share", "n"), [(0.0, 5), (0.3, 10), (0.5, 200), (1.0, 7)])
def test_wilson_is_scipys(share, n):
    theirs = stats.binomtest(round(share * n), n).proportion_ci(method="wilson")
    assert wilson(share, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_files_have_the_harness_shape(tiny, adapters, rows, choices, tmp_path):
    done = run(tiny, tmp_path / "e", f"{rows},mmlu={choices}", adapters=adapters[:1])
    paths = write_eval(done)
    names = sorted(p.name.split("_2")[0] for p in paths if p.parent.name == "tuned-1")
    assert names == [
        "results", "samples_capitals_few-2", "samples_capitals_zero", "samples_mmlu_few-2", "samples_mmlu_zero"
    ]  # fmt: skip
    (path,) = (tmp_path / "e/tuned-1").glob("results_*.json")
    assert re.fullmatch(r"results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+\.json", path.name)
    said = json.loads(path.read_text())
    for key in (
        "results",
        "configs",
        "versions",
        "n-shot",
        "higher_is_better",
        "n-samples",
        "config",
        "date",
    ):
        assert key in said
    assert said["n-shot"] == {"capitals_zero": 0, "capitals_few-2": 2, "mmlu_zero": 0, "mmlu_few-2": 2}
    assert f"peft={adapters[0]}" in said["config"]["model_args"]
    lines = [json.loads(line) for line in lines_of(tmp_path / "e/tuned-1", "samples_capitals_few*")]
    own = said["results"]["capitals_few-2"]
    for rule in ("exact", "normalized", "contains"):
        verdicts = [match(line["filtered_resps"][0], line["doc"]["answers"], rule) for line in lines]
        assert own[f"{rule},none"] == np.mean(verdicts) == np.mean([line[rule] for line in lines])
    logs = [line["logprob"] for line in lines]
    assert own["logprob_stderr,none"] == pytest.approx(stats.sem(logs))
    line = lines[3]
    assert {
        "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash",
        "prompt_hash", "target_hash",
    } <= set(line)  # fmt: skip
    assert (line["doc_id"], line["target"], line["doc"]["id"]) == (3, "Oslo", "r3")
    assert line["arguments"]["gen_args_0"]["arg_0"].endswith("Q: What is the capital of Norway?\nA:")
    assert line["arguments"]["gen_args_0"]["arg_1"]["until"] == ["\n"]
    assert line["resps"] == [[line["filtered_resps"][0]]]
    (four, *_) = map(json.loads, lines_of(tmp_path / "e/tuned-1", "samples_mmlu_zero*"))
    assert [four["arguments"][f"gen_args_{k}"]["arg_1"] for k in range(4)] == [" A", " B", " C", " D"]
    assert four["doc"]["choices"] == ["a", "b", "c", "d"]
    assert float(four["filtered_resps"][0][0]) < 0
    strata = said["nameblind"]["strata"]["capitals_zero"]
    assert strata["popularity=low"]["n"] == 4
    assert strata["all"]["logprob"] == pytest.approx(said["results"]["capitals_zero"]["logprob,none"])
    assert sorted(read_run(tmp_path / "e/base").tasks) == sorted(said["results"])


def test_records(tiny, adapters, rows, tmp_path):
    done = run(tiny, tmp_path / "e", f"{rows}", adapters=adapters[:1])
    write_eval(done)
    table = read_records(tmp_path / "e/records.jsonl")
    assert len(table) == len(list(records(done)))
    assert set(table.column("arm")) == {"base", "lora"}
    whole = table.mask(metric="accuracy", stratum="all", trained_on="known", prompt="few:2", seed=7, step=30)
    items = table.take(whole & (table.column("item") != ""))
    (mean,) = table.take(whole & (table.column("item") == "")).records()
    assert (mean.lab, mean.study, mean.split, mean.run, mean.n) == (
        lab_of(done.job),
        "eval",
        "capitals",
        "e",
        12,
    )
    assert lab_of(done.job) == "realmodels/R3-model"
    assert sorted(items.column("item")) == sorted(f"r{i}" for i in range(12))
    assert items.numbers["value"].mean() == pytest.approx(mean.value)


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in (".lock", "environment.json")
    }


def test_a_killed_run_goes_on(tiny, adapters, rows, tmp_path, monkeypatch):
    """Stopped after each piece in turn: what is finished is kept, and the files are those of a whole run."""
    monkeypatch.setattr("realmodels.eval_run.PIECE", 5)
    options = {"prompts": "zero,cot", "adapters": adapters[:1]}
    whole = run(tiny, tmp_path / "whole/e", f"{rows}", **options)
    write_eval(whole)
    ask, asked = eval_ask.ask, []

    def stops(limit):
        def once(loaded, block, *rest):
            if len(asked) >= limit:
                raise KeyboardInterrupt
            asked.append(block.texts)
            return ask(loaded, block, *rest)

        return once

    for limit in (1, 4, 7):
        monkeypatch.setattr(eval_ask, "ask", stops(limit))
        with pytest.raises(KeyboardInterrupt):
            run(tiny, tmp_path / "killed/e", f"{rows}", **options)
        with (tmp_path / "killed/e/generations.jsonl").open("a") as file:
            file.write('{"key": "torn')
    monkeypatch.setattr(eval_ask, "ask", stops(99))
    done = run(tiny, tmp_path / "killed/e", f"{rows}", **options)
    assert len(asked) == 12  # three pieces by two prompts by two models, none twice
    write_eval(replace(done, begun=whole.begun))
    mine, theirs = contents(tmp_path / "killed/e"), contents(tmp_path / "whole/e")
    for found in (mine, theirs):
        del found["eval.json"]
    assert mine == theirs
    monkeypatch.setattr(eval_ask, "ask", stops(0))
    monkeypatch.setattr("realmodels.resident.load", None)  # a finished one opens no weights
    run(tiny, tmp_path / "killed/e", f"{rows}", **options)


def test_more_is_added_to_a_folder(tiny, adapters, rows, tmp_path):
    first = run(tiny, tmp_path / "e", f"{rows}", prompts="zero")
    before = (tmp_path / "e/generations.jsonl").read_text().splitlines()
    both = run(tiny, tmp_path / "e", f"{rows}", prompts="zero,few:2", adapters=adapters)
    assert both.begun == first.begun
    assert (tmp_path / "e/generations.jsonl").read_text().splitlines()[: len(before)] == before
    assert len(both.exams) == 6


GOOD = "zero"
BAD = {
    "no model": (["--model", "nowhere/at/all"], "no such file or folder"),
    "model is an adapter": (["--model", "{adapter}"], "it is an adapter"),
    "no data": (["--tasks", "nothing.jsonl"], "nothing.jsonl: no such file"),
    "no tasks": (["--tasks", ","], "--tasks: none given"),
    "mmlu where": (["--tasks", "mmlu"], "mmlu: where are its files"),
    "mmlu empty": (["--tasks", "mmlu={empty}"], "no MMLU files in it"),
    "mmlu nowhere": (["--tasks", "mmlu=nowhere"], "nowhere: no such file or folder; expected MMLU"),
    "two names": (["--tasks", "{rows},{rows}"], "two tasks by the name of 'capitals'"),
    "bad name": (["--tasks", "a b={rows}"], "expected NAME=PATH"),
    "bad row": (["--tasks", "{broken}"], "broken.jsonl:2: field 'answers'"),
    "bad audit": (["--tasks", "{audit}"], "audited.jsonl:2: field 'knowledge'"),
    "bad label": (["--tasks", "{label}"], "field 'knowledge.label': unknown \"Highly\"; did you mean 'HighlyKnown'"),
    "prompt": (["--prompts", "few4"], "--prompts: unknown 'few4'; expected zero, cot, few:K"),
    "no prompts": (["--prompts", ","], "--prompts: none given"),
    "too many shots": (["--prompts", "few:40"], "only 11 questions to show|only 12 questions"),
    "mmlu shots": (["--tasks", "mmlu={mmlu}", "--prompts", "few:9"], "has 3 solved questions of fine_art"),
    "mmlu wrong": (["--tasks", "mmlu={mmlu}", "--prompts", "few-wrong:2"], "whose examples are fixed"),
    "mmlu pool": (["--tasks", "mmlu={mmlu}", "--exemplars-from", "mmlu={rows}"], "has its own solved questions"),
    "pool of none": (["--exemplars-from", "capitol={rows}"], "no task 'capitol'; did you mean 'capitals'"),
    "style": (["--style", "qaa"], "style: unknown 'qaa'"),
    "limit": (["--limit", "0"], "--limit: expected at least 1, got 0"),
    "longest": (["--longest", "0"], "--longest: expected at least 1"),
    "longer than the model sees": (["--longest", "600"], "the model sees 512 at once"),
    "map": (["--map", "question"], "expected FIELD=COLUMN"),
    "adapter nowhere": (["--adapter", "./gone"], "./gone: no such file or folder"),
    "adapter is a model": (["--adapter", "m={model}"], "it is a whole model, not an adapter"),
    "adapter twice": (["--adapter", "{adapter}", "--adapter", "{adapter}"], "two by the name of 'tuned-1'"),
    "adapter base": (["--adapter", "base={adapter}"], "'base' cannot be its name"),
    "adapter of another": (["--adapter", "{foreign}"], "is an adapter of big/Model-7B, not of"),
    "adapter of other shape": (["--adapter", "{misfit}"], "misfit: cannot be opened"),
    "adapter without weights": (["--adapter", "{bare}"], "holds no weights"),
    "adapter truncated": (["--adapter", "{cut}"], "cut: cannot be opened"),
    "adapter in part": (["--adapter", "{part}"], "part: .*missing adapter keys"),
    "soft prompt": (["--adapter", "{soft}"], "PROMPT_TUNING adapter; expected LoRA"),
    "nobody": (["--no-base"], "no adapter given and the base left out"),
    "output is a file": (["--output-dir", "{rows}"], "is a file; --output-dir wants a folder"),
    "output of another model": (["--output-dir", "{used}"], "holds an evaluation of '/elsewhere'"),
    "output of an audit": (["--output-dir", "{audits}"], "holds an audit"),
    "device": (["--device", "tpu9"], "device: no 'tpu9' here"),
}  # fmt: skip


@pytest.fixture(scope="session")
def places(tiny, adapters, rows, choices, tmp_path_factory):
    """Good and bad things to name in a command."""
    from safetensors.torch import load_file, save_file

    root = tmp_path_factory.mktemp("places")
    found = {"model": tiny, "adapter": adapters[0], "rows": rows, "mmlu": choices}
    for name in ("empty", "foreign", "misfit", "bare", "cut", "part", "soft", "used", "audits"):
        (root / name).mkdir()
        found[name] = root / name
    config = json.loads((adapters[0] / "adapter_config.json").read_text())
    weights = load_file(adapters[0] / "adapter_model.safetensors")
    whole = (adapters[0] / "adapter_model.safetensors").read_bytes()

    def put(name, changes, tensors):
        (root / name / "adapter_config.json").write_text(json.dumps(config | changes))
        if tensors is not None:
            save_file(tensors, root / name / "adapter_model.safetensors")

    put("foreign", {"base_model_name_or_path": "big/Model-7B"}, weights)
    put("misfit", {}, {key: torch.zeros(3, 3) for key in weights})
    put("bare", {}, None)
    put("cut", {}, None)
    (root / "cut/adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    put("part", {}, dict(list(weights.items())[:4]))
    put("soft", {}, weights)
    soft = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 2}
    (root / "soft/adapter_config.json").write_text(
        json.dumps(soft | {"base_model_name_or_path": config["base_model_name_or_path"]})
    )
    (root / "used/eval.json").write_text('{"model": "/elsewhere", "begun": "2026-01-02T03:04:05"}')
    (root / "audits/audit.jsonl").write_text("{}\n")
    lines = rows.read_text().splitlines()
    for name, second in (
        ("broken", {"question": "Who?", "answers": []}),
        ("audited", {"question": "Who?"}),
        ("label", None),
    ):
        found["audit" if name == "audited" else name] = path = root / f"{name}.jsonl"
        known = {"question": "Who?", "answers": ["He"], "id": "x", "label": "Highly"}
        first = {"knowledge": known} if name != "broken" else json.loads(lines[0])
        path.write_text("".join(json.dumps(row) + "\n" for row in (first, second) if row))
    return {name: str(path) for name, path in found.items()}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, places, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, said = BAD[case]
    given = [word.format(**places) for word in words]
    usual = {"--model": places["model"], "--tasks": places["rows"], "--output-dir": "out", "--prompts": GOOD}
    for flag, value in usual.items():
        if flag not in given:
            given += [flag, value]
    capsys.readouterr()
    code = main("python -m realmodels", "x", {"eval": Eval}, ["eval", *given])
    err = capsys.readouterr().err
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(said, err), err
    assert not list(tmp_path.rglob("results_*"))


def test_an_unfinished_folder_of_no_evaluation(tiny, rows, tmp_path):
    (tmp_path / "eval.json").write_text("[]")
    with pytest.raises(RealmodelsError, match="is no evaluation's"):
        run(tiny, tmp_path, f"{rows}", prompts="zero")
    run(tiny, tmp_path, f"{rows}", prompts="zero", overwrite=True)


def test_the_command(tiny, adapters, rows, tmp_path, capsys):
    words = ["--model", tiny, "--tasks", rows, "-o", tmp_path / "e", "--prompts", "zero", "--longest", "4"]
    words = ["eval", *map(str, [*words, "--adapter", adapters[0], "--adapter", f"b={adapters[1]}"])]
    assert main("x", "y", {"eval": Eval}, words) == 0
    out, err = capsys.readouterr()
    assert re.search(r"capitals +zero +tuned-1 +12 ", out)
    assert "popularity=low" in out
    assert "records.jsonl" in err
    assert main("x", "y", {"eval": Eval}, [*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["adapter"] for one in said] == ["base", "tuned-1", "b"]
    assert said[1]["strata"]["popularity=high"]["n"] == 4


def test_help_loads_no_torch(root):
    code = (
        "import sys; from realmodels.eval_cli import Eval; from realmodels.compare_cli import Compare\n"
        "from theory.command import main\n"
        "try: main('x', 'y', {'eval': Eval, 'compare': Compare}, ['eval', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--exemplars-from" in done.stdout


READ = """
import json, sys
from pathlib import Path
from lm_eval.utils import get_file_task_name, get_latest_filename, get_results_filenames, get_sample_results_filenames
from lm_eval.utils import hash_string, handle_non_serializable, make_table
folder = Path(sys.argv[1])
files = [str(file) for file in folder.iterdir()]
said = json.loads(Path(get_latest_filename(get_results_filenames(files))).read_text())
table = make_table(said)
hashes = {}
for file in get_sample_results_filenames(files):
    lines = [json.loads(line) for line in open(file)]
    assert all(line["target_hash"] == hash_string(line["target"]) for line in lines)
    for line in lines:
        dumped = json.dumps(line["doc"], indent=2, default=handle_non_serializable, ensure_ascii=False)
        assert line["doc_hash"] == hash_string(dumped)
        assert line["prompt_hash"] == hash_string(line["arguments"]["gen_args_0"]["arg_0"])
    joined = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in lines)
    hashes[get_file_task_name(Path(file).name)] = hash_string(joined)
print(json.dumps([table, hashes == said["task_hashes"], sorted(hashes)]))
"""


@pytest.mark.slow
def test_the_harness_itself_reads_them(tiny, rows, choices, tmp_path):
    """Opt-in: NAMEBLIND_LM_EVAL names the Python of an environment with lm-eval."""
    python = os.environ.get("NAMEBLIND_LM_EVAL")
    if not python:
        pytest.skip("NAMEBLIND_LM_EVAL is not set to the Python of an environment with lm-eval")
    write_eval(run(tiny, tmp_path / "e", f"{rows},mmlu={choices}"))
    done = subprocess.run(
        [python, "-c", READ, str(tmp_path / "e/base")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path("/"),
    )
    assert done.returncode == 0, done.stderr
    table, same, names = json.loads(done.stdout.splitlines()[-1])
    assert same
    assert names == ["capitals_few-2", "capitals_zero", "mmlu_few-2", "mmlu_zero"]
    assert re.search(r"\|mmlu_few-2\s*\|\s*1\|none\s*\|\s*2\|acc", table), table
