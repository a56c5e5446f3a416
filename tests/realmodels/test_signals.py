import numpy as np
import pytest

from realmodels.audit_ask import ask
from realmodels.audit_plan import Asking, make_plan
from realmodels.errors import RealmodelsError
from realmodels.exemplars import draws
from realmodels.prompting import STYLES, Shot
from realmodels.rows import Row
from realmodels.signals import OTHERS, checked_signals, swapped, swaps


def row(i, question, answer="a", subject=None, relation=None):
    return Row(i, i + 1, f"id{i}", question, (answer,), subject, relation, None, {}, "rows.jsonl")


def capitals(n=20):
    return [row(i, f"What is the capital of Land{i}?", f"City{i}", f"Land{i}", "capital") for i in range(n)]


def first(rows, **knobs):
    return list(draws(rows, rows, prompts=1, **knobs))


def test_the_subject_is_exchanged_within_the_same_words():
    mine = row(0, "Where was Ada Lovelace born?", subject="ada lovelace")
    other = row(1, "In which town was Bach born?", subject="Bach")
    assert swapped(mine, other) == "Where was Bach born?"


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (
            row(0, "Where was she born?", subject="Ada"),
            row(1, "Where was Bach born?", subject="Bach"),
        ),  # no span
        (row(0, "Where was Ada born?"), row(1, "Where was Bach born?", subject="Bach")),
        (row(0, "Where was Ada born?", subject="Ada"), row(1, "Where was Bach born?")),
    ],
)
def test_else_the_others_own_question_is_taken(mine, other):
    assert swapped(mine, other) == "Where was Bach born?"


def test_others_are_other_subjects_that_the_shots_do_not_speak_of():
    rows = capitals()
    drawn = first(rows)
    shots = {i: {rows[k].subject for k in draw.shots} for draw in drawn for i in draw.rows}
    found = swaps(rows, rows, drawn)
    assert set(found) == set(range(20))
    for i, questions in found.items():
        named = [question.split()[-1].rstrip("?") for question in questions]
        assert len(set(named)) == OTHERS
        assert rows[i].subject not in named
        assert not shots[i] & set(named)


def test_others_are_of_the_relation_even_where_the_exemplars_are_not():
    rows = capitals(10) + [
        row(10 + i, f"Who wrote Book{i}?", f"P{i}", f"Book{i}", "author") for i in range(10)
    ]
    found = swaps(rows, rows, first(rows, way="random", shots=2))
    assert all(("capital" in q) == (i < 10) for i, some in found.items() for q in some)


def test_the_choice_depends_on_contents_and_seed():
    rows = capitals()
    turned = rows[::-1]
    one = swaps(rows, rows, first(rows))
    two = swaps(turned, turned, first(turned))
    assert {rows[i].question: some for i, some in one.items()} == {
        turned[i].question: some for i, some in two.items()
    }
    assert swaps(rows, rows, first(rows), seed=5) != one


def test_a_row_alone_has_no_other():
    rows = [*capitals(8), row(8, "Who wrote Beowulf?", subject="Beowulf", relation="author")]
    assert 8 not in swaps(rows, rows, first(rows))
    same = [row(i, f"What of Ada {i}?", subject="Ada", relation="r") for i in range(3)]
    assert swaps(same, same, first(same)) == {}


def test_unknown_signals_are_named():
    assert checked_signals(["p_true", "margin"]) == ("margin", "p_true")
    with pytest.raises(RealmodelsError, match=r"--signals: unknown 'margn'; did you mean 'margin'\?"):
        checked_signals(["margn"])


@pytest.fixture(scope="module")
def loaded(tiny):
    from realmodels.loading import load

    return load(str(tiny), dtype="float32", device="cpu")


def test_the_line_of_a_margin_is_the_mean_over_the_other_questions(loaded):
    """Every log-probability taken alone, then averaged by hand."""
    from realmodels.estimate import logprobs

    rows = capitals(9)
    plan = make_plan(
        rows, rows, Asking(STYLES["qa"], prompts=1, shots=2, signals=("margin",)), {"fingerprint": "x"}
    )
    pieces = [piece for piece in plan.pieces if piece.kind == "margin"]
    assert sum(len(piece.rows) for piece in pieces) == 9
    for piece in pieces:
        shots = [Shot(rows[k].question, rows[k].answers[0]) for k in piece.shots]
        for i, line in zip(piece.rows, ask(loaded, plan, piece), strict=True):
            alone = [
                logprobs(loaded, STYLES["qa"], shots, [question], [rows[i].answers])[0]
                for question in plan.swaps[i]
            ]
            assert len(alone) == OTHERS
            assert line["logprob_instead"] == pytest.approx(np.mean(alone), abs=1e-5)
            assert line["instead"] == list(plan.swaps[i])
            assert line["kind"] == "margin"


def test_p_true_is_asked_about_the_first_answer(SmolLM):
    from realmodels.estimate import p_true

    rows = [
        Row(
            i,
            i + 1,
            f"id{i}",
            f"What is the capital of {land}?",
            answers,
            land,
            "capital",
            None,
            {},
            "rows.jsonl",
        )
        for i, (land, answers) in enumerate(
            [
                ("France", ("Paris", "Lutetia")),
                ("Japan", ("Tokyo",)),
                ("Peru", ("Oslo",)),
                ("Cuba", ("Havana",)),
            ]
        )
    ]
    plan = make_plan(
        rows, rows, Asking(STYLES["qa"], prompts=1, shots=2, signals=("p_true",)), {"fingerprint": "x"}
    )
    found = {}
    for piece in plan.pieces:
        if piece.kind == "p_true":
            shots = [Shot(rows[k].question, rows[k].answers[0]) for k in piece.shots]
            for i, line in zip(piece.rows, ask(SmolLM, plan, piece), strict=True):
                found[i] = line["p_true"]
                (alone,) = p_true(SmolLM, STYLES["qa"], shots, [rows[i].question], [rows[i].answers[0]])
                assert line["p_true"] == pytest.approx(alone, abs=1e-5)
    assert sorted(found) == [0, 1, 2, 3]
    assert all(0 < value < 1 for value in found.values())
