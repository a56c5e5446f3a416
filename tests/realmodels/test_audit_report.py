import itertools
import json

import numpy as np
import pytest

from realmodels.audit_found import Found
from realmodels.audit_plan import Asking, make_plan
from realmodels.audit_report import first_prompt, render, summarise
from realmodels.guessing import dominant, guessed, is_dominant
from realmodels.prompting import STYLES
from realmodels.rows import Row
from theory.matching import MATCHERS, match
from theory.slick import by_count

WORDS = [
    "Paris",
    "paris",
    "The Paris",
    "Parish",
    "Oslo",
    "",
    "Oslo, Norway",
    "new york",
    "York",
    " Lima ",
    "lima\nRome",
]


@pytest.mark.parametrize("matcher", sorted(MATCHERS))
def test_permuted_accuracy_is_the_mean_over_all_pairs(matcher):
    """The slow way: every said answer against every other row's accepted ones."""
    rng = np.random.default_rng(3)
    said = [WORDS[i] for i in rng.integers(len(WORDS), size=40)]
    answers = [[WORDS[k] or "Rome" for k in rng.integers(len(WORDS), size=rng.integers(1, 4))] for _ in said]
    pairs = [(i, k) for i, k in itertools.product(range(40), repeat=2) if i != k]
    slow = np.mean([match(said[i], answers[k], matcher) for i, k in pairs])
    assert 0 < slow < 1
    assert guessed(said, answers, matcher) == pytest.approx(slow, abs=1e-12)


def test_permuted_accuracy_does_not_count_the_row_itself():
    """Ten rows that are all right and all different: nothing is guessed."""
    names = [f"City{i}" for i in range(10)]
    assert guessed(names, [[name] for name in names], "exact") == 0.0
    assert guessed(["x"] * 4, [["x"]] * 4, "exact") == 1.0
    assert guessed(["x"], [["x"]], "exact") is None


def test_a_thousand_rows_are_compared_at_once():
    rng = np.random.default_rng(0)
    names = [f"City{i}" for i in rng.integers(50, size=3000)]
    value = guessed(names, [[name] for name in names], "contains")
    assert 0.015 < value < 0.3


def test_dominant_answers():
    said = ["Rome", "rome", "The Rome", "Oslo", "Oslo", "Bern", "Aix", "", " "]
    assert dominant(said) == ("rome", "oslo")
    assert dominant(["b", "a"], 1) == ("a",)
    assert dominant([]) == ()
    assert is_dominant(["Lima", "the Rome!"], ("rome", "oslo"))
    assert not is_dominant(["Lima"], ("rome", "oslo"))


