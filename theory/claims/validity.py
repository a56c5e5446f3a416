"""V1-V3: is the gap about knowledge? Each takes one confounder out; in the pilot they carried most of it."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import Claim, Part
from theory.claims.estimators import Contrast, difference
from theory.claims.paper_b import KNOWN, gap

NO_COPYING = "overlap=no"
SAME_SUPPORT = "answer=both|neither|both-or-neither"
NO_GUESSING = "dominant=no"
NOT_GUESSABLE = "guessable=no"


def _loose(**where: str) -> Contrast:
    """The gap as it is usually reported: the sets differ in their answers too."""
    known = KNOWN.at(trained_on="known:by-relation", **where)
    return difference(known, known.at(trained_on="unknown:by-relation"))


CLAIMS = (
    Claim(
        "V1",
        "not only copying",
        "Known rows beat unknown rows also on test facts whose answer repeats no word of the subject.",
        papers.OURS,
        "validity",
        (
            Part("gap at the end, answers that do not overlap the subject", gap(stratum=NO_COPYING)),
            Part("gap at the end, all test facts", gap(), role="reported"),
            Part(
                "gap at the early stop, answers that do not overlap the subject",
                gap(stratum=NO_COPYING, stop="early"),
                role="reported",
            ),
        ),
        mark="ours",
    ),
    Claim(
        "V2",
        "not only shared answers",
        "Known rows beat unknown rows also on test facts whose answer, in its relation, occurs in both "
        "training sets or in neither.",
        papers.OURS,
        "validity",
        (
            Part("gap at the end, answers in both training sets or in neither", gap(stratum=SAME_SUPPORT)),
            Part(
                "known rows minus the same rows with answers permuted, at the end",
                difference(KNOWN, KNOWN.at(trained_on="known-permuted")),
                role="reported",
            ),
            Part("gap at the end, sets matched in relation alone", _loose(), role="reported"),
            Part(
                "the same on answers in both training sets or in neither",
                _loose(stratum=SAME_SUPPORT),
                role="reported",
            ),
            Part(
                "gap at the early stop, answers in both training sets or in neither",
                gap(stratum=SAME_SUPPORT, stop="early"),
                role="reported",
            ),
        ),
        "Sets that are matched in relation and answer have every answer in both or in neither, so that this is their "
        "whole gap; sets matched in relation alone stand beside it.",
        mark="ours",
    ),
    Claim(
        "V3",
        "not only guessing",
        "Known rows beat unknown rows also where the right answer is not one of the relation's two most "
        "frequent guesses, and in relations that cannot be answered by guessing.",
        papers.OURS,
        "validity",
        (
            Part("gap at the end, answers that are no dominant guess", gap(stratum=NO_GUESSING)),
            Part("gap at the end, relations beyond guessing", gap(stratum=NOT_GUESSABLE), role="if present"),
            Part(
                "gap at the early stop, answers that are no dominant guess",
                gap(stratum=NO_GUESSING, stop="early"),
                role="reported",
            ),
            Part(
                "gap at the end without copying, unequal answer support and guessing together",
                gap(stratum=f"{NO_COPYING},{SAME_SUPPORT},{NO_GUESSING}"),
                role="reported",
            ),
        ),
        mark="ours",
    ),
)
