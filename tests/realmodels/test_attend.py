"""Looking into tiny models: attention, knockouts and cuts against transformers' own forward, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from realmodels import attend_measure as measure
from realmodels.attend import ARM, ITEMS, Job, layer_of, run_attend, windows_of
from realmodels.attend_files import columns, numbers, records, summary
from realmodels.attend_heads import blinded, eager, layers_of, tapped, watching
from realmodels.attend_sheet import Looks, make_sheet
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.estimate import logprobs
from realmodels.eval_prompts import read_prompts
from realmodels.eval_tasks import read_task
from realmodels.loading import load
from realmodels.prompting import render_question, style_named
from realmodels.splits import group_of
from tests.realmodels.common import tune
from theory.command import main
from theory.records import read_records

FACTS = [
    ("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi"),
    ("Cuba", "Havana"), ("Egypt", "Cairo"), ("Chile", "Santiago"), ("Ghana", "Accra"), ("Nepal", "Kathmandu"),
    ("Holland", "Oslo"), ("Monaco", "Lima"),
]  # fmt: skip
PROMPTS = ("zero", "few:2")


def write_rows(path, facts=FACTS, **more):
    lines = [
        {"id": f"r{i}", "question": f"Of {s} what is the capital?", "answers": [a], "subject": s}
        | {"relation": "capital", **more}
        for i, (s, a) in enumerate(facts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "capitals.jsonl")


@pytest.fixture(scope="session")
def adapters(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return [tune(tiny, folder / f"tuned-{seed}", seed=seed, rank=4, named=20 + seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def loaded(tiny):
    return load(str(tiny), device="cpu")


@pytest.fixture(scope="module", params=PROMPTS)
def sheet(loaded, rows, request):
    (prompt,) = read_prompts(request.param)
    return make_sheet(loaded.tokens, read_task(str(rows)), prompt, Looks(style_named("qa"), swaps=3, folds=3))


def job(tiny, rows, output, **options):
    options = {
        "looks": Looks(style_named("qa"), swaps=2, folds=3),
        "longest": 4,
        "cut": 3,
        "device": "cpu",
    } | options
    adapters = tuple(map(str, options.pop("adapters", ())))
    prompts = read_prompts(options.pop("prompts", "zero"))
    return Job(str(tiny), adapters, read_task(str(rows)), prompts, output, **options)


def run(*args, **options):
    return run_attend(job(*args, **options), say=lambda text: None)


# where the subject stands, whom it is swapped with, what is wrong


def test_spans_are_the_subject_and_nothing_else(loaded, sheet):
    for text, span, row in zip(sheet.texts, sheet.spans, sheet.rows, strict=True):
        ids = loaded.tokens.prompt_ids(text.text)
        said = loaded.tokens.tokenizer.decode(ids[span[0] : span[1]])
        assert said.strip() == row.subject
        assert text.text.endswith(render_question(sheet.style, row.question))


def test_a_subject_that_is_missing_or_stands_last_is_not_looked_at(loaded, tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        ("The capital of France", "France"),
        ("What is it?", "Peru"),
        ("Who?", None),
        ("Is Cuba warm?", "Cuba"),
    ]
    path.write_text(
        "".join(json.dumps({"question": q, "answers": ["Oslo"], "subject": s}) + "\n" for q, s in lines)
    )
    (zero,) = read_prompts("zero")
    sheet = make_sheet(loaded.tokens, read_task(str(path)), zero, Looks(style_named("plain")))
    assert sheet.seen == [3]


def test_swaps_are_other_subjects_with_other_answers(sheet):
    answers = {row.subject: row.answers[0] for row in sheet.rows}
    assert [text.item for text in sheet.swaps] == [i for i, some in enumerate(sheet.others) for _ in some]
    for i, others in enumerate(sheet.others):
        assert len(set(others)) == 3
        for other in others:
            assert answers[other] != sheet.rows[i].answers[0]
            assert other not in sheet.texts[i].prefix
            text = sheet.texts[i].prefix + render_question(
                sheet.style, sheet.rows[i].question.replace(sheet.rows[i].subject, other)
            )
            assert text in {one.text for one in sheet.swaps if one.item == i}


def test_every_answer_of_a_fold_is_as_often_wrong_as_right(sheet):
    for fold in range(3):
        own = [i for i, one in enumerate(sheet.fold) if one == fold]
        right = sorted(sheet.rows[i].answers[0] for i in own)
        assert sorted(sheet.wrong[i] for i in own) == right
    assert all(wrong != row.answers[0] for wrong, row in zip(sheet.wrong, sheet.rows, strict=True))


def test_a_subject_is_in_one_fold(loaded, tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        {"question": f"{r} of {s}?", "answers": [f"{a}{r}"], "subject": s, "relation": r}
        for s, a in FACTS
        for r in "xy"
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (zero,) = read_prompts("zero")
    sheet = make_sheet(loaded.tokens, read_task(str(path)), zero, Looks(style_named("qa")))
    folds = {}
    for row, fold in zip(sheet.rows, sheet.fold, strict=True):
        folds.setdefault(group_of(row), set()).add(fold)
    assert all(len(some) == 1 for some in folds.values())
    assert {fold for some in folds.values() for fold in some} == set(range(5))


# against transformers' own forward, one prompt at a time


@pytest.mark.parametrize("batch", [None, 1, 5])
def test_attention_is_what_transformers_gives_out(loaded, sheet, batch):
    found = measure.gaze(loaded, sheet, batch)
    with eager(loaded):
        for i, (text, (start, end)) in enumerate(zip(sheet.texts, sheet.spans, strict=True)):
            ids = torch.tensor([loaded.tokens.prompt_ids(text.text)])
            with torch.no_grad():
                looks = loaded.model(ids, output_attentions=True).attentions
            wanted = torch.stack([one[0, :, -1] for one in looks]).double().numpy()
            np.testing.assert_allclose(found.mass[i], wanted[:, :, start:end].sum(-1), atol=1e-6)
            np.testing.assert_allclose(found.rest[i], wanted[:, :, 1:].sum(-1), atol=1e-6)
    assert found.mass.std() > 0.01


def hand_masked(loaded, ids, answer, span, way, layers):
    """Log chance of the answer and of a stop behind it, with a mask of our own in these layers alone."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import eager_attention_forward

    whole, asked = torch.tensor([[*ids, *answer]]), len(ids)
    n = whole.shape[1]
    seen = torch.ones(n, n, dtype=torch.bool).tril()
    covered = seen.clone()
    first = asked - 1 if way == "last" else span[1]
    covered[first:, span[0] : span[1]] = False
    masks = {True: covered, False: seen}

    def attention(module, query, key, value, mask, **knobs):
        own = torch.zeros(n, n).masked_fill(~masks[module.layer_idx in layers], float("-inf"))
        return eager_attention_forward(module, query, key, value, own[None, None], **knobs)

    ALL_ATTENTION_FUNCTIONS.register("by_hand", attention)
    before = loaded.model.config._attn_implementation
    loaded.model.config._attn_implementation = "by_hand"
    try:
        with torch.no_grad():
            logs = loaded.model(whole, use_cache=False).logits[0].double().log_softmax(-1)
    finally:
        loaded.model.config._attn_implementation = before
    stops = list(loaded.tokens.stops("\n"))
    chance = sum(float(logs[asked - 1 + k, token]) for k, token in enumerate(answer))
    best = [int(row.argmax()) for row in logs[asked - 1 :]]
    right = best[:-1] == list(answer) and best[-1] in stops
    return right, chance + float(logs[-1, stops].logsumexp(0))


