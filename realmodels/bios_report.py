"""What `bios score` and `bios agree` print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realmodels.bios_agree import Found

_SCORES = ("texts", "claims", "precision", "judged", "precision_judged", "recall")


def render_scores(found: Mapping[str, Any]) -> str:
    """Texts and beliefs; what was not found out is left blank."""
    lines = [f"{'texts':<10}" + "".join(f"{name:>18}" for name in _SCORES)]
    lines += [
        f"{group:<10}" + "".join(f"{_number(found[group][name]):>18}" for name in _SCORES)
        for group in ("all", "greedy", "sampled")
        if group in found
    ]
    if signals := found["signals"]:
        lines += ["", f"{'belief':<14} {'AUROC':>22} {'calibration error':>18} {'claims':>8} {'people':>7}"]
    for name, own in signals.items():
        area = f"{_number(own['auroc'])} [{_number(own['low'])}, {_number(own['high'])}]"
        off, claims, people = _number(own["calibration_error"]), own["claims"], own["people"]
        lines.append(f"{name:<14} {area:>22} {off:>18} {claims:>8} {people:>7}")
    if labels := found.get("probe_labels"):
        lines.append(
            f"the probe had {labels} labels; a claim's belief is from a probe that saw other people's alone"
        )
    return "\n".join(lines)


def render_agreement(found: Found) -> str:
    """Three tables: claims, support, systems."""
    lines = [f"{found.people} people ({found.part})", ""]
    lines.append(
        f"{'claims that are also claims of people':<58} {'claims':>7} {'precision':>21} {'recall':>21}"
    )
    lines += [
        f"{c.name:<58} {c.claims:>7} {_span(c.precision):>21} {_span(c.recall):>21}" for c in found.coverage
    ]
    title = "support of the claims of people"
    lines += ["", f"{title:<52} {'claims':>6} {'AUROC':>21} {'within':>7} {'accuracy':>21} {'kappa':>6}"]
    for a in found.agreements:
        kappa = "" if a.kappa is None else f"{a.kappa:.2f}"
        lines.append(
            f"{a.name:<52} {a.claims:>6} {_span(a.auroc):>21} {a.within:>7.3f} {_span(a.accuracy):>21} {kappa:>6}"
        )
    named = sorted(found.rankings[0].scores)
    pairs = len(named) * (len(named) - 1) // 2
    head = "".join(f"{system:>14}" for system in named)
    lines += ["", f"{'mean precision of the systems':<52}{head}{'order':>8}{'pairs':>7}{'resampled':>11}"]
    for r in found.rankings:
        scores = "".join(f"{r.scores.get(system, float('nan')):>14.3f}" for system in named)
        order = "same" if r.same_order else "other"
        lines.append(f"{r.name:<52}{scores}{order:>8}{r.pairs_agreeing:>5}/{pairs}{r.resampled:>11.2f}")
    return "\n".join(lines)


def _span(values: tuple[float, float, float] | None) -> str:
    return "" if values is None else f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def _number(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
