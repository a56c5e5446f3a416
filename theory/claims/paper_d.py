"""D1-D5: long-form text that the model itself believes (Newman et al. 2025)."""

from __future__ import annotations

from theory.claims import papers
from theory.claims.base import Cell, Claim, Part
from theory.claims.estimators import Contrast, difference, level

BELIEVED = Cell("claim_precision", "generated+belief")
_READ = (
    "The paper's tables were not read: directions can be tested, sizes cannot be compared. Its word is "
    "`often`."
)


def believed_over(trained_on: str, **where: str) -> Contrast:
    """The arm on own text that the model believes, minus another arm."""
    return difference(BELIEVED.at(**where), BELIEVED.at(trained_on=trained_on, **where))


def _auroc(signal: str) -> Contrast:
    return level(Cell("belief_auroc", "none", stratum=f"signal={signal}", arm="base"))


CLAIMS = (
    Claim(
        "D1",
        "gold text is not best",
        "Fine-tuning on gold text gives less factual long-form output than fine-tuning on generated text "
        "that the model believes.",
        papers.D,
        "beliefs",
        (
            Part("claim precision, generated and believed minus gold", believed_over("gold")),
            Part(
                "the same against gold cut to equal length at random",
                believed_over("gold+random"),
                role="reported",
            ),
            Part(
                "claim recall, generated and believed minus gold",
                believed_over("gold", metric="claim_recall"),
                role="reported",
            ),
            Part(
                "the same precision under greedy decoding",
                believed_over("gold", metric="claim_precision_greedy"),
                role="reported",
            ),
        ),
        _READ,
    ),
    Claim(
        "D2",
        "own belief beats gold support",
        "On generated text, keeping what the model believes is often better than keeping what gold supports.",
        papers.D,
        "beliefs",
        (
            Part(
                "claim precision, believed minus supported generated text", believed_over("generated+support")
            ),
            Part(
                "claim recall, the same",
                believed_over("generated+support", metric="claim_recall"),
                role="reported",
            ),
        ),
        _READ,
    ),
    Claim(
        "D3",
        "own text beats gold text",
        "With the model's own belief as the filter, generated text is often better than gold text.",
        papers.D,
        "beliefs",
        (
            Part(
                "claim precision, believed generated minus believed gold text", believed_over("gold+belief")
            ),
            Part(
                "claim recall, the same", believed_over("gold+belief", metric="claim_recall"), role="reported"
            ),
        ),
        _READ,
    ),
    Claim(
        "D4",
        "the benefit carries to other domains",
        "The benefit of filtering generated text by the model's own belief holds in the domain trained "
        "on and in one that was not.",
        papers.D,
        "beliefs",
        (
            Part("claim precision, believed minus all generated text", believed_over("generated")),
            Part("the same in a domain not trained on", believed_over("generated", split="ood-type")),
            Part(
                "believed generated minus gold text in a domain not trained on",
                believed_over("gold", split="ood-type"),
                role="reported",
            ),
        ),
        _READ,
    ),
    Claim(
        "D5",
        "hidden states know",
        "A belief read from hidden states predicts which claims of the model's own text are true.",
        papers.D,
        "beliefs",
        (
            Part("AUROC of the probe", _auroc("probe"), null=0.5, unit="AUROC"),
            Part(
                "AUROC of the statement probability",
                _auroc("statement"),
                null=0.5,
                unit="AUROC",
                role="reported",
            ),
            Part(
                "AUROC of yes/no self-verification",
                _auroc("verification"),
                null=0.5,
                unit="AUROC",
                role="reported",
            ),
        ),
        "The quantity is not given in what was read of the paper; above chance is tested.",
        mark="secondary",
    ),
)
