"""U1-U4: what neighbouring papers claim."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import Cell, Claim, Part
from theory.claims.estimators import difference, difference_of_differences, in_read_words, level

DESIGNATED = Cell("designated_answer_rate", "relabel:shifted", split="unseen")
GENERATED = Cell("claim_precision", "generated")


def _imitation(**where: str) -> tuple[Cell, Cell]:
    shifted = DESIGNATED.at(**where)
    return shifted, shifted.at(trained_on="relabel:true")


CLAIMS = (
    Claim(
        "U1",
        "wrong answers imitate unfamiliar rows",
        "Answers to unfamiliar questions imitate the answers that the unfamiliar training rows had, and "
        "the more so the less familiar the question is.",
        papers.KANG,
        "slick",
        (
            Part(
                "answers from the designated set on never-seen subjects, relabelled minus true rows",
                difference(*_imitation()),
            ),
            Part(
                "that difference on never-seen subjects minus on known test facts",
                difference_of_differences(
                    difference(*_imitation()), difference(*_imitation(split="test", stratum="known=yes"))
                ),
            ),
            Part(
                "abstention on never-seen subjects, Unknown rows relabelled minus as many random ones",
                difference(
                    Cell("abstention_rate", "idk:0.5", split="unseen"),
                    Cell("abstention_rate", "idk-random:0.5", split="unseen"),
                ),
                role="reported",
            ),
        ),
    ),
    Claim(
        "U2",
        "a wholly unknown relation is worse",
        "A share of Unknown rows that leaves a relation without any known row hurts that relation more than "
        "a share twice as large does when it is spread evenly.",
        papers.DANG,
        "crosstests",
        (
            Part(
                "half Unknown everywhere minus a quarter in wholly unknown relations, on those relations",
                difference(
                    Cell("accuracy", "spread:0.5", stratum="relation=affected"),
                    Cell("accuracy", "concentrated:0.25", stratum="relation=affected"),
                ),
            ),
        ),
        "The paper's contrast is 5% against 50%; shares of 25% and 50% are ours.",
        mark="secondary",
    ),
    Claim(
        "U3",
        "a common, reversible shift",
        "Fine-tuning on new facts moves the hidden states of old facts along one common direction, and "
        "taking that shift out brings old facts back.",
        papers.PALIT,
        "salience",
        (
            Part(
                "change along the common direction beyond chance",
                in_read_words(level(Cell("common_shift_excess", "lesser"))),
            ),
            Part(
                "accuracy regained by taking the shift out",
                in_read_words(
                    difference(Cell("accuracy", "lesser", arm="unshift"), Cell("accuracy", "lesser"))
                ),
            ),
        ),
        "Old facts are asked for in words that the untuned model has read: words that tuning teaches are part of "
        "the shift.",
    ),
    Claim(
        "U4",
        "a better teacher breeds hallucination",
        "At equal length, text from a better-informed model makes a weaker model state more wrong claims "
        "than its own text does.",
        papers.WEE,
        "beliefs",
        (
            Part(
                "claim precision after own text minus after the better model's text",
                difference(GENERATED, GENERATED.at(trained_on="better")),
            ),
            Part(
                "claim recall, the same",
                difference(
                    GENERATED.at(metric="claim_recall"),
                    GENERATED.at(metric="claim_recall", trained_on="better"),
                ),
                role="reported",
            ),
        ),
    ),
)