@pytest.mark.parametrize("way", measure.WAYS)
def test_a_knockout_is_a_forward_masked_by_hand(loaded, sheet, way):
    windows = [(), (0,), (1,), (0, 1)]
    found = measure.knocked_out(loaded, sheet, windows, way)
    moved = 0.0
    for i, row in enumerate(sheet.rows[:6]):
        ids = loaded.tokens.prompt_ids(sheet.texts[i].text)
        answer = loaded.tokens.answer_ids(" " + row.answers[0])
        for w, layers in enumerate(windows):
            wanted = hand_masked(loaded, ids, answer, sheet.spans[i], way, layers)
            np.testing.assert_allclose(found[i, w], wanted, atol=2e-5)
        moved = max(moved, abs(found[i, 3, 1] - found[i, 0, 1]))
    assert moved > 0.05
    np.testing.assert_allclose(found, measure.knocked_out(loaded, sheet, windows, way, 1), atol=2e-5)


def test_a_knockout_is_the_same_where_masks_are_added(loaded, sheet):
    """Models that cap their attention are not read by sdpa, whose masks are flags."""
    found = measure.knocked_out(loaded, sheet, [(), (0,)], "last")
    with eager(loaded):
        np.testing.assert_allclose(measure.knocked_out(loaded, sheet, [(), (0,)], "last"), found, atol=2e-5)


