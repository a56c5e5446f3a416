import random
from collections import defaultdict

import pytest

from realmodels.errors import RealmodelsError
from realmodels.exemplars import draws, grouped, wording
from realmodels.rows import Row

TEMPLATES = {
    "capital": "What is the capital of {}?",
    "author": "Who wrote {}?",
    "colour": "Which colour is {}?",
}


def row(i, question, answer="a", subject=None, relation=None):
    return Row(i, i + 1, f"id{i}", question, (answer,), subject, relation, None, {}, "rows.jsonl")


def world(subjects=30, relations=tuple(TEMPLATES), with_relation=True):
    rows = []
    for relation in relations:
        for s in range(subjects):
            question = TEMPLATES[relation].format(f"Thing{s}")
            rows.append(
                row(len(rows), question, f"{relation}{s}", f"Thing{s}", relation if with_relation else None)
            )
    return rows


def contents(drawn, rows, pool=None):
    """(prompt, question) -> the shots' questions, whatever the positions."""
    pool = rows if pool is None else pool
    return {
        (draw.prompt, rows[i].question): tuple(pool[k].question for k in draw.shots)
        for draw in drawn
        for i in draw.rows
    }


def test_every_row_has_one_draw_a_prompt():
    rows = world()
    seen = defaultdict(list)
    for draw in draws(rows, rows, prompts=5):
        seen[draw.prompt] += draw.rows
    assert list(seen) == list(range(5))
    assert all(sorted(some) == list(range(len(rows))) for some in seen.values())


@pytest.mark.parametrize("way", ["auto", "relation", "nearest", "random"])
@pytest.mark.parametrize("subjects", [2, 5, 7, 30])
def test_nobody_sees_their_own_question_or_subject(way, subjects):
    rows = world(subjects)
    for draw in draws(rows, rows, prompts=6, way=way, seed=3):
        shown = {rows[k].subject for k in draw.shots}
        assert len(shown) == len(draw.shots)  # no subject twice in a prompt
        for i in draw.rows:
            assert rows[i].subject not in shown
            assert rows[i].question not in {rows[k].question for k in draw.shots}


def test_a_subject_is_the_same_in_other_letters_and_spaces():
    rows = [
        row(i, f"q{i} of it ?", subject=name)
        for i, name in enumerate(["New  York", "new york", "Rome", "Oslo"])
    ]
    for draw in draws(rows, rows, prompts=4, shots=2, way="random"):
        for _ in {0, 1} & set(draw.rows):
            assert set(draw.shots) == {2, 3}


def test_shots_are_of_the_relation_and_two_draws_serve_all_of_a_large_one():
    rows = world()
    found = draws(rows, rows, prompts=10)
    by = defaultdict(list)
    for draw in found:
        assert draw.source == "relation"
        assert len(draw.shots) == 4
        assert {rows[k].relation for k in draw.shots} == {draw.group} == {rows[i].relation for i in draw.rows}
        by[draw.prompt, draw.group].append(draw)
    assert all(len(some) == 2 and len(some[1].rows) == 4 for some in by.values())
    assert not set(by[0, "capital"][0].shots) & set(by[0, "capital"][1].shots)


def test_prompts_draw_on_their_own_and_so_do_relations_and_seeds():
    rows = world()
    first = {
        (d.prompt, d.group): frozenset(rows[k].subject for k in d.shots)
        for d in draws(rows, rows, prompts=10)
    }
    assert len({some for (_, group), some in first.items() if group == "capital"}) == 10
    assert len({first[0, group] for group in TEMPLATES}) == 3
    assert contents(draws(rows, rows, prompts=2, seed=1), rows) != contents(
        draws(rows, rows, prompts=2, seed=2), rows
    )


def test_more_prompts_leave_the_first_ones_as_they_were():
    rows = world()
    few, many = (draws(rows, rows, prompts=n) for n in (2, 5))
    assert many[: len(few)] == few


@pytest.mark.parametrize("way", ["auto", "nearest", "random"])
def test_the_order_of_the_file_does_not_matter(way):
    rows = world(12)
    shuffled = rows[:]
    random.Random(4).shuffle(shuffled)
    assert contents(draws(rows, rows, prompts=4, way=way), rows) == contents(
        draws(shuffled, shuffled, prompts=4, way=way), shuffled
    )


