"""B1-B7: what prompts do to the gap between known and unknown fine-tuning (Gong et al. 2025)."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import MARGIN, Cell, Claim, Part
from theory.claims.estimators import Contrast, difference, difference_of_differences, level

KNOWN = Cell("accuracy", "known")
UNKNOWN = KNOWN.at(trained_on="unknown")


def gap(**where: str) -> Contrast:
    """Held-out accuracy after known rows minus after unknown rows of equal number."""
    return difference(KNOWN.at(**where), UNKNOWN.at(**where))


def arms(**where: str) -> tuple[Cell, ...]:
    """The two accuracies of the gap, which must leave it room."""
    return KNOWN.at(**where), UNKNOWN.at(**where)


def quarter(i: int) -> dict[str, str]:
    """Of all held-out facts by similarity to the rows, 1 the farthest."""
    return {"split": "graded", "stratum": f"similarity={i}"}


def _shrinks(prompt: str, stop: str = "end") -> Contrast:
    return difference_of_differences(gap(stop=stop), gap(stop=stop, prompt=prompt))


def _same_words(prompt: str) -> Contrast:
    """What the prompt alone does, where its words are not those that tuning teaches but those of the prompt `own`."""
    return difference_of_differences(gap(prompt="own"), gap(prompt=prompt))


def _smaller(name: str, prompt: str) -> Part:
    """Whether the gap is smaller behind this prompt than behind none."""
    return Part(name, _shrinks(prompt), rooms=(arms(), arms(prompt=prompt)))


def _smaller_in_its_words(name: str, prompt: str) -> Part:
    return Part(name, _same_words(prompt), role="if present", rooms=(arms(prompt="own"), arms(prompt=prompt)))


_FLOOR = (
    "The paper's tables were not read, only its abstract and reviews: directions can be tested, sizes "
    "cannot be compared."
)

CLAIMS = (
    Claim(
        "B1",
        "the gap grows with training",
        "Fine-tuning on unknown rows gives lower accuracy than on known rows; the gap grows from the "
        "early stop to convergence and is smaller for instruction-tuned than for base models.",
        papers.B,
        "prompts",
        (
            Part("gap at the end", gap()),
            Part(
                "gap at the end minus gap at the early stop",
                difference_of_differences(gap(), gap(stop="early")),
            ),
            Part(
                "gap of the base model minus gap of the instruction-tuned one, at the end",
                difference_of_differences(gap(), gap(base="instruct")),
                role="if present",
            ),
        ),
        _FLOOR,
        mark="secondary",
    ),
    Claim(
        "B2",
        "the gap fades far away",
        "The gap persists on test facts similar to the training rows and fades as similarity falls.",
        papers.B,
        "prompts",
        (
            Part("gap in the nearest quarter of similarity", gap(**quarter(4)), rooms=(arms(**quarter(4)),)),
            Part(
                "gap in the nearest minus gap in the farthest quarter",
                difference_of_differences(gap(**quarter(4)), gap(**quarter(1))),
                rooms=(arms(**quarter(4)), arms(**quarter(1))),
            ),
            Part("gap in the farthest quarter", gap(**quarter(1)), role="reported"),
        ),
        _FLOOR + " C5 says the opposite of `vanishes`; X5 decides between them.",
        mark="secondary",
    ),
    Claim(
        "B3",
        "few-shot prompts shrink it",
        "Few-shot demonstrations shrink the gap between known and unknown fine-tuning.",
        papers.B,
        "prompts",
        (
            _smaller("gap zero-shot minus gap with four exemplars, at the end", "few:4"),
            _smaller_in_its_words("the same with the words held fixed", "few:4"),
            Part("the same at the early stop", _shrinks("few:4", "early"), role="reported"),
            Part(
                "gap zero-shot minus gap with four exemplars in the words that tuning teaches",
                _shrinks("few-taught:4"),
                role="reported",
            ),
            Part("the same with four wrong exemplars", _shrinks("few-wrong:4"), role="reported"),
            Part(
                "the same with four exemplars of another relation",
                _shrinks("few-unrelated:4"),
                role="reported",
            ),
        ),
        _FLOOR
        + " Where exemplars stand in words that tuning does not teach, the change of words alone shrinks the "
        "gap; holding them fixed takes that out. Wrong exemplars tell what right answers in them add.",
    ),
    Claim(
        "B4",
        "chain of thought shrinks it",
        "Chain-of-thought prompts, alone or after worked exemplars, shrink the gap, sometimes reversing it.",
        papers.B,
        "prompts",
        (
            _smaller("gap zero-shot minus gap with chain of thought, at the end", "cot"),
            _smaller("gap zero-shot minus gap with few-shot chain of thought, at the end", "few-cot:2"),
            _smaller_in_its_words("chain of thought with the words held fixed", "cot"),
            _smaller_in_its_words("few-shot chain of thought with the words held fixed", "few-cot:2"),
            Part(
                "accuracy after known rows with chain of thought minus zero-shot",
                difference(KNOWN.at(prompt="cot"), KNOWN),
                role="reported",
            ),
            Part(
                "gap with chain of thought (below 0 is a reversal)",
                gap(prompt="cot"),
                "below",
                role="reported",
            ),
        ),
        _FLOOR + " A prompt under which both arms fail shrinks the gap too: read it with the accuracy.",
    ),
    Claim(
        "B5",
        "the gap counts edges",
        "The gap follows the difference in the number of facts (edges) that can be extracted, and merging "
        "in what a prompt extracts makes that difference smaller.",
        papers.B,
        "prompts",
        (
            Part(
                "rank correlation over relations of gap and edge difference",
                level(Cell("edge_gap_rank_correlation", "across")),
                unit="correlation",
            ),
            Part(
                "edge difference zero-shot minus edge difference after the few-shot union",
                difference_of_differences(
                    gap(metric="edge_share"), gap(metric="edge_share", prompt="zero+few:4")
                ),
            ),
        ),
        _FLOOR + " Where known rows only add edges and unknown rows only lose some, merging one and the same "
        "prompt into both can never widen the difference.",
        mark="secondary",
    ),
    Claim(
        "B6",
        "prompts change the ranking",
        "The ranking of data-selection methods changes between zero-shot and few-shot evaluation; with "
        "little supervision a few-shot prompt replaces good selection.",
        papers.B,
        "prompts",
        (
            Part(
                "rank agreement of selections zero-shot with zero-shot minus zero-shot with few-shot",
                difference(
                    Cell("selection_rank_agreement", "across"),
                    Cell("selection_rank_agreement", "across", prompt="few:4"),
                ),
                unit="correlation",
            ),
            Part(
                "agreement of the noisier ranking with itself minus agreement of the two",
                level(Cell("selection_rank_shift", "across", prompt="few:4")),
                unit="correlation",
            ),
            Part(
                "small random set with four exemplars minus small known set zero-shot",
                difference(
                    KNOWN.at(trained_on="small:random", prompt="few:4"), KNOWN.at(trained_on="small:known")
                ),
                "not below",
                margin=MARGIN,
            ),
            Part(
                "untuned model with four exemplars minus small random set with four exemplars",
                difference(
                    KNOWN.at(trained_on="none", arm="base", prompt="few:4"),
                    KNOWN.at(trained_on="small:random", prompt="few:4"),
                ),
                role="reported",
            ),
        ),
        _FLOOR + " Agreement is always between disjoint halves of the test items, so noise alone lowers both "
        "numbers alike as long as the sets lie as far apart under either; a prompt that draws them together makes its "
        "ranking noisier, which the second part takes out.",
    ),
    Claim(
        "B7",
        "odd tasks: choices, biographies",
        "The gap behaves differently on multiple choice and on long-form biographies: it is smaller there "
        "than on entity questions.",
        papers.B,
        "prompts",
        (
            Part(
                "gap on entity questions minus gap on multiple choice",
                difference_of_differences(gap(stratum="task=qa"), gap(stratum="task=mmlu")),
            ),
            Part(
                "gap on entity questions minus gap on biographies (claim precision)",
                difference_of_differences(
                    gap(stratum="task=qa"), gap(stratum="task=bios", metric="claim_precision")
                ),
            ),
        ),
        _FLOOR + " The paper says `anomalous`; that the gap is smaller is our reading of it.",
    ),
)
