"""X1-X6: tests across papers, proposed by this project; each can fail."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import MARGIN, Cell, Claim, Part
from theory.claims.estimators import (
    combine,
    difference,
    difference_of_differences,
    in_read_words,
    level,
    slope,
)
from theory.claims.paper_a import gap as salience_gap
from theory.claims.paper_b import arms as known_arms
from theory.claims.paper_b import gap as known_gap
from theory.claims.paper_b import quarter as similar
from theory.claims.paper_d import BELIEVED, believed_over

LESSER = Cell("accuracy", "lesser")


def _quarter(i: int) -> Cell:
    return Cell("accuracy", f"quartile:{i}", "early")


def _middle_minus(i: int) -> tuple[tuple[float, Cell], ...]:
    return ((0.5, _quarter(2)), (0.5, _quarter(3)), (-1.0, _quarter(i)))


def _spread_minus_concentrated(**where: str) -> tuple[Cell, Cell]:
    spread = Cell("accuracy", "spread:0.25").at(**where)
    return spread, spread.at(trained_on="concentrated:0.25")


CLAIMS = (
    Claim(
        "X1",
        "a threshold and a hump",
        "The two-scalar theory holds on trained networks: a set moves subject attention the way its mean "
        "push points, its margin predicts the accuracy it leaves, and rows of middling salience are "
        "better than the least and the best known ones.",
        papers.OURS,
        "salience",
        (
            Part(
                "training sets whose attention moves as predicted",
                in_read_words(level(Cell("push_sign_agreement", "across"))),
                null=0.5,
            ),
            Part(
                "pairs of training sets whose attention moves in the order of their pushes",
                in_read_words(level(Cell("push_order_agreement", "across"))),
                null=0.5,
                role="if present",
            ),
            Part(
                "rank correlation of margin and accuracy over training sets",
                in_read_words(level(Cell("margin_accuracy_rank_correlation", "across"))),
                unit="correlation",
            ),
            Part(
                "middle two quarters by known-ness minus the best known",
                combine(*((w, level(c)) for w, c in _middle_minus(4))),
            ),
            Part(
                "middle two quarters by known-ness minus the least known",
                combine(*((w, level(c)) for w, c in _middle_minus(1))),
            ),
            Part(
                "rank correlation of the margin minus that of P(correct)",
                in_read_words(
                    difference(
                        Cell("margin_accuracy_rank_correlation", "across"),
                        Cell("pcorrect_accuracy_rank_correlation", "across"),
                    )
                ),
                unit="correlation",
                role="reported",
            ),
            Part(
                "rank correlation of the margin minus that of exposure",
                in_read_words(
                    difference(
                        Cell("margin_accuracy_rank_correlation", "across"),
                        Cell("frequency_accuracy_rank_correlation", "across"),
                    )
                ),
                unit="correlation",
                role="reported",
            ),
        ),
        "Joins A4 and C6. A hump needs a base in which the best known facts are saturated. Signs agree by "
        "themselves where every tuning moves attention one way; pairs of sets, where they were measured, do not. "
        "Pushes, margins and attention are taken in words that the untuned model has read.",
        mark="ours",
    ),
    Claim(
        "X2",
        "generic by tuning, not by nature",
        "Where the commonest answer of the tuning rows differs from that of pretraining, generic errors "
        "follow the tuning rows (Kang), not the prior of pretraining (Ghosal).",
        papers.OURS,
        "salience",
        (
            Part(
                "errors equal to the tuning rows' commonest answer minus errors equal to pretraining's",
                difference(
                    Cell("error_marginal_share", "lesser-shifted"),
                    Cell("error_prior_share", "lesser-shifted"),
                ),
            ),
        ),
        "Contradicted means that the prior of pretraining wins.",
        mark="ours",
    ),
    Claim(
        "X3",
        "attention carries the harm",
        "The harm of lesser-known rows sits in attention (Ghosal, Dang) rather than in value and "
        "feed-forward weights (Palit): tuning attention alone harms more, and putting attention back "
        "repairs more.",
        papers.OURS,
        "salience",
        (
            Part(
                "gap with attention alone tuned minus gap with values alone tuned",
                difference_of_differences(
                    salience_gap(arm="attention", stop="end"), salience_gap(arm="values", stop="end")
                ),
            ),
            Part(
                "accuracy with the best-known arm's attention minus with its values",
                difference(LESSER.at(arm="patch:attention:best"), LESSER.at(arm="patch:values:best")),
            ),
        ),
        "Contradicted means that values carry it. The parts do not fit their rows alike when they are tuned alone "
        "(`fitted`), so the first part compares unequal amounts of fitting; the second does not suffer from that.",
        mark="ours",
    ),
    Claim(
        "X4",
        "where, not how much, at equal share",
        "At an equal share of Unknown rows, putting them into relations without any known row harms more "
        "than spreading them.",
        papers.OURS,
        "crosstests",
        (
            Part("spread minus concentrated, all held-out facts", difference(*_spread_minus_concentrated())),
            Part(
                "the same on the affected relations",
                difference(*_spread_minus_concentrated(stratum="relation=affected")),
            ),
        ),
        "Puts the share alone (C1) against the wholly unknown relation (U2).",
        mark="ours",
    ),
    Claim(
        "X5",
        "the gap fades but does not vanish",
        "On one axis of similarity to the training rows the gap of known over unknown rows falls "
        "steadily, is under half its size at the far end, and is still there.",
        papers.OURS,
        "crosstests",
        (
            Part(
                "gap per quarter of similarity",
                slope({float(i): known_gap(**similar(i)) for i in range(1, 5)}),
                rooms=tuple(known_arms(**similar(i)) for i in range(1, 5)),
            ),
            Part("gap in the farthest quarter", known_gap(**similar(1)), rooms=(known_arms(**similar(1)),)),
            Part(
                "half of the gap in the nearest quarter minus the gap in the farthest",
                combine((0.5, known_gap(**similar(4))), (-1.0, known_gap(**similar(1)))),
                rooms=(known_arms(**similar(4)), known_arms(**similar(1))),
            ),
        ),
        "B2 says that it vanishes far away, C5 that under half of it carries over.",
        mark="ours",
    ),
    Claim(
        "X6",
        "beliefs win at equal length too",
        "At equal tokens and equal claims a text, believed generated text still beats gold and believed "
        "gold text and does not lose to supported generated text, and it costs no recall against gold.",
        papers.OURS,
        "beliefs",
        (
            Part("claim precision minus that of gold cut at random", believed_over("gold+random")),
            Part(
                "claim precision minus that of believed gold cut at random",
                believed_over("gold+belief+random"),
            ),
            Part(
                "claim precision minus that of supported generated text cut at random",
                believed_over("generated+support+random"),
                "not below",
                margin=MARGIN,
            ),
            Part(
                "claim recall minus that of gold cut at random",
                believed_over("gold+random", metric="claim_recall"),
                "not below",
                margin=MARGIN,
            ),
            Part(
                "claims a text minus those of gold cut at random",
                difference(
                    BELIEVED.at(metric="claims"), BELIEVED.at(metric="claims", trained_on="gold+random")
                ),
                unit="claims",
                role="reported",
            ),
        ),
        mark="ours",
    ),
)
