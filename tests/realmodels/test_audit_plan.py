import dataclasses
import json
import random
import re
from dataclasses import replace

import pytest

from realmodels.audit import Job, run_audit
from realmodels.audit_cost import cost_of, render, tokens_of
from realmodels.audit_plan import PIECE, Asking, make_plan
from realmodels.budgets import Budget, budget_named
from realmodels.errors import RealmodelsError
from realmodels.loading import load_tokens
from realmodels.prompting import STYLES, render_prefix, render_question
from realmodels.rows import Row
from realmodels.sampling import Sampling

MODEL = {"fingerprint": "abc", "dtype": "float32"}
ASKING = Asking(STYLES["qa"], prompts=3)


def row(i, question, answer="a", subject=None, relation=None):
    return Row(i, i + 1, f"id{i}", question, (answer,), subject, relation, None, {}, "rows.jsonl")


def capitals(n=40):
    return [row(i, f"What is the capital of Land{i}?", f"City{i}", f"Land{i}", "capital") for i in range(n)]


def by_question(plan, rows):
    return {
        (kind, prompt, rows[i].question): key
        for kind, prompts in plan.keys.items()
        for prompt, keys in enumerate(prompts)
        for i, key in enumerate(keys)
    }


def test_every_row_and_prompt_has_a_key_and_every_key_a_piece():
    rows = capitals()
    plan = make_plan(rows, rows, ASKING, MODEL)
    assert [len(keys) for keys in plan.keys["answer"]] == [40] * 3
    order = list(plan.order())
    assert sorted(order) == sorted(key for keys in plan.keys["answer"] for key in keys)
    assert len(set(order)) == 120


def test_equal_rows_are_asked_once():
    rows = [*capitals(), *capitals()]
    plan = make_plan(rows, rows, ASKING, MODEL)
    once = make_plan(capitals(), capitals(), ASKING, MODEL)
    assert len(list(plan.order())) == len(list(once.order())) == 120
    assert plan.keys["answer"][0][:40] == plan.keys["answer"][0][40:]


def test_pieces_are_bounded_and_share_their_shots():
    rows = capitals(3 * PIECE)
    plan = make_plan(rows, rows, ASKING, MODEL)
    assert max(len(piece.rows) for piece in plan.pieces) == PIECE
    assert all(len(plan.shown(piece)) == 4 for piece in plan.pieces)
    assert [piece.prompt for piece in plan.pieces] == sorted(piece.prompt for piece in plan.pieces)


def test_keys_do_not_depend_on_the_order_of_rows():
    rows = capitals()
    turned = rows[:]
    random.Random(1).shuffle(turned)
    asking = dataclasses.replace(ASKING, signals=("margin", "p_true"))
    assert by_question(make_plan(rows, rows, asking, MODEL), rows) == by_question(
        make_plan(turned, turned, asking, MODEL), turned
    )


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ({"fingerprint": "abd"}, {}),
        ({"dtype": "bfloat16"}, {}),
        ({}, {"style": STYLES["plain"]}),
        ({}, {"shots": 3}),
        ({}, {"estimator": "sample"}),
        ({}, {"estimator": "hybrid", "matcher": "normalized"}),
        ({}, {"sampling": Sampling(temperature=0.7)}),
        ({}, {"sampling": Sampling(top_k=10)}),
        ({}, {"seed": 1}),
    ],
)
def test_what_decides_the_answer_decides_the_key(model, changes):
    rows = capitals()
    base = make_plan(rows, rows, ASKING, MODEL)
    other = make_plan(rows, rows, dataclasses.replace(ASKING, **changes), {**MODEL, **model})
    assert not set(base.order()) & set(other.order())


def test_more_prompts_use_what_fewer_have_found():
    rows = capitals()
    few = set(make_plan(rows, rows, ASKING, MODEL).order())
    many = set(make_plan(rows, rows, dataclasses.replace(ASKING, prompts=5), MODEL).order())
    assert few < many


def test_signals_leave_the_labels_keys_alone_and_are_asked_under_the_first_prompt():
    rows = capitals()
    plan = make_plan(
        rows, rows, dataclasses.replace(ASKING, signals=("margin", "p_true", "popularity")), MODEL
    )
    assert plan.keys["answer"] == make_plan(rows, rows, ASKING, MODEL).keys["answer"]
    assert set(plan.keys) == {"answer", "margin", "p_true"}
    assert {piece.prompt for piece in plan.pieces if piece.kind != "answer"} == {0}