def test_in_half_precision_it_is_nearly_the_same(loaded, sheet, tiny):
    rough = load(str(tiny), device="cpu", dtype="bfloat16")
    found, wanted = (measure.gaze(one, sheet) for one in (rough, loaded))
    np.testing.assert_allclose(found.mass, wanted.mass, atol=0.1)
    both = [measure.knocked_out(one, sheet, [(), (0, 1)], "later")[..., 1] for one in (rough, loaded)]
    np.testing.assert_allclose(*both, atol=1.0)
    assert np.corrcoef(both[0].ravel(), both[1].ravel())[0, 1] > 0.95


def test_a_knockout_of_all_layers_is_a_four_dimensional_mask(loaded, sheet):
    found = measure.knocked_out(loaded, sheet, [(0, 1)], "later")
    stops = list(loaded.tokens.stops("\n"))
    for i, row in enumerate(sheet.rows[:4]):
        ids = loaded.tokens.prompt_ids(sheet.texts[i].text)
        answer = loaded.tokens.answer_ids(" " + row.answers[0])
        n, (start, end) = len(ids) + len(answer), sheet.spans[i]
        mask = torch.ones(1, 1, n, n, dtype=torch.bool).tril()
        mask[..., end:, start:end] = False
        with torch.no_grad():
            logs = loaded.model(torch.tensor([[*ids, *answer]]), attention_mask=mask).logits[0].double()
        logs = logs.log_softmax(-1)[len(ids) - 1 :]
        chance = sum(float(logs[k, token]) for k, token in enumerate(answer))
        assert found[i, 0, 1] == pytest.approx(chance + float(logs[-1, stops].logsumexp(0)), abs=2e-5)


def test_cuts_of_single_heads_are_forwards_with_that_head_blind(loaded, sheet):
    items = [0, 3, 4]
    cost = measure.cost_of_cuts(loaded, sheet, items)
    heads = loaded.model.config.num_attention_heads
    wanted = np.zeros_like(cost)
    for i in items:
        ids = loaded.tokens.prompt_ids(sheet.texts[i].text)
        first = loaded.tokens.answer_ids(" " + sheet.rows[i].answers[0])[0]
        n, (start, end) = len(ids), sheet.spans[i]

        def chance(layer, head, n=n, start=start, end=end, ids=ids, first=first):
            hidden = torch.zeros(1, heads, n, n, dtype=torch.bool)
            hidden[0, head, -1, start:end] = True
            mask = torch.ones(1, 1, n, n, dtype=torch.bool).tril()
            with blinded(loaded, layer, hidden), torch.no_grad():
                logs = loaded.model(torch.tensor([ids]), attention_mask=mask).logits[0, -1]
            return float(logs.double().log_softmax(-1)[first])

        for layer, head in np.ndindex(*cost.shape):
            wanted[layer, head] += (chance([], head) - chance([layer], head)) / len(items)
    np.testing.assert_allclose(cost, wanted, atol=2e-5)
    assert np.abs(cost).max() > 1e-3
    np.testing.assert_allclose(cost, measure.cost_of_cuts(loaded, sheet, items, 1), atol=2e-5)


