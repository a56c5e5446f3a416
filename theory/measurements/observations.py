"""The runs of the one-layer models as records: closed form (R0), one-hot tables and dense embeddings (R1).

Set-ups are those of the window and of the dense table. Of the held-out subjects every second one is for testing,
the others are dev. Quartiles are of trainable facts by log p(y|s,r,q) - log p(y|r,q) before tuning, cut within every
relation and answer, so that they are matched in both. The flatter and the steeper law of exposures are two-level
worlds whose frequent half is 10 or 250 times as frequent; pretraining is halved or doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from theory.attention import Array, Index
from theory.measurements import confound, dense, window
from theory.measurements.examiner import Examiner, Place, make_examiner
from theory.measurements.facts import FINE_TUNING, Facts, Setting
from theory.measurements.flow_records import flow_records
from theory.measurements.tuning import ADAM, ATTENTION, M, half_sets, patched
from theory.optimisers import Recipe
from theory.records import Record
from theory.simulate import Model, Tables, draw_batches, train

STEPS = (10, 20, 40, 60, 80, 120, 160, 240, 320)
Sets = Mapping[str, Sequence[Index]]
ONE_HOT, SGD, DENSE = "theory/R1-onehot", "theory/R1-onehot-sgd", "theory/R1-dense"


@dataclass(frozen=True)
class Source:
    """Records of one laboratory, made in the process of the measurements of module `beside`, whose work it shares."""

    lab: str
    records: Callable[[Sequence[int]], list[Record]]
    beside: str
    cost: float = 1.0


def base_records(place: Place, model: Model, facts: Facts, examiner: Examiner) -> Iterator[Record]:
    """The untuned model, and how its salience goes with exposure."""
    yield from place.records(examiner.examine(model), "base", "none", 0)
    said = model.token_values(facts.statements)[:, :, 0]
    salience = np.take_along_axis(said, facts.answers[..., None], axis=-1)[..., 0]
    exposure = np.asarray(facts.of_facts(facts.frequency), dtype=np.float64)
    rank = np.array([confound.spearman(f, s) for f, s in zip(exposure, salience, strict=True)])
    yield from place.records(_across("salience_frequency_rank_correlation", rank, facts.n), "base", "none", 0)


def arm_records(
    place: Place, model: M, facts: Facts, examiner: Examiner, arm: str, recipe: Recipe, sets: Sets
) -> tuple[list[Record], dict[str, M]]:
    """One arm on each of its training sets, and the models it ends with."""
    records: list[Record] = []
    ends: dict[str, M] = {}
    for on, chosen in sets.items():
        order = draw_batches(chosen, recipe, facts.seeds, FINE_TUNING)
        ends[on], seen = train(model, facts.questions, order, recipe, at=STEPS, observe=examiner.examine)
        for step, answers in zip(STEPS, seen, strict=True):
            records += place.records(answers, arm, on, step)
    return records, ends


def patch_records(place: Place, examiner: Examiner, ends: Mapping[str, Model]) -> Iterator[Record]:
    """Models that end with the attention or the values of the arm on the other half."""
    for on, other in (("lesser", "best"), ("best", "lesser")):
        for weights in ("attention", "values"):
            pair = (ends[other], ends[on]) if weights == "attention" else (ends[on], ends[other])
            prompts = (examiner.questions, examiner.swapped, examiner.statements)
            asked, swapped, stated = (patched(*pair, p) for p in prompts)
            answers = examiner.marks(asked, swapped, stated)
            yield from place.records(answers, f"patch:{weights}:{other}", on, STEPS[-1])


def quartile_sets(model: Tables, facts: Facts) -> Sets:
    """Trainable facts in four parts by how much more than the prior the model knows, 4 the best known."""
    score = confound.before_tuning(facts, model)["beyond_prior"]
    open_ = np.flatnonzero(~facts.held_out_fact)
    sets: dict[str, list[Index]] = {f"quartile:{k}": [] for k in (1, 2, 3, 4)}
    for s in range(len(facts.seeds)):
        answer = facts.answers[s, open_]
        order = np.lexsort((score[s, open_], answer))
        ranked = answer[order]
        place = np.arange(len(order)) - np.searchsorted(ranked, ranked)
        size = np.bincount(ranked)[ranked] // 4  # of each quarter; what is left over is dropped
        quarter = np.where(place < 4 * size, place // np.maximum(size, 1), -1)
        for k in range(4):
            sets[f"quartile:{k + 1}"].append(np.sort(open_[order[quarter == k]]))
    return sets


def one_hot_records(seeds: Sequence[int]) -> list[Record]:
    """Adam on one-hot tables: three arms on the halves, quartiles, patches, and other pretrainings."""
    place = Place(ONE_HOT, "onehot", tuple(seeds))
    facts, model, _ = window.start(window.VARIANTS["adam"], seeds)
    examiner, sets = make_examiner(model, facts), half_sets(facts)
    records = list(base_records(place, model, facts, examiner))
    for arm, recipe in (("all", ADAM), ("attention", ATTENTION), ("values", replace(ADAM, train="values"))):
        found, ends = arm_records(place, model, facts, examiner, arm, recipe, sets)
        records += found
        if arm == "all":
            records += patch_records(place, examiner, ends)
    records += arm_records(place, model, facts, examiner, "all", ADAM, quartile_sets(model, facts))[0]
    usual = window.PRETRAINING
    others = {
        "pretrain:short": window.Variant(pretraining=replace(usual, steps=usual.steps // 2)),
        "pretrain:long": window.Variant(pretraining=replace(usual, steps=usual.steps * 2)),
        "zipf:flat": window.Variant(Setting(level=10.0)),
        "zipf:steep": window.Variant(Setting(level=250.0)),
    }
    for name, variant in others.items():
        facts, model, _ = window.start(variant, seeds)
        examiner, sets = make_examiner(model, facts), half_sets(facts)
        records += place.records(examiner.examine(model), f"base@{name}", "none", 0)
        chosen = {on: sets[on] for on in ("best", "lesser")}
        records += arm_records(place, model, facts, examiner, f"all@{name}", ADAM, chosen)[0]
    return records


def sgd_records(seeds: Sequence[int]) -> list[Record]:
    """Plain SGD on one-hot tables."""
    place = Place(SGD, "onehot-sgd", tuple(seeds))
    facts, model, _ = window.start(window.VARIANTS["sgd"], seeds)
    examiner = make_examiner(model, facts)
    found, ends = arm_records(place, model, facts, examiner, "all", window.SGD, half_sets(facts))
    return [*base_records(place, model, facts, examiner), *found, *patch_records(place, examiner, ends)]


def dense_records(seeds: Sequence[int]) -> list[Record]:
    """Adam on dense embeddings: all weights, W_KQ alone, and W_V with the answer embeddings alone."""
    place = Place(DENSE, "dense", tuple(seeds))
    facts, model, _ = dense.start("dense", tuple(seeds))
    examiner, sets = make_examiner(model, facts), half_sets(facts)
    records = list(base_records(place, model, facts, examiner))
    found, ends = arm_records(place, model, facts, examiner, "all", dense.TUNING, sets)
    records += [*found, *patch_records(place, examiner, ends)]
    for arm in ("attention", "values"):
        recipe = replace(dense.TUNING, train=arm)
        halves = {on: sets[on] for on in ("best", "lesser")}
        records += arm_records(place, model, facts, examiner, arm, recipe, halves)[0]
    return records


def across_records(seeds: Sequence[int]) -> list[Record]:
    """Statistics over the fine-tuning sets of each seed, at the last step."""
    place, data = Place(ONE_HOT, "onehot", tuple(seeds)), confound.measured(tuple(seeds))
    names = {"margin": "margin", "pcorrect": "p_correct", "frequency": "log_frequency"}
    step = confound.STEPS[-1]
    records: list[Record] = []
    for arm in confound.ARMS:
        harm, turn = data[f"harm {arm} {step}"], data[f"turn {arm} {step}"]
        sets = int(np.isfinite(harm[..., 0]).sum())
        for name, column in names.items():
            x = data[column]
            rank = np.array([confound.spearman(x[..., s], harm[..., s]) for s in range(len(seeds))])
            answers = _across(f"{name}_accuracy_rank_correlation", rank, sets)
            records += place.records(answers, arm, "across", step)
        margin = data["margin"]
        agree = [confound.push_agreement(margin[..., s], turn[..., s]) / 100 for s in range(len(seeds))]
        records += place.records(_across("push_sign_agreement", np.array(agree), sets), arm, "across", step)
    return records


def _across(metric: str, values: Array, n: int) -> dict[tuple[str, str, str], tuple[Array, Array]]:
    return {("test", "all", metric): (values, np.full(len(values), n))}


SOURCES = (
    Source("theory/R0", flow_records, "flow_records"),
    Source(ONE_HOT, one_hot_records, "observations", 18.0),
    Source(SGD, sgd_records, "observations", 5.0),
    Source(ONE_HOT, across_records, "confound"),
    Source(DENSE, dense_records, "dense", 20.0),
)
