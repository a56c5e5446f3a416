"""What a model's texts about held-out people are worth, and how well its beliefs tell its true claims, as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_facts import Facts
from realmodels.bios_files import Bio
from realmodels.study_records import BASE, Stamp
from theory.goodturing import expected_calibration_error
from theory.probe import Probe, auroc, fit_probe
from theory.schema import Record

Array = NDArray[np.float64]
LABELS = (16, 64, 256, 1024, 4096)  # that a probe is fitted to, and all there are
ENOUGH = 0.01  # of AUROC: a probe with that little less than one with all labels has enough of them


def measured(stamp: Stamp, split: str, bios: Sequence[Bio], facts: Facts) -> Iterator[Record]:
    """Precision, recall, length: of the sampled texts, and of the greedy ones under names of their own. A claim that
    the table does not know counts as not true."""
    for suffix, own in (("", [b for b in bios if b.draw]), ("_greedy", [b for b in bios if not b.draw])):
        if not own:
            continue
        claims = sum(len(bio.stated) for bio in own)
        true = sum(claim.support is True for bio in own for claim in bio.stated)
        distinct = sum(len({c.relation for c in bio.stated if c.support}) for bio in own)
        there = sum(len(facts.about(bio.name)) for bio in own)
        if claims:
            yield stamp.record(split, "all", f"claim_precision{suffix}", true / claims, claims)
        if there:
            yield stamp.record(split, "all", f"claim_recall{suffix}", distinct / there, there)
        yield stamp.record(split, "all", f"claims{suffix}", claims / len(own), len(own))
        yield stamp.record(split, "all", f"true_claims{suffix}", distinct / len(own), len(own))
        tokens = [int(bio.original["tokens"]) for bio in own if "tokens" in bio.original]
        if tokens:
            yield stamp.record(split, "all", f"tokens{suffix}", sum(tokens) / len(tokens), len(tokens))


def signals(
    stamp: Stamp, split: str, beliefs: Mapping[str, Sequence[float]], true: Sequence[bool]
) -> Iterator[Record]:
    """Of each signal over the untuned model's own claims: AUROC and calibration error."""
    stamp, right = replace(stamp, arm=BASE), np.array(true, bool)
    for name, values in beliefs.items():
        belief = np.array(values, np.float64)
        good = np.isfinite(belief)
        area = auroc(belief[good], right[good]) if good.any() else float("nan")
        if np.isfinite(area):
            yield stamp.record(split, f"signal={name}", "belief_auroc", area, int(good.sum()))
            off = expected_calibration_error(np.clip(belief[good], 0, 1), right[good])
            yield stamp.record(split, f"signal={name}", "belief_calibration_error", off, int(good.sum()))


def probes(states: Array, true: Sequence[bool], seed: int) -> dict[int, Probe]:
    """A probe for every number of labels, the labels drawn in one order; none where all labels are alike."""
    right = np.array(true, bool)
    order = np.random.default_rng(np.random.SeedSequence([seed, 0x1ABE1])).permutation(len(right))
    found: dict[int, Probe] = {}
    for size in (*(size for size in LABELS if size < len(right)), len(right)):
        some = order[:size]
        if 0 < right[some].sum() < size:
            found[size] = fit_probe(states[some], right[some])
    return found


def by_labels(
    stamp: Stamp, split: str, beliefs: Mapping[int, Sequence[float]], true: Sequence[bool]
) -> Iterator[Record]:
    """AUROC of the probe by how many labels it had, and how many are enough."""
    stamp, right = replace(stamp, arm=BASE), np.array(true, bool)
    areas = {size: auroc(values, right) for size, values in beliefs.items()}
    areas = {size: area for size, area in areas.items() if np.isfinite(area)}
    for size, area in areas.items():
        yield stamp.record(split, f"signal=probe,labels={size}", "belief_auroc", area, len(right))
    if areas and split == "test":
        most = max(areas)
        enough = min(size for size, area in areas.items() if area >= areas[most] - ENOUGH)
        yield stamp.record(split, "signal=probe", "labels_needed", float(enough), most)
