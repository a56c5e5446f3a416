"""The study `prompts`: its prompts, edges and similarities against slow readings, and a whole run on a pocket model."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from realmodels.arms import PERMUTED
from realmodels.errors import RealmodelsError
from realmodels.eval_ask import Lengths
from realmodels.eval_ask import ask as eval_ask
from realmodels.eval_prompts import CUE, THINK, answer_prompt, blocks, read_prompts
from realmodels.eval_tasks import Question, Task
from realmodels.loading import load
from realmodels.prompting import render_question, style_named
from realmodels.rows import Row
from realmodels.splits import group_of
from realmodels.study_exam import Exam, sit
from realmodels.study_prompts import ASKED, CONTRAST, FEW, SELECTIONS, STUDY, PromptSettings, edges_of
from realmodels.study_prompts_ask import (
    PROMPTS,
    THOUGHT,
    UNRELATED,
    WORDINGS,
    WORKED,
    ask,
    solved_at_length,
    worded,
)
from realmodels.study_prompts_ask import blocks as prompt_blocks
from realmodels.study_prompts_edges import correlation, gap_follows_edges, gaps, rank_agreement
from realmodels.study_prompts_near import embed, quarters, similarity
from realmodels.study_records import Stamp
from realmodels.study_table import Order
from theory.claims.base import Absent
from theory.claims.evidence import split_studies
from theory.claims.paper_b import CLAIMS
from theory.records import read_records

PLACES = [("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi")]
WORDS = {"capital": "What is the capital of {}?", "motto": "What says {}?", "sea": "Where swims {}?"}


def row(i, subject, answer, relation):
    question = WORDS[relation].format(subject)
    return Row(i, 0, f"r{i}", question, (answer,), subject, relation, None, {}, "here")


def exam(style="qa"):
    facts = [(s, a, r) for r in WORDS for s, a in PLACES]
    rows = tuple(row(i, *fact) for i, fact in enumerate(facts))
    return Exam("test", rows, rows, style_named(style))


@pytest.fixture(scope="module")
def loaded(tiny):
    return load(str(tiny), device="cpu")


# prompts


def test_unrelated_exemplars_are_right_of_one_other_relation_and_never_about_the_subject():
    asked = exam()
    made = prompt_blocks(asked, UNRELATED)
    assert sorted(i for block in made for i in block.index) == list(range(len(asked)))
    shown = {one.question: one for one in asked.pool}
    relations = {}
    for block in made:
        parts = [part.removeprefix("Q: ").split("\nA: ") for part in block.prefix.strip().split("\n\n")]
        assert len(parts) == 4
        for i, text in zip(block.index, block.texts, strict=True):
            own = asked.rows[i]
            for question, answer in parts:
                assert answer == shown[question].answers[0]
                assert shown[question].relation != own.relation
                assert group_of(shown[question]) != group_of(own)
            relations.setdefault(own.relation, set()).update(
                shown[question].relation for question, _ in parts
            )
            assert text == block.prefix + render_question(asked.style, own.question)
    assert all(len(others) == 1 for others in relations.values())
    assert [b.texts for b in made] == [b.texts for b in prompt_blocks(exam(), UNRELATED)]


def test_too_few_facts_of_other_relations_are_refused():
    few = exam()
    few = replace(few, pool=few.pool[:6])
    with pytest.raises(RealmodelsError, match="only 0 facts of relations other than capital"):
        prompt_blocks(few, UNRELATED)


def test_too_few_to_show_is_told_in_words_of_a_study():
    few = replace(exam(), pool=exam().pool[:3])
    with pytest.raises(RealmodelsError) as wrong:
        few.blocks("few:4")
    assert str(wrong.value) == (
        "study: few:4 cannot be made before every fact of test: 3 facts of 3 subjects of dev are there to be shown; "
        "give it more with --set dev_share=0.3, or audit more"
    )


@pytest.mark.parametrize("style", ["qa", "sentence"])
def test_worked_exemplars_think_and_conclude_before_a_question_that_thinks(style):
    asked = exam(style)
    for block in prompt_blocks(asked, WORKED):
        assert block.prefix.count(THINK) == block.prefix.count(CUE) == 2
        for i, text in zip(block.index, block.texts, strict=True):
            assert text == f"{block.prefix}{render_question(asked.style, asked.rows[i].question)} {THINK}"
            assert asked.rows[i].subject not in block.prefix
    one = solved_at_length(asked.style, asked.rows[0])
    assert "The question is about France." in one
    assert one.rstrip(" .\n").endswith(f"{CUE} Paris")


def test_thinking_first_is_what_eval_does(loaded):
    asked = exam()
    found = ask(loaded, asked, "cot", 6)
    (prompt,) = read_prompts("cot")
    task = Task("test", "", tuple(Question({}, "", one) for one in asked.rows), asked.pool)
    (block,) = blocks(task, prompt, asked.style)
    wanted = eval_ask(loaded, block, task.questions, prompt, asked.style, Lengths(6, THOUGHT))
    assert not any(CUE in one["thought"] for one in wanted)
    assert [said.strip() for said in found.said] == [one["said"].strip() for one in wanted]
    np.testing.assert_allclose(found.logprob, [one["logprob"] for one in wanted], atol=1e-4)


@pytest.mark.parametrize("name", [UNRELATED, WORKED])
def test_answers_are_those_to_the_text_alone(loaded, name):
    """One prompt at a time, without a shared prefix; thoughts token by token."""
    asked = exam()
    found = ask(loaded, asked, name, 4)
    stops = list(loaded.tokens.stops("\n"))

    def logs_of(ids):
        with torch.no_grad():
            return loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)

    for block in prompt_blocks(asked, name):
        for i, text in list(zip(block.index, block.texts, strict=True))[:2]:
            if name == WORKED:
                ids, thought = list(loaded.tokens.prompt_ids(text)), []
                while (
                    len(thought) < THOUGHT
                    and (token := int(logs_of(ids + thought)[-1].argmax())) not in stops
                ):
                    thought.append(token)
                text = answer_prompt(text, loaded.tokens.text(thought).partition(CUE)[0], asked.style)
            ids, answer = (
                loaded.tokens.prompt_ids(text),
                loaded.tokens.answer_ids(f" {asked.rows[i].answers[0]}"),
            )
            logs = logs_of([*ids, *answer])
            chance = sum(float(logs[len(ids) - 1 + k, token]) for k, token in enumerate(answer))
            assert found.logprob[i] == pytest.approx(chance + float(logs[-1, stops].logsumexp(0)), abs=1e-4)


@pytest.mark.parametrize("style", ["qa", "sentence"])
def test_other_wordings_ask_the_same_in_other_words(loaded, style):
    asked = exam(style)
    texts = [{text for b in worded(asked, name).blocks("zero") for text in b.texts} for name in WORDINGS]
    texts.append({text for b in asked.blocks("zero") for text in b.texts})
    assert all(not a & b for a, b in ((texts[0], texts[1]), (texts[1], texts[2]), (texts[0], texts[2])))
    assert all(asked.rows[0].question in text for text in (sorted(texts[0])[0],) if "France" in text)
    assert worded(asked, WORDINGS[0]).style.end == asked.style.end
    if style == "qa":
        assert len(sit(loaded, worded(asked, WORDINGS[0]), "zero").hits) == len(asked)


# edges and ranks


def test_gaps_are_counts_of_edges():
    rng = np.random.default_rng(0)
    a, b, pa, pb, p = rng.random((5, 60)) < [[0.7], [0.4], [0.5], [0.5], [0.6]]
    found = gaps(a, b, pa, pb, p)
    sets = [set(np.flatnonzero(x).tolist()) for x in (a, b, pa, pb, p)]
    known, unknown, with_known, with_unknown, prompt = sets
    assert found["edge_gap"] == pytest.approx((len(known) - len(unknown)) / 60)
    assert found["edge_gap_prompted"] == pytest.approx(
        (len(known | with_known) - len(unknown | with_unknown)) / 60
    )
    assert found["edge_gap_merged"] == pytest.approx((len(known | prompt) - len(unknown | prompt)) / 60)
    assert found["edge_gap_thinned"] == pytest.approx((1 - p.mean()) * (len(known) - len(unknown)) / 60)
    assert found["edge_only_unknown"] == pytest.approx(len(unknown - known) / 60)
    assert 0 <= found["edge_gap_widens"] <= found["edge_gap_bound"] + 1e-9


def test_edges_gained_and_lost(loaded):
    asked = exam()
    zero, few = sit(loaded, asked, "zero"), sit(loaded, asked, "few:2")
    rng = np.random.default_rng(1)
    zero, few = (replace(sat, hits=rng.random(len(asked)) < 0.5) for sat in (zero, few))
    stamp = Stamp("realmodels/R3-x", "prompts", "run", 10, "lora")
    found = {(r.prompt, r.metric): r.value for r in edges_of(stamp, {"zero": zero, "few:2": few})}
    assert found["zero", "edge_share"] == zero.hits.mean()
    assert found["few:2", "edge_gained"] - found["few:2", "edge_lost"] == pytest.approx(
        few.hits.mean() - zero.hits.mean()
    )
    assert found["zero+few:2", "edge_share"] == pytest.approx(
        zero.hits.mean() + found["few:2", "edge_gained"]
    )


def test_ranks_agree_on_a_real_order_and_not_on_noise():
    rng = np.random.default_rng(3)
    strength = np.array([0.1, 0.3, 0.5, 0.7, 0.9])[:, None]
    first, second = (rng.random((5, 400)) < strength for _ in range(2))
    assert rank_agreement(first, second, 0) > 0.95
    assert rank_agreement(first, second[::-1], 0) < -0.95
    noise = [rank_agreement(rng.random((5, 400)) < 0.5, rng.random((5, 400)) < 0.5, k) for k in range(30)]
    assert abs(np.mean(noise)) < 0.2
    assert np.isnan(rank_agreement(first[:2], second[:2], 0))


def test_correlations_are_spearmans_over_relations():
    rng = np.random.default_rng(4)
    relation = np.repeat([3, 5, 8, 9], 10)
    gap, edges = rng.normal(size=(2, 40))
    means = [[x[relation == r].mean() for r in (3, 5, 8, 9)] for x in (gap, edges)]
    assert gap_follows_edges(relation, gap, edges) == pytest.approx(spearmanr(*means).statistic)
    assert np.isnan(correlation([1, 1, 1], [1, 2, 3]))


# how near


def test_embeddings_are_means_over_each_question(loaded):
    questions = [one.question for one in exam().rows]
    style = style_named("qa")
    found = embed(loaded, style, questions)
    np.testing.assert_allclose(found, embed(loaded, style, questions, batch=1), atol=1e-5)
    for i, question in enumerate(questions[:4]):
        ids = loaded.tokens.prompt_ids(render_question(style, question))
        with torch.no_grad():
            hidden = loaded.model.model(torch.tensor([ids])).last_hidden_state[0].double()
        np.testing.assert_allclose(found[i], hidden[len(loaded.tokens.bos) :].mean(0).numpy(), atol=1e-5)


def test_similarity_is_the_mean_cosine_with_the_nearest():
    rng = np.random.default_rng(5)
    rows, facts = rng.normal(size=(12, 6)), rng.normal(size=(7, 6))
    centre = rows.mean(0)
    for i, value in enumerate(similarity(rows, facts, 3)):
        x = facts[i] - centre
        cosines = sorted(x @ (y - centre) / np.linalg.norm(x) / np.linalg.norm(y - centre) for y in rows)
        assert value == pytest.approx(np.mean(cosines[-3:]))


def test_quarters_are_equal_and_in_order():
    values = np.random.default_rng(6).normal(size=41)
    found = quarters(values).astype(int)
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert set(np.bincount(found)[1:].tolist()) <= {10, 11}


# the whole study


def order(pocket, output, **more):
    settings = PromptSettings(
        **{
            **{
                "per_relation": 60,
                "prompts": 2,
                "audit_shots": 2,
                "rows": 10,
                "test": 20,
                "ood": 10,
                "dev": 10,
            },
            **{"longest": 4, "train_share": 0.4, "dev_share": 0.4},
            **more,
        }
    )
    recipe = replace(STUDY.recipe, epochs=2, rank=4, style="sentence", batch=5)
    return Order(
        str(pocket),
        (str(pocket / "questions.jsonl"),),
        output,
        settings,
        recipe,
        seeds=(10,),
        lab="realmodels/R3-pocket",
        device="cpu",
    )


@pytest.fixture(scope="module")
def ran(pocket, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "prompts"
    output.mkdir()
    said = []
    sections = STUDY.run(order(pocket, output), said.append)
    return output, sections, said


def test_every_cell_of_the_papers_claims_has_rows(ran):
    output, _, _ = ran
    (rows,) = split_studies(read_records(output / "records.jsonl"))
    missing = [
        f"{claim.id}: {cell.where('lora')}"
        for claim in CLAIMS
        if claim.id in ("B1", "B2", "B3", "B4", "B5", "B6")
        for part in claim.parts
        if part.role == "decides"
        for cell in part.quantity.cells
        if isinstance(rows.series(cell), Absent)
    ]
    # ranks can be tied everywhere in so small a run
    assert [one for one in missing if "correlation" not in one and "agreement" not in one] == []


def test_every_prompt_is_asked_at_both_stops(ran):
    output, sections, _ = ran
    table = read_records(output / "records.jsonl")
    assert set(ASKED) <= set(table.levels["prompt"])
    for name in CONTRAST:
        for prompt in ASKED:
            own = table.mask(
                trained_on=name, prompt=prompt, split="test", metric="accuracy", stratum="all", arm="lora"
            )
            assert own.any(), (name, prompt)
    assert {"edge_gap_merged", "edge_gained", "edge_share"} <= set(table.levels["metric"])
    assert {f"similarity={k}" for k in range(1, 5)} <= set(table.levels["stratum"])
    assert {"ood-relation", "graded", "dev", "test", "train"} <= set(table.levels["split"])
    assert set(table.levels["trained_on"]) >= {
        *SELECTIONS, PERMUTED, "small:known", "small:random", "none", "across"
    }  # fmt: skip
    titles = [section.title for section in sections]
    apart = ["The zero-shot gap taken apart", "The gap to the same rows with answers permuted"]
    assert titles[:4] == ["Arms", "Gap by prompt", *apart]
    assert titles[4:] in ([], ["Remarks"])
    (gap,) = [section for section in sections if section.title == "Gap by prompt"]
    assert {one["prompt"] for one in gap.data} == set(ASKED)
    assert PROMPTS[0] in gap.text


def test_started_again_nothing_is_trained_and_records_are_the_same(ran, pocket):
    output, _, said = ran
    before = (output / "records.jsonl").read_bytes()
    assert any("known" in line for line in said)
    again = []
    STUDY.run(order(pocket, output), again.append)
    assert (output / "records.jsonl").read_bytes() == before
    assert not any(" s; " in line for line in again)


def test_the_contrast_alone_says_nothing_of_ranks(ran, pocket):
    output, _, _ = ran
    folder = output.parent / "alone"
    folder.mkdir()
    asked = order(pocket, folder, others=())
    said = []
    STUDY.run(replace(asked, audit=output / "audit", shared=output.parent / "arms"), said.append)
    assert not any(" s; " in line for line in said)  # its arms are there
    whole, alone = (read_records(one / "records.jsonl") for one in (output, folder))
    assert set(alone.levels["trained_on"]) == {*CONTRAST, PERMUTED, "none", "across"}
    assert "selection_rank_agreement" not in alone.levels["metric"]
    own = [
        {replace(r, run="") for r in one.take(one.mask(trained_on="known")).records()}
        for one in (whole, alone)
    ]
    assert own[0] == own[1]
    with pytest.raises(RealmodelsError, match="settings: others: expected some of best, lesser"):
        PromptSettings(others=("bst",))


def test_the_gap_to_permuted_answers_is_that_of_the_records(ran):
    output, sections, _ = ran
    (found,) = [section for section in sections if section.title.endswith("permuted")]
    (raw,) = [
        one
        for one in found.data
        if one["stop"] == "end" and one["stratum"] == "all test facts (raw)" and one["items"] == 20
    ]
    table = read_records(output / "records.jsonl")
    share = {}
    for name in ("known", PERMUTED):
        own = table.take(
            table.mask(
                trained_on=name, prompt="zero", split="test", metric="accuracy", stratum="all", arm="lora"
            )
        )
        at = own.numbers["step"] == own.numbers["step"].max()
        (share[name],) = own.numbers["value"][at].tolist()
    assert raw["gap"] == pytest.approx(100 * (share["known"] - share[PERMUTED]))
    assert (raw["high"], raw["low"]) == pytest.approx((100 * share["known"], 100 * share[PERMUTED]))


def test_small_sets_are_a_tenth(ran):
    output, _, _ = ran
    sets = json.loads((output / "plan.json").read_text())["sets"]["10"]
    assert sets["small:known"] == sets["small:random"] == max(2, sets["known"] // 10)


def test_an_instructed_model_is_one_more_base(ran, pocket):
    output, _, _ = ran
    folder = output.parent / "instruct"
    folder.mkdir()
    asked = order(pocket, folder, instruct=str(pocket))
    asked = replace(asked, audit=output / "audit", shared=output.parent / "arms", speed=1000.0)
    plain = STUDY.plan(replace(asked, settings=replace(asked.settings, instruct="")))
    before = STUDY.plan(asked)
    assert "beside:" not in plain
    assert f"beside:  3 arms on {pocket}, 3 to train or ask" in before
    assert told(before)[0] == told(plain)[0] == 0
    assert all(more > less for more, less in zip(told(before)[1:], told(plain)[1:], strict=True))
    STUDY.run(asked, lambda text: None)
    after = STUDY.plan(asked)
    assert f"beside:  3 arms on {pocket}, 0 to train or ask" in after
    assert told(after) == [0, 0, 0]
    table = read_records(folder / "records.jsonl")
    assert {"lora", "base", "lora@instruct", "base@instruct"} <= set(table.levels["arm"])
    own = {"trained_on": "unknown", "prompt": "zero", "split": "test", "stratum": "all", "metric": "accuracy"}
    same = [table.take(table.mask(arm=arm, **own)) for arm in ("lora", "lora@instruct")]
    last = [
        dict(zip(one.numbers["step"].tolist(), one.numbers["value"].tolist(), strict=True)) for one in same
    ]
    assert last[0][max(last[0])] == last[1][max(last[1])]  # it is the same model here


def test_an_instructed_model_is_counted_before_there_is_an_audit_and_must_be_there(pocket, tmp_path):
    asked = replace(order(pocket, tmp_path / "run"), speed=1000.0)
    with_one = replace(asked, settings=replace(asked.settings, instruct=str(pocket)))
    plain, more = STUDY.plan(asked), STUDY.plan(with_one)
    assert f"beside:  3 arms on {pocket}\n" in more
    assert told(more)[0] == told(plain)[0] > 0
    assert all(one > other for one, other in zip(told(more)[1:], told(plain)[1:], strict=True))
    away = replace(asked, settings=replace(asked.settings, instruct=str(tmp_path / "none")))
    with pytest.raises(RealmodelsError, match=r"--set instruct: .*none: no such file or folder"):
        STUDY.run(away, lambda text: None)
    assert not (tmp_path / "run").exists()


def told(plan):
    """Tokens to audit, to train, to ask."""
    (line,) = [line for line in plan.splitlines() if line.startswith("tokens:")]
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= to )", line)]


def test_the_plan_names_the_prompts(ran, pocket):
    output, _, _ = ran
    text = STUDY.plan(replace(order(pocket, output), speed=1000.0))
    assert "few-unrelated:4" in text
    assert "finished" in text


def test_too_few_facts_to_show_are_told_before_training(ran, pocket):
    output, _, _ = ran
    asked = order(pocket, output.parent / "few", train_share=0.8, dev_share=0.08)
    said = []
    with pytest.raises(RealmodelsError, match=r"cannot be made before every fact of .*--set dev_share=0.3"):
        STUDY.run(replace(asked, audit=output / "audit"), said.append)
    assert said == []


def test_nonsense_in_the_settings_is_refused():
    with pytest.raises(RealmodelsError, match="shots: the study's prompts have 1, 2, 4 and 8"):
        PromptSettings(shots=3)
    assert FEW == "few:4"
