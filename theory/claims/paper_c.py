"""C1-C9: what new knowledge in fine-tuning rows does (Gekhman et al. 2024)."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import MARGIN, Cell, Claim, Part, Stop, published
from theory.claims.estimators import (
    SHARES,
    Contrast,
    FittedShares,
    TimeToFit,
    combine,
    difference,
    difference_of_differences,
    level,
    slope,
)

LARGEST_UNKNOWN = 0.032  # accuracy on Unknown test facts, the largest of the paper's table 2
HALF = Cell("accuracy", "mix:0.5")
HALF_FITTED = Cell("fitted", "mix:0.5", "early", split="train")


def mix(share: float, stop: Stop = "end", **where: str) -> Cell:
    return Cell("accuracy", f"mix:{share:g}", stop).at(**where)


def _over_shares(stop: Stop) -> Contrast:
    return slope({share: level(mix(share, stop)) for share in SHARES})


def _deleting(share: float, stop: Stop = "end") -> Contrast:
    """What deleting the Unknown rows gains."""
    return difference(mix(share, stop).at(trained_on=f"known-only:{share:g}"), mix(share, stop))


def _category(name: str, stop: Stop = "end", **where: str) -> Cell:
    return Cell("accuracy", f"category:{name}", stop).at(**where)


def _maybe_minus(name: str, stop: Stop = "early", **where: str) -> Contrast:
    return difference(_category("MaybeKnown", stop, **where), _category(name, stop, **where))


def decay(cell: Cell) -> Contrast:
    """Early stop minus end."""
    return difference(cell.at(stop="early"), cell.at(stop="end"))


def _fit(name: str, split: str) -> FittedShares:
    return FittedShares(((1.0, name, split),))


CLAIMS = (
    Claim(
        "C1",
        "more Unknown, lower accuracy",
        "A higher share of Unknown rows lowers accuracy on held-out facts at every length of training.",
        papers.C,
        "slick",
        (
            Part(
                "accuracy per unit of Unknown share at the end",
                _over_shares("end"),
                "below",
                published=published(-14, "about; the maximal drop in distribution"),
            ),
            Part("accuracy per unit of Unknown share at the early stop", _over_shares("early"), "below"),
        ),
        "The slope is a least-squares line over shares 0, 0.25, 0.5, 0.75 and 1 at equal size.",
    ),
    Claim(
        "C2",
        "Unknown rows are fitted late",
        "Unknown rows are fitted later than Known ones, so much later that at the early stop most Known and "
        "few Unknown rows are fitted.",
        papers.C,
        "slick",
        (
            Part(
                "doublings of the steps to fit half of the rows, Unknown against Known",
                TimeToFit(
                    HALF_FITTED.at(stop="every", stratum="known=no"),
                    HALF_FITTED.at(stop="every", stratum="known=yes"),
                ),
                unit="doublings",
            ),
            Part("Known rows fitted at the early stop", level(HALF_FITTED.at(stratum="known=yes")), null=0.5),
            Part(
                "Unknown rows fitted at the early stop",
                level(HALF_FITTED.at(stratum="known=no")),
                "below",
                null=0.5,
            ),
        ),
        "Read on the half-and-half mix. `Most` and `few` are taken as more and less than half.",
    ),
    Claim(
        "C3",
        "early stopping hides the harm",
        "At the early stop the Unknown rows make no difference; at convergence they cost accuracy, the "
        "more the larger their share, while the set without them barely moves between the two stops.",
        papers.C,
        "slick",
        (
            Part(
                "gain of deleting half the rows (Unknown) at the early stop",
                _deleting(0.5, "early"),
                "within",
                margin=MARGIN,
            ),
            Part("the same gain at the end", _deleting(0.5)),
            Part(
                "gain at the end with 75% Unknown minus with 25%",
                difference_of_differences(_deleting(0.75), _deleting(0.25)),
            ),
            Part(
                "early stop minus end without Unknown rows",
                decay(HALF.at(trained_on="known-only:0.5")),
                "within",
                margin=MARGIN,
            ),
        ),
        "`Neutral` and `barely moves` are taken as within 2 points either way.",
    ),
    Claim(
        "C4",
        "accuracy is linear in what is fitted",
        "Accuracy is a linear function of the shares of fitted Known rows (which help) and fitted Unknown "
        "rows (which hurt). The paper's two slopes are about equal in size, which is reported and not decided.",
        papers.C,
        "slick",
        (
            Part(
                "points per unit of fitted Known share",
                _fit("known", "test"),
                published=published(7.3, "linear fit, b_kn"),
            ),
            Part(
                "points per unit of fitted Unknown share",
                _fit("unknown", "test"),
                "below",
                published=published(-8.3, "linear fit, b_unk"),
            ),
            Part(
                "sum of the two slopes",
                FittedShares(((1.0, "known", "test"), (1.0, "unknown", "test"))),
                "within",
                margin=MARGIN,
                published=published(-1.0, "7.3 - 8.3"),
                role="reported",
            ),
            Part(
                "R2, in sample",
                _fit("r2", "test"),
                unit="share",
                published=published(0.86, "linear fit"),
                role="reported",
            ),
        ),
        "One fit a seed over all mixes and all recorded steps from a fifth of the last one on (before "
        "that a small model learns the format; the paper uses every epoch). R2 over correlated steps "
        "cannot be tested at no effect and is reported only, and so is `about as much`: the signs decide.",
    ),
    Claim(
        "C5",
        "the harm carries to other relations",
        "On relations that were not trained on the signs are the same, at under half the size.",
        papers.C,
        "slick",
        (
            Part(
                "points per unit of fitted Known share, other relations",
                _fit("known", "ood-relation"),
                published=published(3.2, "linear fit out of distribution"),
            ),
            Part(
                "points per unit of fitted Unknown share, other relations",
                _fit("unknown", "ood-relation"),
                "below",
                published=published(-3.0, "linear fit out of distribution"),
            ),
            Part(
                "half of (Known - Unknown slope) in distribution minus the whole of it out of distribution",
                FittedShares(
                    (
                        (0.5, "known", "test"),
                        (-0.5, "unknown", "test"),
                        (-1.0, "known", "ood-relation"),
                        (1.0, "unknown", "ood-relation"),
                    )
                ),
                published=published(1.6, "0.5 (7.3 + 8.3) - (3.2 + 3.0)"),
            ),
            Part(
                "R2, in sample",
                _fit("r2", "ood-relation"),
                unit="share",
                published=published(0.95, "linear fit"),
                role="reported",
            ),
        ),
    ),
    Claim(
        "C6",
        "MaybeKnown rows are best",
        "Of single-category training sets the MaybeKnown one is best; it beats HighlyKnown by what it "
        "does for MaybeKnown test facts.",
        papers.C,
        "slick",
        (
            Part(
                "MaybeKnown minus HighlyKnown at the early stop",
                _maybe_minus("HighlyKnown"),
                published=published(3.1, "Table 2"),
            ),
            Part(
                "MaybeKnown minus HighlyKnown at the end",
                _maybe_minus("HighlyKnown", "end"),
                published=published(3.2, "Table 2"),
            ),
            Part(
                "MaybeKnown minus WeaklyKnown at the early stop",
                _maybe_minus("WeaklyKnown"),
                published=published(4.4, "Table 2"),
            ),
            Part(
                "MaybeKnown minus Unknown at the early stop",
                _maybe_minus("Unknown"),
                published=published(6.1, "Table 2"),
            ),
            Part(
                "MaybeKnown minus HighlyKnown on MaybeKnown test facts, early stop",
                _maybe_minus("HighlyKnown", stratum="category=MaybeKnown"),
                published=published(9.8, "Table 2, 69.9 against 60.1"),
            ),
        ),
    ),
    Claim(
        "C7",
        "little-known rows overfit",
        "WeaklyKnown and Unknown rows lose accuracy between the early stop and convergence; after Unknown "
        "rows the loss sits on HighlyKnown and MaybeKnown test facts.",
        papers.C,
        "slick",
        (
            Part(
                "early stop minus end, Unknown rows",
                decay(_category("Unknown")),
                margin=MARGIN,
                published=published(11.7, "Table 2"),
            ),
            Part(
                "early stop minus end, WeaklyKnown rows",
                decay(_category("WeaklyKnown")),
                margin=MARGIN,
                published=published(3.8, "Table 2"),
            ),
            Part(
                "the same after Unknown rows on HighlyKnown test facts",
                decay(_category("Unknown", stratum="category=HighlyKnown")),
                margin=MARGIN,
                published=published(39.8, "Table 2, 95.6 to 55.8"),
            ),
            Part(
                "the same after Unknown rows on MaybeKnown test facts",
                decay(_category("Unknown", stratum="category=MaybeKnown")),
                margin=MARGIN,
                published=published(16.3, "Table 2, 52.9 to 36.6"),
            ),
        ),
        "Each loss must exceed 2 points: picking the best of many steps favours the early stop by about one "
        "by itself (0.6 to 1.1 in simulated runs without a loss). Contradicted needs a gain, not just a "
        "small loss.",
    ),
    Claim(
        "C8",
        "Unknown stays unknown",
        "Test facts labelled Unknown stay at or below 3.2% whatever is trained on; at an equal share "
        "flagged, the label finds failures better than the model's own P(True), and better from many "
        "prompts than from one.",
        papers.C,
        "slick",
        (
            Part(
                "accuracy on Unknown test facts after the natural mixture, end",
                level(Cell("accuracy", "natural", stratum="category=Unknown")),
                "below",
                null=LARGEST_UNKNOWN + MARGIN,
                published=published(2.5, "Table 2"),
            ),
            Part(
                "accuracy on Unknown test facts after Unknown rows, end",
                level(_category("Unknown", stratum="category=Unknown")),
                "below",
                null=LARGEST_UNKNOWN + MARGIN,
                published=published(3.2, "Table 2, the largest"),
            ),
            Part(
                "accuracy on facts flagged by P(True) minus on facts flagged by the label",
                difference(
                    Cell("accuracy", "natural", stratum="flagger=ptrue"),
                    Cell("accuracy", "natural", stratum="flagger=slick"),
                ),
            ),
            Part(
                "accuracy on facts flagged by one prompt minus on facts flagged by all",
                difference(
                    Cell("accuracy", "natural", stratum="flagger=slick-1"),
                    Cell("accuracy", "natural", stratum="flagger=slick"),
                ),
            ),
        ),
        "The level is tested against 5.2%, the paper's largest value and the usual 2 points.",
    ),
    Claim(
        "C9",
        "abstention targets stop the decay",
        "Giving Unknown rows an abstention as their answer removes the loss of accuracy between early "
        "stop and convergence.",
        papers.C,
        "slick",
        (
            Part(
                "early stop minus end of the mix, minus the same on what the abstaining model answers",
                difference_of_differences(decay(HALF), decay(Cell("answered_accuracy", "idk:0.5"))),
                published=published(4.2, "43.0 to 38.8 against 61.8 to 61.8"),
            ),
            Part(
                "end minus early stop on what the abstaining model answers",
                combine((-1.0, decay(Cell("answered_accuracy", "idk:0.5")))),
                "not below",
                margin=MARGIN,
                published=published(0.0, "61.8 to 61.8"),
            ),
            Part("share abstained on, end", level(Cell("abstention_rate", "idk:0.5")), role="reported"),
        ),
    ),
)