def test_heads_that_read_are_those_whose_cut_is_dear():
    cost = np.array([[0.5, 0.04], [0.05, -1.0]])
    assert measure.reading_heads(cost).tolist() == [[True, False], [True, False]]
    assert measure.reading_heads(-np.abs(cost)).all()


def test_swaps_are_scored_as_questions_of_their_own(loaded, sheet):
    found = measure.ask(loaded, sheet, 4, None, swaps=True)
    plain = measure.ask(loaded, sheet, 4, None)
    for k, text in list(enumerate(sheet.swaps))[:8]:
        own = sheet.rows[text.item].answers
        wanted = logprobs(loaded, style_named("plain"), (), [text.text], [own], cached=False)
        # the style `plain` ends answers as `qa` does and adds nothing to the text
        assert found.logprob[k] == pytest.approx(wanted[0], abs=2e-5)
    for i, text in enumerate(sheet.texts[:4]):
        ids = torch.tensor([loaded.tokens.prompt_ids(text.text)])
        with torch.no_grad():
            first = int(loaded.model(ids).logits[0, -1].argmax())
        assert plain.first[i] == (measure.STOP if first in loaded.tokens.stops("\n") else first)


@pytest.mark.parametrize("layer", [1, 2])
def test_states_are_those_of_the_statements_last_token(loaded, sheet, layer):
    found = measure.statements(loaded, sheet, layer)
    assert found.items == [i for i, wrong in enumerate(sheet.wrong) if wrong]
    for k, i in list(enumerate(found.items))[:4]:
        for side, answer in enumerate((sheet.rows[i].answers[0], sheet.wrong[i])):
            ids = [*loaded.tokens.prompt_ids(sheet.texts[i].text), *loaded.tokens.answer_ids(" " + answer)]
            with tapped(loaded, layer) as out, torch.no_grad():
                loaded.model(torch.tensor([ids]))
            np.testing.assert_allclose(found.states[k, side], out[0][0, -1].double().numpy(), atol=1e-5)
    rows = [sheet.rows[i].answers[0] for i in found.items]
    texts = [sheet.texts[i].text for i in found.items]
    wanted = logprobs(loaded, style_named("plain"), (), texts, [[a] for a in rows], cached=False)
    np.testing.assert_allclose(found.logprob[:, 0], wanted, atol=2e-5)


def hooks(loaded):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in loaded.model.modules()]


def test_nothing_is_left_behind(loaded, sheet):
    before, there = loaded.model.config._attn_implementation, hooks(loaded)
    ids = torch.tensor([loaded.tokens.prompt_ids(sheet.texts[0].text)])
    with torch.no_grad():
        plain = loaded.model(ids).logits
    measure.gaze(loaded, sheet)
    measure.cost_of_cuts(loaded, sheet, [0])
    with pytest.raises(ZeroDivisionError), eager(loaded), watching(loaded, [0]), tapped(loaded, 1):
        raise ZeroDivisionError
    assert loaded.model.config._attn_implementation == before
    assert hooks(loaded) == there
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, plain)


# numbers


def line(right=True, logprob=-1.0, **more):
    return {"right": right, "logprob": logprob, "strata": {}, **more}


def test_the_share_off_the_first_token_divides_means():
    lines = [
        line(attention={"mass": [0.1, 0.3], "rest": [0.2, 0.6], "readers": 0.2}),
        line(attention={"mass": [0.0, 0.0], "rest": [1e-9, 1e-9], "readers": None}),
        line(),
    ]
    found = columns(lines)
    share = found["attention_subject_share", "all"]
    assert np.nanmean(share) == pytest.approx(0.1 / 0.2)
    assert np.isnan(share).tolist() == [False, False, True]
    assert np.nanmean(found["attention_subject_all_heads", "all"]) == pytest.approx(0.1)
    assert np.nanmean(found["attention_subject_all_heads", "layer=2"]) == pytest.approx(0.15)
    assert np.nanmean(found["attention_subject", "all"]) == pytest.approx(0.2)