@pytest.mark.parametrize(
    ("estimator", "asked", "written"),
    [
        ("exact", ["hybrid", "exact", "exact"], [True, False, False]),
        ("hybrid", ["hybrid"] * 3, [True] * 3),
        ("sample", ["sample"] * 3, [True] * 3),
    ],
)
def test_some_greedy_answers_are_always_written_out(estimator, asked, written):
    asking = dataclasses.replace(ASKING, estimator=estimator)
    assert [asking.estimator_of(prompt) for prompt in range(3)] == asked
    assert [asking.writes(prompt) for prompt in range(3)] == written


def test_budgets():
    assert budget_named("standard") == Budget(10, "exact")
    assert budget_named("cheap") == Budget(2, "exact")
    assert budget_named("paper") == Budget(10, "sample")
    assert budget_named("paper", 3, "hybrid") == Budget(3, "hybrid")
    with pytest.raises(RealmodelsError, match=r"--budget: unknown 'chaep'; did you mean 'cheap'\?"):
        budget_named("chaep")
    with pytest.raises(RealmodelsError, match="--prompts: expected at least 1, got 0"):
        budget_named("cheap", 0)


@pytest.fixture
def job(tiny, tmp_path):
    lines = [
        json.dumps(
            {"question": r.question, "answers": r.answers, "subject": r.subject, "relation": r.relation}
        )
        for r in capitals(30)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return Job(str(tiny), str(tmp_path / "rows.jsonl"), tmp_path / "out", Asking(STYLES["qa"], prompts=3))


def test_tokens_of_a_piece_are_the_shared_beginning_once_and_every_question(job):
    """Counted by hand on whole prompts."""
    rows, tokens = capitals(), load_tokens(job.model)
    plan = make_plan(rows, rows, ASKING, MODEL)
    piece = plan.pieces[-1]
    prefix = render_prefix(ASKING.style, plan.shown(piece))
    whole = [
        len(tokens.prompt_ids(prefix + render_question(ASKING.style, rows[i].question))) for i in piece.rows
    ]
    answers = [len(tokens.answer_ids(f" {rows[i].answers[0]}")) for i in piece.rows]
    shared = len(tokens.prompt_ids(prefix))
    about = shared + sum(whole) - shared * len(whole) + sum(answers)
    assert tokens_of(tokens, plan, piece) == pytest.approx(about, rel=0.1)


def test_a_dry_run_writes_nothing_and_says_what_it_would_cost(job):
    cost = cost_of(job, seconds=0.1)
    assert not job.output.exists()
    assert (cost.rows, cost.answers, cost.finished) == (30, 90, 0)
    assert cost.tokens > 90 * 5
    assert cost.seconds == cost.tokens / cost.speed > 0
    assert cost.memory > cost.card.weight_bytes > 0
    text = render(cost, job)
    assert "30 rows x 3 prompts of 4 shots, estimator exact, matcher exact" in text
    assert re.search(r"answers: +90\n", text)
    assert re.search(r"forward tokens: about [\d,]+\n", text)
    assert re.search(r"time: +about \d+ s \([\d,]+ tokens a second on this device", text)
    assert "nothing was loaded or written" in text
    few = replace(job, load_in="4bit")
    held = cost_of(few, speed=1.0)
    assert cost.memory - held.memory == cost.card.weight_bytes - held.card.weight_bytes > 0
    assert "float32 in 4bit on cpu" in render(held, few)
    assert "random weights in float32)" in render(held, few)


def test_a_dry_run_knows_what_is_finished(job):
    run_audit(job, progress=False)
    done = cost_of(job, seconds=0.1)
    assert (done.answers, done.finished, done.tokens) == (90, 90, 0)
    more = dataclasses.replace(job, asking=dataclasses.replace(job.asking, prompts=4, signals=("margin",)))
    left = cost_of(more, seconds=0.1)
    assert (left.answers, left.finished) == (150, 90)
    assert "150, of which 90 are finished" in render(left, more)
    again = cost_of(dataclasses.replace(more, overwrite=True), seconds=0.1)
    assert again.finished == 0


def test_signals_cost_what_they_read(job):
    """Four other questions a row; and the verdict's prompts, counted whole."""
    from realmodels.prompting import truth_prompt

    rows, tokens = capitals(), load_tokens(job.model)
    plan = make_plan(rows, rows, dataclasses.replace(ASKING, signals=("margin", "p_true")), MODEL)
    cost = {
        kind: sum(tokens_of(tokens, plan, p) for p in plan.pieces if p.kind == kind) for kind in plan.keys
    }
    assert 1 < cost["margin"] / (cost["answer"] / 3) < 4
    shots = {i: plan.shown(piece) for piece in plan.pieces if piece.kind == "p_true" for i in piece.rows}
    texts = [
        truth_prompt(ASKING.style, shots[i], rows[i].question, rows[i].answers[0]) for i in range(len(rows))
    ]
    assert cost["p_true"] == sum(len(tokens.prompt_ids(text)) for text in texts)
