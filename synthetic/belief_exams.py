"""What the untuned network writes, and which of its signals tell its true claims from its false ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synthetic.beliefs import Claims, consistency, question, statement, states_of, token, verification
from synthetic.biographies import gold, true_claims
from synthetic.long_form import Desk, examined
from synthetic.score import Stamp
from synthetic.split import split
from synthetic.text_sets import SAMPLES, Library
from theory.goodturing import expected_calibration_error
from theory.probe import RIDGE, auroc, fit_probe
from theory.records import Record

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
SHOWN = 2  # gold texts in the long-form prompt that is not the native one
LABELS = (16, 64, 256, 1024, 2048, 4096)  # that a probe is fitted to, and all there are
RIDGES = tuple(
    RIDGE * factor for factor in (0.001, 0.01, 0.1, 10.0, 100.0)
)  # beside the usual one, with all labels
ENOUGH = 0.01  # of AUROC: a probe with that little less than one with all labels has enough of them
BINS = 10  # of equal width, in which belief is compared with the truth


def without_tuning(desk: Desk, draws: int) -> Iterator[Record]:
    """The base under its native prompt, and after SHOWN gold texts about others."""
    base = desk.base
    stamp = replace(desk.stamp, arm="base")
    yield from examined(desk, base.weights, stamp, draws)
    others = np.unique(base.world.subject[split(base).shots])
    shown: dict[int, list[int]] = {}
    for of_type in range(base.world.spec.types):
        some = others[base.world.subject_type[others] == of_type][:SHOWN]
        texts = gold(base, some, np.random.default_rng(np.random.SeedSequence([base.seed, of_type])))
        shown[of_type] = [token for text in desk.script.sequences(texts)[0] for token in text[1:-1]]
    yield from examined(desk, base.weights, replace(stamp, prompt=f"few:{SHOWN}"), draws, shown)


def signals(desk: Desk, found: Library) -> Iterator[Record]:
    """Of each signal over the base's own claims about held-out subjects: AUROC and calibration, whole and bin by bin,
    and of the probe also by the number of its labels, which are claims about training subjects, and by its ridge."""
    base, stamp = desk.base, replace(desk.stamp, arm="base")
    features, right = found.labelled
    order = np.random.default_rng(np.random.SeedSequence([base.seed, 0x1ABE1])).permutation(len(right))
    sizes = [size for size in LABELS if size < len(right)]
    probes = {size: fit_probe(features[order[:size]], right[order[:size]]) for size in (*sizes, len(right))}
    ridges = {ridge: fit_probe(features, right, ridge) for ridge in RIDGES}
    as_said = fit_probe(*found.labelled_as_said)
    for split_name, subjects in desk.asked.items():
        texts = desk.script.write(base.weights, subjects, draws=SAMPLES, seed=desk.draw("own", split_name))
        claims = Claims(base, texts)
        well, true = claims.well, true_claims(base, texts)
        if not well.any():
            continue
        states = states_of(claims)
        by_labels = {size: claims.spread(probe(states)) for size, probe in probes.items()}
        beliefs = {
            "statement": statement(claims),
            "token": token(claims, desk.script),
            "question": question(claims),
            "consistency": consistency(claims, SAMPLES),
            "verification": verification(claims),
            "probe": by_labels[len(right)],
            "probe-as-said": claims.spread(as_said(states)),
        }
        for name, belief in beliefs.items():
            yield from _judged(stamp, split_name, f"signal={name}", belief[well], true[well])
        areas = {size: auroc(belief[well], true[well]) for size, belief in by_labels.items()}
        otherwise = {f"labels={size}": area for size, area in areas.items()}
        for ridge, probe in ridges.items():
            otherwise[f"ridge={ridge:g}"] = auroc(claims.spread(probe(states))[well], true[well])
        for how, area in otherwise.items():
            if np.isfinite(area):
                yield stamp.record(split_name, f"signal=probe,{how}", "belief_auroc", area, int(well.sum()))
        if split_name == "test" and np.isfinite(areas[len(right)]):
            enough = min(size for size, area in areas.items() if area >= areas[len(right)] - ENOUGH)
            yield stamp.record(split_name, "signal=probe", "labels_needed", float(enough), len(right))


def _judged(stamp: Stamp, split_name: str, stratum: str, belief: Array, true: Flags) -> Iterator[Record]:
    area = auroc(belief, true)
    if np.isfinite(area):
        chance = np.clip(belief, 0.0, 1.0)
        yield stamp.record(split_name, stratum, "belief_auroc", area, len(true))
        off = expected_calibration_error(chance, true, BINS)
        yield stamp.record(split_name, stratum, "belief_calibration_error", off, len(true))
        which = np.minimum((chance * BINS).astype(np.int64), BINS - 1)
        for k in np.unique(which).tolist():
            here, name = which == k, f"{stratum},bin={k + 1}"
            for metric, values in (("belief_bin_mean", chance), ("belief_bin_true", true)):
                yield stamp.record(split_name, name, metric, float(values[here].mean()), int(here.sum()))