def test_swaps_and_knockouts_by_hand():
    swap = {"logprob": [-3.0, -5.0], "first_kept": [True, False], "changed": [False, True]}
    knock = {"none": [True, -1.0], "1": [False, -2.5]}
    found = columns([line(swap=swap, knockout={"last": knock, "later": knock}), line(right=False)])
    assert found["swap_logprob_drop", "all"][0] == pytest.approx(3.0)
    assert found["swap_first_token_kept", "all"][0] == 0.5
    assert found["subject_swap_change", "all"][0] == 0.5
    assert found["knockout_accuracy_change", "from=last,layers=1"][0] == -1.0
    assert found["knockout_logprob_change", "from=later,layers=1"][0] == -1.5
    assert found["accuracy", "all"].tolist() == [1.0, 0.0]


def test_windows_cover_all_layers_once(tiny, rows, tmp_path):
    plan = job(tiny, rows, tmp_path)
    named = windows_of(plan, 30)
    assert list(named) == ["1-5", "6-10", "11-15", "16-20", "21-25", "26-30", "all"]
    assert sorted(k for name, own in named.items() if name != "all" for k in own) == list(range(30))
    assert list(windows_of(replace(plan, window=2), 2)) == ["1-2"]
    assert windows_of(plan, 2) == {"1": (0,), "2": (1,), "all": (0, 1)}
    assert layer_of(plan, 30) == 20
    for wrong in (replace(plan, window=31), replace(plan, layer=31)):
        with pytest.raises(RealmodelsError, match=r"the model has .*30"):
            (windows_of if wrong.window else layer_of)(wrong, 30)


# the whole command


def test_batches_change_nothing_and_records_can_be_read(tiny, rows, adapters, tmp_path):
    names = [f"a={adapters[0]}", f"b={adapters[1]}"]
    done = [
        run(tiny, rows, tmp_path / f"o{batch}", adapters=names, prompts="zero,few:2", batch=batch)
        for batch in (1, 7)
    ]
    for other in done[1:]:
        for one, two in zip(done[0].arms, other.arms, strict=True):
            for prompt in PROMPTS:
                first, second = columns(one.lines[prompt]), columns(two.lines[prompt])
                assert first.keys() == second.keys()
                for name in first:
                    np.testing.assert_allclose(first[name], second[name], atol=5e-4, err_msg=str(name))
    assert [arm.who.name for arm in done[0].arms] == ["base", "a", "b"]
    found = list(records(done[0]))
    assert {(r.arm, r.seed, r.step, r.trained_on) for r in found} == {
        ("base", 0, 0, "none"), ("lora", 21, 30, "known"), ("lora", 22, 30, "known"),
    }  # fmt: skip
    names = {record.metric for record in found}
    assert {"attention_subject", "subject_swap_change", "belief_auroc", "knockout_logprob_change"} <= names
    labels = {r.n for r in found if r.metric == "belief_auroc" and r.stratum == "signal=probe"}
    assert labels == {2 * len(FACTS)}
    base, tuned, _ = numbers(done[0], "zero")
    name = ("swap_logprob_drop", "all")
    assert base[name].less_base is None
    assert tuned[name].less_base.mean == pytest.approx(tuned[name].interval.mean - base[name].interval.mean)
    assert len(summary(done[0])) == sum(len(own) for p in PROMPTS for own in numbers(done[0], p))


def test_an_adapter_is_measured_as_its_merged_model(tiny, rows, adapters, tmp_path):
    done = run(tiny, rows, tmp_path / "o", adapters=adapters[:1], probes=("attention", "knockout"))
    merged = load(str(tiny), adapter=str(adapters[0]), device="cpu")
    (zero,) = read_prompts("zero")
    sheet = make_sheet(merged.tokens, done.job.task, zero, done.job.looks)
    wanted = measure.gaze(merged, sheet).mass.mean(axis=2)
    found = np.array([one["attention"]["mass"] for one in done.arms[1].lines["zero"]])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - [one["attention"]["mass"] for one in done.arms[0].lines["zero"]]).max() > 1e-2
    alone = run(tiny, rows, tmp_path / "alone", probes=("attention", "knockout"))
    assert alone.arms[0].lines == done.arms[0].lines