def test_draws_are_uniform_over_the_relation():
    """Each of 30 subjects is in 400 of 3000 first draws on average; a chi-square far from its tail."""
    rows = world(30, ("capital",))
    counts = [0] * 30
    for draw in draws(rows, rows, prompts=3000, seed=1):
        if len(draw.rows) == 26:
            for k in draw.shots:
                counts[k] += 1
    assert sum(counts) == 12000
    chi = sum((c - 400) ** 2 / 400 for c in counts)
    assert chi < 60  # 29 degrees of freedom: exceeded once in 1600 times, and the seed is fixed


def test_without_relations_the_wording_groups_the_rows():
    rows = world(30, with_relation=False)
    found = draws(rows, rows, prompts=2)
    assert {draw.source for draw in found} == {"nearest"}
    for draw in found:
        kinds = {rows[i].question.split()[0] for i in (*draw.rows, *draw.shots)}
        assert len(kinds) == 1


def test_rows_like_no_other_get_any_questions():
    words = [f"{chr(97 + i)}{chr(98 + i)} {chr(99 + i)}x{i} y{i}" for i in range(12)]
    rows = [row(i, text) for i, text in enumerate(words)]
    found = draws(rows, rows, prompts=1)
    assert {draw.source for draw in found} == {"random"}
    assert {len(draw.shots) for draw in found} == {4}


def test_a_small_relation_is_filled_up_and_says_so():
    rows = world(20, ("capital",)) + [
        row(20 + i, f"Who wrote B{i}?", subject=f"B{i}", relation="author") for i in (0, 1)
    ]
    found = [draw for draw in draws(rows, rows, prompts=1) if draw.group == "author"]
    assert {draw.source for draw in found} == {"mixed"}
    assert sorted(i for d in found for i in d.rows) == [
        20,
        21,
    ]
    for draw in found:
        (i,) = draw.rows
        assert [rows[k].relation for k in draw.shots] == ["capital"] * 3 + ["author"]
        assert draw.shots[-1] == 41 - i  # its own kind is read last


def test_a_relation_of_one_row_has_no_exemplars_of_its_own():
    rows = [*world(20, ("capital",)), row(20, "Who wrote Beowulf?", subject="Beowulf", relation="author")]
    (draw,) = [draw for draw in draws(rows, rows, prompts=1) if 20 in draw.rows]
    assert draw.source == "random"
    assert len(draw.shots) == 4


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_tiny_file_gives_fewer_shots(n):
    rows = world(n, ("capital",))
    for draw in draws(rows, rows, prompts=2):
        assert len(draw.shots) == n - 1


def test_a_pool_of_its_own_is_drawn_from_alone():
    rows, pool = world(6, ("capital",)), world(40, ("capital",))
    found = draws(rows, pool, prompts=3)
    assert {len(draw.shots) for draw in found} == {4}
    for draw in found:
        for i in draw.rows:
            assert rows[i].subject not in {pool[k].subject for k in draw.shots}


def test_equal_questions_are_shown_once():
    rows = [row(i, "Same question ?") for i in range(5)] + [row(5 + i, f"Other {i} ?") for i in range(6)]
    for draw in draws(rows, rows, prompts=5, way="random"):
        assert sum(k < 5 for k in draw.shots) <= 1


def test_zero_shots_are_one_prompt():
    rows = world(5, ("capital",))
    (draw,) = draws(rows, rows, prompts=1, shots=0)
    assert draw.shots == ()
    assert len(draw.rows) == 5


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"way": "nearst"}, "--exemplars: unknown 'nearst'; did you mean 'nearest'?"),
        ({"prompts": 2, "shots": 0}, "--shots 0: without shots all prompts are the same; add --prompts 1"),
        ({"prompts": 0}, "0 prompts of 4 shots; expected at least 1 and 0"),
    ],
)
def test_what_cannot_be_is_said(knobs, says):
    rows = world(5)
    with pytest.raises(RealmodelsError) as error:
        draws(rows, rows, **{"prompts": 1, **knobs})
    assert says in str(error.value)


def test_exemplars_of_the_relation_need_one():
    rows = [*world(5, ("capital",)), row(5, "Who ?")]
    with pytest.raises(
        RealmodelsError, match=r"rows.jsonl:6: field 'relation': this row has none.*--exemplars auto"
    ):
        draws(rows, rows, prompts=1, way="relation")


def test_wording_keeps_the_common_words():
    common = frozenset(["what", "is", "the", "capital", "of", "?"])
    assert wording("What is the capital of the Isle of Man?", common) == "what is the capital of the _ of _ ?"
    assert wording("Paris Texas is what", common) == "_ is what"


def test_groups_are_in_order_of_name():
    rows = world(5)
    assert [group.name for group in grouped(rows, rows, 4)] == sorted(TEMPLATES)
