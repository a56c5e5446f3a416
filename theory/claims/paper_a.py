"""A1-A7: what little-known facts do to attention and recall (Ghosal et al. 2024)."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import MARGIN, Cell, Claim, Part, Published, published
from theory.claims.estimators import (
    Contrast,
    difference,
    difference_of_differences,
    in_read_words,
    level,
)

BEST = Cell("accuracy", "best", "early")
LESSER = BEST.at(trained_on="lesser")
WHOLE = BEST.at(trained_on="whole")
RANDOM = BEST.at(trained_on="random")


def gap(**where: str) -> Contrast:
    """Held-out accuracy after the best-known half minus after the lesser-known half."""
    return difference(BEST.at(**where), LESSER.at(**where))


def _attention(trained_on: str) -> Contrast:
    tuned = Cell("attention_subject", trained_on, "early")
    return in_read_words(difference(tuned, tuned.at(trained_on="none", arm="base", stop="end")))


CLAIMS = (
    Claim(
        "A1",
        "lesser-known rows hurt",
        "Fine-tuning on the least-known half of the rows gives lower accuracy on held-out facts than "
        "fine-tuning on the best-known half, by 5 to 10 points.",
        papers.A,
        "salience",
        (
            Part(
                "best-known minus lesser-known half at the early stop",
                gap(),
                published=Published(
                    5,
                    10,
                    "paper",
                    "abstract, overall (single rows, secondary: PopQA-Controlled 7.1, MMLU-History 5.8)",
                ),
            ),
            Part("the same at the end", gap(stop="end"), role="reported"),
        ),
    ),
    Claim(
        "A2",
        "best-known half as good as all",
        "The best-known half of the rows matches or beats the whole set, which is twice as large.",
        papers.A,
        "salience",
        (
            Part(
                "best-known half minus whole set at the early stop",
                difference(BEST, WHOLE),
                "not below",
                margin=MARGIN,
                published=published(2.6, "Table 3, MMLU-History 61.4 against 58.8", "secondary"),
            ),
            Part(
                "the same at the end", difference(BEST.at(stop="end"), WHOLE.at(stop="end")), role="reported"
            ),
        ),
        "A later re-test of the recipe on PopQA with Llama-3-8B found no advantage (45.3 against 46.4 for "
        "all rows).",
    ),
    Claim(
        "A3",
        "rare facts are hurt most",
        "The harm of lesser-known rows is larger on the less popular half of the test facts than on the "
        "more popular half.",
        papers.A,
        "salience",
        (
            Part(
                "gap on less popular minus gap on more popular facts at the early stop",
                difference_of_differences(gap(stratum="popularity=low"), gap(stratum="popularity=high")),
            ),
            Part(
                "the same at the end",
                difference_of_differences(
                    gap(stratum="popularity=low", stop="end"), gap(stratum="popularity=high", stop="end")
                ),
                role="reported",
            ),
        ),
        "Rare facts at the floor before tuning cannot be hurt: read it with the untuned model's accuracy "
        "by popularity.",
        mark="secondary",
    ),
    Claim(
        "A4",
        "attention leaves the subject",
        "Attention on the subject of held-out facts falls after fine-tuning on lesser-known rows and "
        "rises after best-known ones.",
        papers.A,
        "salience",
        (
            Part("subject attention after lesser-known rows minus untuned", _attention("lesser"), "below"),
            Part("subject attention after best-known rows minus untuned", _attention("best")),
            Part(
                "answers that change with the subject, lesser-known minus best-known half",
                difference(LESSER.at(metric="subject_swap_change"), BEST.at(metric="subject_swap_change")),
                role="reported",
            ),
        ),
        "Attention is compared in words that the untuned model has read, where tuning teaches others: to "
        "words that it has never read it attends anyhow, and any tuning would seem to raise it.",
    ),
    Claim(
        "A5",
        "salience grows with exposure",
        "How strongly a fact is stored grows with its frequency in pretraining, and more pretraining "
        "shrinks the harm of lesser-known rows.",
        papers.A,
        "salience",
        (
            Part(
                "rank correlation of stored salience and exposure",
                level(Cell("salience_frequency_rank_correlation", "none", arm="base")),
                unit="correlation",
            ),
            Part(
                "gap after short minus gap after long pretraining",
                difference_of_differences(gap(base="pretrain:short"), gap(base="pretrain:long")),
            ),
            Part(
                "gap under a steeper minus under a flatter law of exposures",
                difference_of_differences(gap(base="zipf:steep"), gap(base="zipf:flat")),
                role="reported",
            ),
        ),
        "The gap is said to change with the Zipf exponent too; in which direction is not known, so that "
        "part does not decide.",
        mark="recalled",
    ),
    Claim(
        "A6",
        "generic errors, facts still stored",
        "After lesser-known rows the wrong answers are more often the relation's generic one, while the "
        "lost facts stay stored: another template or a probe still finds them.",
        papers.A,
        "salience",
        (
            Part(
                "errors that are the relation's commonest answer, lesser-known minus best-known half",
                difference(LESSER.at(metric="error_prior_share"), BEST.at(metric="error_prior_share")),
            ),
            Part(
                "lost facts recovered minus never-known facts recovered, after lesser-known rows",
                difference(LESSER.at(metric="lost_recovered"), LESSER.at(metric="unstored_recovered")),
            ),
            Part(
                "accuracy regained by putting back the best-known arm's attention",
                difference(LESSER.at(arm="patch:attention:best", stop="end"), LESSER.at(stop="end")),
                role="if present",
            ),
        ),
    ),
    Claim(
        "A7",
        "a random half beats the worst",
        "A random half of the rows, which contains some well-known facts, beats the lesser-known half.",
        papers.A,
        "salience",
        (
            Part("random half minus lesser-known half at the early stop", difference(RANDOM, LESSER)),
            Part(
                "the same at the end",
                difference(RANDOM.at(stop="end"), LESSER.at(stop="end")),
                role="reported",
            ),
        ),
        mark="recalled",
    ),
)