def test_a_finished_model_is_not_looked_at_again(tiny, rows, adapters, tmp_path, monkeypatch):
    out = tmp_path / "o"
    first = run(tiny, rows, out)
    before = (out / "base" / ITEMS).stat().st_mtime_ns
    more = run(tiny, rows, out, adapters=adapters)
    assert (out / "base" / ITEMS).stat().st_mtime_ns == before
    assert [arm.who.name for arm in more.arms] == ["base", "tuned-1", "tuned-2"]
    fresh = run(tiny, rows, tmp_path / "fresh", adapters=adapters)
    for arm in ("base", "tuned-1", "tuned-2"):
        assert (out / arm / ITEMS).read_text() == (tmp_path / "fresh" / arm / ITEMS).read_text()
    (out / "tuned-1" / ITEMS).write_text("torn")
    mended = run(tiny, rows, out, adapters=adapters)
    assert mended.arms[1].lines == fresh.arms[1].lines
    monkeypatch.setattr("realmodels.attend.layers_of", None)  # would be called were the model needed
    again = run(tiny, rows, out, adapters=adapters)
    assert again.arms[0].lines == json.loads(json.dumps(first.arms[0].lines))
    with pytest.raises(RealmodelsError, match="other settings; choose another --output-dir"):
        run(tiny, rows, out, longest=5)


def test_interrupted_between_adapters_the_finished_ones_stay(tiny, rows, adapters, tmp_path, monkeypatch):
    from realmodels import attend

    look = attend._look

    def stop(loaded, job, sheets, readers, say, who):
        if who == "tuned-2":
            raise KeyboardInterrupt
        return look(loaded, job, sheets, readers, say, who)

    monkeypatch.setattr(attend, "_look", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, rows, tmp_path / "o", adapters=adapters)
    monkeypatch.setattr(attend, "_look", look)
    assert (tmp_path / "o" / "tuned-1" / ARM).exists()
    assert not (tmp_path / "o" / "tuned-2").exists()
    run(tiny, rows, tmp_path / "o", adapters=adapters)
    assert (tmp_path / "o" / "tuned-2" / ARM).exists()


def cli(*words):
    return main("python -m realmodels", "about", COMMANDS, ["attend", *map(str, words)])


def test_the_command_prints_a_table_by_adapter(tiny, rows, adapters, tmp_path, capsys):
    words = [
        "--model",
        tiny,
        "--data",
        rows,
        "-o",
        tmp_path / "o",
        "--adapter",
        f"known={adapters[0]}",
        "--longest",
        3,
    ]
    assert cli(*words, "--swaps", 2, "--folds", 3) == 0
    out = capsys.readouterr().out
    for words in (
        "attention to the subject",
        "belief by probe, AUROC",
        "from the end, layers all",
        "12 of 12 questions",
    ):
        assert words in out
    assert "24 labelled statements, 3 folds by subject" in out
    table = read_records(tmp_path / "o" / "records.jsonl")
    assert set(table.levels["metric"]) >= {
        "attention_subject",
        "swap_first_token_kept",
        "belief_pair_accuracy",
    }
    assert table.levels["study"] == ("attend",)


