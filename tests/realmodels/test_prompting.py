import pytest

from realmodels.errors import RealmodelsError
from realmodels.prompting import (
    STYLES,
    Shot,
    render_answer,
    render_prefix,
    render_question,
    style_named,
    truth_prompt,
)

SHOTS = [Shot("Where is {x}?", "Here"), Shot(" Who? ", "Ann\nBell"), Shot("Which?", "Here")]


def test_prompts_to_the_letter():
    assert (
        render_prefix(STYLES["qa"], SHOTS)
        == "Q: Where is {x}?\nA: Here\n\nQ: Who?\nA: Ann Bell\n\nQ: Which?\nA: Here\n\n"
    )
    assert render_question(STYLES["qa"], "And {answer}?") == "Q: And {answer}?\nA:"
    assert render_prefix(STYLES["plain"], SHOTS[:1]) == "Where is {x}? Here\n"
    assert render_question(STYLES["plain"], "The capital of Peru is") == "The capital of Peru is"
    assert render_prefix(STYLES["sentence"], SHOTS[:1]) == "Where is {x}? Here . "
    assert render_prefix(STYLES["qa"], []) == ""


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_question_stands_as_the_shots_do(style):
    """A question with its answer behind it is a shot, but for what ends a shot."""
    asked = render_question(style, SHOTS[0].question) + render_answer(SHOTS[0].answer)
    shown = render_prefix(style, SHOTS[:1])
    assert shown.startswith(asked)
    assert shown[len(asked) :].lstrip(" ").startswith(style.end)


def test_answers_are_one_line_behind_one_space():
    assert render_answer("  New\n York\t") == " New York"


def test_shots_on_truth_alternate_and_never_call_a_right_answer_wrong():
    text = truth_prompt(STYLES["qa"], SHOTS, "Why?", "So")
    ask = "Is this answer True or False?"
    assert text == (
        f"Q: Where is {{x}}?\nA: Here\n{ask} True\n\n"
        f"Q: Who?\nA: Here\n{ask} False\n\n"
        f"Q: Which?\nA: Here\n{ask} True\n\n"
        f"Q: Why?\nA: So\n{ask}"
    )
    same = truth_prompt(STYLES["qa"], [Shot("a", "x"), Shot("b", "x")], "c", "y")
    assert same.count(" True\n") == 2
    assert " False\n" not in same
    assert truth_prompt(STYLES["qa"], [], "c", "y") == f"Q: c\nA: y\n{ask}"


def test_styles_by_name():
    assert style_named("qa") is STYLES["qa"]
    with pytest.raises(RealmodelsError, match="unknown 'plian'; did you mean 'plain'"):
        style_named("plian")