def made(relations=("a", "b"), n=20, prompts=4, said=None, exemplars="auto", **asking):
    """Row i of a relation is right under i % (prompts + 1) prompts; never right ones have p = 0, .02, .5 in turn."""
    rows, greedy, p = [], [], []
    for relation in relations:
        for i in range(n):
            name = f"{relation}{i}"
            rows.append(
                Row(
                    len(rows),
                    0,
                    name,
                    f"What of {name}?",
                    (f"the {name} town",),
                    name,
                    relation,
                    None,
                    {},
                    "f",
                )
            )
            right = i % (prompts + 1)
            greedy.append([j < right for j in range(prompts)])
            p.append(
                [0.9 if j < right else (0.0, 0.02, 0.5)[(i // (prompts + 1)) % 3] for j in range(prompts)]
            )
    plan = make_plan(rows, rows, Asking(STYLES["qa"], prompts=prompts, exemplars=exemplars, **asking), {})
    texts = tuple(row.answers[0] for row in rows) if said is None else tuple(said)
    missing = np.full(len(rows), np.nan)
    return Found(plan, np.array(greedy), np.array(p), np.log(np.array(p) + 0.01), (texts,), missing, missing)


def test_counts_add_up_and_every_line_has_the_number_of_prompts():
    found = made()
    summary = summarise(found.plan, found)
    for row in [*summary["relations"], summary["all"]]:
        assert sum(row["labels"].values()) == row["rows"]
        assert row["n_prompts"] == 4
    assert summary["all"]["rows"] == 40
    assert summary["all"]["labels"] == {"HighlyKnown": 8, "MaybeKnown": 24, "WeaklyKnown": 4, "Unknown": 4}
    # never right, 4 prompts x 16 samples: p = 0 -> d = 0; p = .02 -> d = .73; p = .5 -> d = 1
    assert summary["coin_toss"] == {"rows": 2, "of": 8}
    toss = 1 - 0.98**64
    assert summary["expected"]["WeaklyKnown"] == pytest.approx(2 * (toss + 1), rel=1e-4)
    text = render(summary)
    header, *lines = [line.split() for line in text.splitlines()[2:6]]
    assert header[:3] == ["relation", "prompts", "rows"]
    assert [line[:3] for line in lines] == [["a", "4", "20"], ["b", "4", "20"], ["all", "4", "40"]]
    assert text.startswith(
        "4 prompts of 4 shots, estimator exact, matcher exact; another number of prompts gives other"
    )


def test_accuracy_and_overlap_by_relation():
    found = made()
    row = summarise(found.plan, found)["relations"][0]
    assert row["accuracy"] == pytest.approx(found.greedy[:20].mean())
    assert row["accuracy_written"] == 1.0
    assert row["permuted"] == 0.0
    assert (row["known"], row["known_overlapping"]) == (16, 16)
    assert row["frequent_answers"] == ["a0 town", "a1 town"]


def test_a_relation_may_be_called_all():
    found = made(relations=("all", "b"))
    summary = summarise(found.plan, found)
    assert [(row["relation"], row["rows"], row["permuted"]) for row in summary["relations"]] == [
        ("all", 20, 0.0),
        ("b", 20, 0.0),
    ]


def test_saturation_ends_at_the_labels_and_falls_in_highly_known():
    found = made()
    summary = summarise(found.plan, found)
    curve = summary["saturation"]
    assert curve["prompts"] == [1, 2, 3, 4]
    assert curve["agreement"][-1] == 1.0
    counts = summary["all"]["labels"]
    assert [curve["shares"][name][-1] for name in counts] == [count / 40 for count in counts.values()]
    assert curve["shares"]["HighlyKnown"] == sorted(curve["shares"]["HighlyKnown"], reverse=True)
    # one prompt: row i right under k of 4 prompts is HighlyKnown with chance k / 4
    assert curve["shares"]["HighlyKnown"][0] == pytest.approx(found.greedy.mean())
    assert 0 < curve["split_half"] < 1
    assert "two disjoint halves of the prompts give the same label to" in render(summary)


def test_guessing_is_warned_of():
    """All answers of relation a are the same word and it is always said."""
    found = made()
    rows = [row if row.relation == "b" else Row(*_with_answer(row)) for row in found.plan.rows]
    plan = make_plan(rows, rows, found.plan.asking, {})
    said = tuple(row.answers[0] for row in rows)
    guessing = Found(plan, found.greedy, found.p_sample, found.logprob, (said,), found.margin, found.p_true)
    summary = summarise(plan, guessing)
    (text,) = [text for text in summary["warnings"] if "permuted" in text]
    assert text.startswith("a: accuracy 1.00, but 1.00 with answers permuted")
    assert [row["permuted"] for row in summary["relations"]] == [1.0, 0.0]
    assert summary["all"]["permuted"] == 0.5
    shown = render(summary)
    assert f"warning: {text}" in shown
    # guesses were written under one prompt only, so their accuracy stands beside them and not the one over all prompts
    header = next(line for line in shown.splitlines() if line.startswith("relation")).split()
    of_a = next(line for line in shown.splitlines() if line.startswith("a ")).split()
    cells = dict(zip(header, of_a, strict=False))
    assert (cells["accuracy"], cells["written"], cells["permuted"]) == ("0.500", "1.000", "1.000")
    assert "written out under the first 1 of 4 prompts" in shown
    assert guessing.dominant[:20].all()
    assert guessing.dominant[20:].sum() == 2


def _with_answer(row):
    return (
        row.number,
        row.line,
        row.id,
        row.question,
        ("Rome",),
        row.subject,
        row.relation,
        None,
        {},
        row.source,
    )


def test_one_prompt_is_warned_of_and_has_no_halves():
    found = made(prompts=1)
    summary = summarise(found.plan, found)
    assert "one prompt cannot tell MaybeKnown from HighlyKnown; take at least 2" in summary["warnings"]
    assert summary["saturation"]["split_half"] is None
    assert "disjoint" not in render(summary)
    assert render(summary).startswith("1 prompt of")


def test_exemplars_from_elsewhere_are_warned_of():
    found = made(exemplars="random")
    summary = summarise(found.plan, found)
    assert summary["exemplars"] == {"random": 160}
    assert any("not all of the row's relation (random 160)" in text for text in summary["warnings"])


def test_too_few_exemplars_are_warned_of():
    found = made(relations=("a",), n=3)
    summary = summarise(found.plan, found)
    assert any(
        text.startswith("12 of the questions asked had fewer than 4 exemplars")
        for text in summary["warnings"]
    )


def test_many_prompts_are_sampled_over_subsets_and_deterministically():
    found = made(prompts=14)
    one, two = (summarise(found.plan, found) for _ in range(2))
    assert one["saturation"] == two["saturation"]
    assert one["saturation"]["prompts"] == [1, 2, 3, 4, 6, 8, 10, 12, 14]


def test_the_summary_is_plain():
    found = made()
    assert json.loads(json.dumps(summarise(found.plan, found), allow_nan=False))


def test_the_first_prompt_is_shown_whole():
    found = made()
    text = first_prompt(found.plan)
    assert text.endswith("Q: What of a0?\nA:")
    assert text.count("Q: ") == 5
    assert text.count("\n\n") == 4


def test_labels_of_sampled_answers_follow_the_papers_rule():
    """p is the share of right samples; one right sample of 160 is enough for WeaklyKnown."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(16, rng.choice([0.0, 0.0, 0.01, 0.3], size=(200, 10)))
    greedy = rng.random((200, 10)) < np.repeat(rng.choice([0.0, 0.5, 1.0], 200), 10).reshape(200, 10)
    plan = make_plan([], [], Asking(STYLES["qa"], estimator="sample"), {})
    found = Found(plan, greedy, counts / 16, np.zeros((200, 10)), (), np.zeros(200), np.zeros(200))
    expected = by_count(greedy, counts)
    assert set(expected) == {0, 1, 2, 3}
    assert (found.labels == expected).all()