def test_labels_of_an_audit_become_strata(tiny, write_audit, tmp_path):
    facts = [
        (
            {"question": f"Of {s} what is the capital?", "answers": [a]},
            {"label": "HighlyKnown" if i % 2 else "Unknown", "subject": s, "relation": "capital"},
        )
        for i, (s, a) in enumerate(FACTS)
    ]
    path = write_audit(facts)
    found = list(records(run(tiny, path, tmp_path / "o")))
    strata = {record.stratum for record in found if record.metric == "belief_auroc"}
    assert {"signal=probe", "signal=probe,known=yes", "signal=probe,known=no"} <= strata
    assert {r.n for r in found if r.metric == "accuracy" and r.stratum == "known=yes"} == {6}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--swaps", "0"), "--swaps: expected at least 1, got 0"),
        (("--prompts", "cot"), "behind a chain of thought the subject stands twice"),
        (("--prompts", "few"), "--prompts: unknown 'few'"),
        (("--layer", "3"), "--layer 3: the model has layers 1 to 2"),
        (("--window", "5"), "--window 5: the model has 2 layers"),
        (("--style", "plan"), "style: unknown 'plan'; did you mean 'plain'?"),
        (("--data", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--adapter", "nowhere"), "nowhere"),
        (("--model", "nowhere/m"), "nowhere/m"),
        (("--folds", "1"), "--folds: expected at least 2, got 1"),
    ],
)
def test_bad_input_gets_one_line(tiny, rows, tmp_path, capsys, words, line):
    usual = {"--model": tiny, "--data": rows, "--output-dir": tmp_path / "o"}
    given = {**usual, words[0]: words[1]}
    assert cli(*(word for pair in given.items() for word in pair)) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert line in said
    assert not (tmp_path / "o" / "base" / ARM).exists()


def test_rows_without_subjects_are_refused(tiny, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "What?", "answers": ["a"]}\n')
    assert cli("--model", tiny, "--data", path, "-o", tmp_path / "o") == 2
    assert "give the rows a column subject, or --map subject=COLUMN" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_another_commands_folder_is_left_alone(tiny, rows, tmp_path, capsys, more):
    (tmp_path / "records.jsonl").write_text("of a study")
    assert cli("--model", tiny, "--data", rows, "-o", tmp_path, *more) == 2
    assert "holds records.jsonl of another command" in capsys.readouterr().err
    assert (tmp_path / "records.jsonl").read_text() == "of a study"


def test_a_single_question_has_numbers_but_no_intervals(tiny, tmp_path, capsys):
    path = write_rows(tmp_path / "one.jsonl", FACTS[:1])
    assert cli("--model", tiny, "--data", path, "-o", tmp_path / "o", "--longest", 2) == 0
    out = capsys.readouterr().out
    assert "one subject alone" in out
    assert "there is no probe" in out
    assert "another subject" not in out


def test_a_model_of_another_build_is_refused(tiny, rows, tmp_path, capsys):
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    words = AutoTokenizer.from_pretrained(tiny)
    config = GPT2Config(vocab_size=len(words), n_embd=16, n_layer=2, n_head=2, n_positions=128)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    words.save_pretrained(tmp_path / "gpt")
    assert cli("--model", tmp_path / "gpt", "--data", rows, "-o", tmp_path / "o") == 2
    assert "the attention of a GPT2Model cannot be looked into" in capsys.readouterr().err


def test_layers_without_weights_or_masks_are_refused(loaded):
    with pytest.raises(RealmodelsError, match="keeps its attention weights to itself"), watching(loaded, [0]):
        loaded.model(torch.tensor([[1, 5]]))  # sdpa has none to show
    hidden = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    with pytest.raises(RealmodelsError, match="takes no mask by that name"), blinded(loaded, [0], hidden):
        loaded.model(torch.tensor([[1, 5]]))  # a causal mask that is left out
    assert len(layers_of(loaded)) == 2


def test_in_a_model_that_knows_its_facts_the_subject_is_looked_at_and_needed(pocket, tmp_path):
    """The pocket model's world: blind to the subject, it can only guess."""
    path = tmp_path / "questions.jsonl"
    path.write_text("".join((pocket / "questions.jsonl").read_text().splitlines(keepends=True)[:60]))
    done = run(pocket, path, tmp_path / "o", looks=Looks(style_named("sentence"), swaps=2))
    found = columns(done.arms[0].lines["zero"])
    assert np.nanmean(found["accuracy", "all"]) > 0.3
    assert np.nanmean(found["knockout_logprob_change", "from=later,layers=all"]) < -0.5
