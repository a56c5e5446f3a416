"""What looking into models gives: numbers over items with intervals over subjects, records, and a table by adapter."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from realmodels.attend import Attended, Done, Line
from realmodels.attend_measure import WAYS
from realmodels.attend_probe import placements
from realmodels.compare import bootstrap
from realmodels.eval_files import aligned
from realmodels.eval_strata import ALL
from realmodels.splits import group_of
from theory.intervals import Interval
from theory.records import Record

Array = NDArray[np.float64]
Name: TypeAlias = tuple[str, str]  # metric, stratum
Columns: TypeAlias = Mapping[Name, Array]

SHOWN: Mapping[Name, str] = {
    ("accuracy", ALL): "right answers",
    ("logprob", ALL): "log p of the right answer",
    ("attention_subject", ALL): "attention to the subject, heads that read it",
    ("attention_subject_all_heads", ALL): "the same, mean of all heads",
    ("attention_subject_share", ALL): "the same, of what is not on the first token",
    ("subject_swap_change", ALL): "answer changes with the subject",
    ("swap_first_token_kept", ALL): "first token stays with another subject",
    ("swap_logprob_drop", ALL): "log p lost with another subject",
    ("belief_auroc", "signal=probe"): "belief by probe, AUROC",
    ("belief_auroc", "signal=question"): "belief by log p of the answer, AUROC",
    ("belief_pair_accuracy", "signal=probe"): "right answer above wrong one, probe",
}
SPLIT = ("category", "popularity", "overlap", "dominant")  # strata that records are given for apart


@dataclass(frozen=True)
class Number:
    """Over `n` items; `less_base` is the paired difference to the untuned model."""

    interval: Interval
    n: int
    less_base: Interval | None


def columns(lines: Sequence[Line]) -> dict[Name, Array]:
    """[items] by metric and stratum: values whose means are the numbers, nan where an item has none. Of a ratio of
    means and of an AUROC these are what each item adds to it."""
    found: dict[Name, Array] = {
        ("accuracy", ALL): np.array([line["right"] for line in lines], float),
        ("logprob", ALL): np.array([line["logprob"] for line in lines], float),
    }
    found |= _attention(lines) | _swap(lines) | _knockout(lines) | _belief(lines)
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def by_stratum(lines: Sequence[Line]) -> Iterator[tuple[str, list[int]]]:
    """Groups of items (positions)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, line in enumerate(lines):
        own = line["strata"]
        for key in SPLIT:
            if key in own:
                groups[f"{key}={own[key]}"].append(i)
        if "category" in own:
            groups[f"known={'no' if own['category'] == 'Unknown' else 'yes'}"].append(i)
    return iter(sorted(groups.items()))


def numbers(done: Done, prompt: str) -> list[dict[Name, Number]]:
    """Of every model, with 95% intervals by a bootstrap over subjects."""
    subjects = np.array([group_of(row) for row in done.job.task.rows])
    own = [columns(arm.lines[prompt]) for arm in done.arms]
    found = []
    for k, mine in enumerate(own):
        shared = [name for name in mine if k and name in own[0]]
        less = {name: mine[name] - own[0][name] for name in shared}
        shared = [name for name in shared if not np.isnan(less[name]).all()]
        means = {name: _within(name, one) for name, one in _intervals(mine, subjects).items()}
        rest = _intervals({name: less[name] for name in shared}, subjects)
        counts = {name: int((~np.isnan(values)).sum()) for name, values in mine.items()}
        found.append({name: Number(means[name], counts[name], rest.get(name)) for name in mine})
    return found


def records(done: Done) -> Iterator[Record]:
    """Means over all items and over strata of them."""
    for arm in done.arms:
        for prompt, lines in arm.lines.items():
            for (metric, stratum), values in columns(lines).items():
                yield _record(done, arm, prompt, metric, stratum, values)
            for group, items in by_stratum(lines):
                for (metric, stratum), values in columns([lines[i] for i in items]).items():
                    if (metric, stratum) in SHOWN:
                        name = group if stratum == ALL else f"{stratum},{group}"
                        yield _record(done, arm, prompt, metric, name, values)


def render(done: Done) -> str:
    """Of each prompt the numbers by adapter, then what blinding windows of layers costs."""
    parts = []
    for prompt in (prompt.name for prompt in done.job.prompts):
        found = numbers(done, prompt)
        parts += [_table(done, prompt, found), _windows(done, prompt, found), _notes(done, prompt)]
    return "\n\n".join(part for part in parts if part)


def summary(done: Done) -> list[dict[str, Any]]:
    """The same as plain values."""
    return [
        {
            "adapter": arm.who.name,
            "trained_on": arm.who.arm,
            "prompt": prompt.name,
            "metric": metric,
            "stratum": stratum,
            "n": number.n,
            **_plain(number.interval, ""),
            **(_plain(number.less_base, "less_base_") if number.less_base else {}),
        }
        for prompt in done.job.prompts
        for arm, found in zip(done.arms, numbers(done, prompt.name), strict=True)
        for (metric, stratum), number in found.items()
    ]


def _attention(lines: Sequence[Line]) -> dict[Name, Array]:
    seen = [i for i, line in enumerate(lines) if "attention" in line]
    if not seen:
        return {}
    mass, rest = (np.array([lines[i]["attention"][key] for i in seen]) for key in ("mass", "rest"))
    own, whole = mass.mean(axis=1), rest.mean(axis=1)
    share = own.mean() / whole.mean()
    readers = [lines[i]["attention"]["readers"] for i in seen]
    values = {
        ("attention_subject", ALL): np.array([math.nan if x is None else x for x in readers]),
        ("attention_subject_all_heads", ALL): own,
        # a ratio of means: heads and items whose weight rests on the first token alone have next to no say
        ("attention_subject_share", ALL): share + (own - share * whole) / whole.mean(),
    }
    values |= {("attention_subject_all_heads", f"layer={k + 1}"): mass[:, k] for k in range(mass.shape[1])}
    return {name: _spread(len(lines), seen, own) for name, own in values.items()}


def _swap(lines: Sequence[Line]) -> dict[Name, Array]:
    some = [i for i, line in enumerate(lines) if "swap" in line]
    if not some:
        return {}
    values = {
        ("subject_swap_change", ALL): [np.mean(lines[i]["swap"]["changed"]) for i in some],
        ("swap_first_token_kept", ALL): [np.mean(lines[i]["swap"]["first_kept"]) for i in some],
        ("swap_logprob_drop", ALL): [
            lines[i]["logprob"] - np.mean(lines[i]["swap"]["logprob"]) for i in some
        ],
    }
    return {name: _spread(len(lines), some, np.array(own, float)) for name, own in values.items()}


def _knockout(lines: Sequence[Line]) -> dict[Name, Array]:
    seen = [i for i, line in enumerate(lines) if "knockout" in line]
    found: dict[Name, Array] = {}
    for way in WAYS if seen else ():
        names = [name for name in lines[seen[0]]["knockout"][way] if name != "none"]
        for place, metric in enumerate(("knockout_accuracy_change", "knockout_logprob_change")):
            before = np.array([lines[i]["knockout"][way]["none"][place] for i in seen], float)
            for name in names:
                after = np.array([lines[i]["knockout"][way][name][place] for i in seen], float)
                found[metric, f"from={way},layers={name}"] = _spread(len(lines), seen, after - before)
    return found


def _belief(lines: Sequence[Line]) -> dict[Name, Array]:
    found: dict[Name, Array] = {}
    told = [i for i, line in enumerate(lines) if "belief" in line]
    for signal, key in (("probe", "score"), ("question", "logprob")) if told else ():
        some = [i for i in told if lines[i]["belief"][key] is not None]
        if not some:
            continue
        scores = np.array([lines[i]["belief"][key] for i in some])
        # probes of different folds have different scales, log chances have one
        fold = [lines[i]["belief"]["fold"] if signal == "probe" else 0 for i in some]
        above = (scores[:, 0] > scores[:, 1]) + 0.5 * (scores[:, 0] == scores[:, 1])
        stratum = f"signal={signal}"
        found["belief_auroc", stratum] = _spread(len(lines), some, placements(scores, fold))
        found["belief_pair_accuracy", stratum] = _spread(len(lines), some, above)
    return found


def _spread(n: int, where: Sequence[int], values: Array) -> Array:
    found = np.full(n, math.nan)
    found[list(where)] = values
    return found


def _intervals(values: Columns, subjects: NDArray[np.str_]) -> dict[Name, Interval]:
    """Of every column; those over the same items are drawn together."""
    alike: dict[bytes, list[Name]] = defaultdict(list)
    for name, own in values.items():
        alike[np.isnan(own).tobytes()].append(name)
    found: dict[Name, Interval] = {}
    for names in alike.values():
        there = ~np.isnan(values[names[0]])
        _, groups = np.unique(subjects[there], return_inverse=True)
        table = np.column_stack([values[name][there] for name in names])
        found |= dict(zip(names, bootstrap(table, groups.astype(np.int64)), strict=True))
    return found


def _within(name: Name, interval: Interval) -> Interval:
    """An AUROC's limits are of a straight line through it, which goes beyond 1."""
    if name[0] != "belief_auroc" or not math.isfinite(interval.low):
        return interval
    return replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))


def _record(done: Done, arm: Attended, prompt: str, metric: str, stratum: str, values: Array) -> Record:
    there = values[~np.isnan(values)]
    labels = 2 if metric == "belief_auroc" else 1
    stamp = arm.who.stamp(done.lab, "attend", done.run, prompt)
    return stamp.record(done.job.task.name, stratum, metric, float(there.mean()), labels * len(there))


def _table(done: Done, prompt: str, found: Sequence[Mapping[Name, Number]]) -> str:
    lines = [[f"prompt {prompt}", "model", "items", "mean", "95% interval", "less base", "95% interval"]]
    for name, words in SHOWN.items():
        for arm, own in zip(done.arms, found, strict=True):
            if name in own:
                number = own[name]
                lines.append(
                    [
                        words,
                        arm.who.name,
                        f"{number.n:,}",
                        *_shown(number.interval),
                        *_shown(number.less_base),
                    ]
                )
    return aligned(lines, 2)


def _windows(done: Done, prompt: str, found: Sequence[Mapping[Name, Number]]) -> str:
    names = [name for name in found[0] if name[0] == "knockout_logprob_change"]
    if not names:
        return ""
    lines = [
        [
            f"prompt {prompt}: layers blind to the subject",
            "model",
            "right answers",
            "95% interval",
            "log p",
            "95% interval",
        ]
    ]
    for _, stratum in names:
        for arm, own in zip(done.arms, found, strict=True):
            right, chance = own["knockout_accuracy_change", stratum], own["knockout_logprob_change", stratum]
            words = stratum.replace("from=last,layers=", "from the end, layers ")
            words = words.replace("from=later,layers=", "from all behind it, layers ")
            lines.append([words, arm.who.name, *_shown(right.interval, "+"), *_shown(chance.interval, "+")])
    return aligned(lines, 2)


def _notes(done: Done, prompt: str) -> str:
    """What the numbers rest on."""
    lines = done.arms[0].lines[prompt]
    about = done.arms[0].about[prompt]
    said = [
        f"The subject's tokens were found in {sum('attention' in line for line in lines)} of {len(lines)} questions."
    ]
    if "readers" in about:
        heads = len(about["heads"]["mass"]) * len(about["heads"]["mass"][0])
        said.append(
            f"{len(about['readers'])} of {heads} heads read it (by what cutting them costs the untuned model)."
        )
    if "probe" in about and not about["probe"]["labels"]:
        said.append("No answer could be dealt to another question of its relation, so there is no probe.")
    elif "probe" in about:
        probe = about["probe"]
        said.append(
            f"The probe reads layer {probe['layer']}; {probe['labels']} labelled statements, {probe['folds']} folds by "
            "subject, every answer as often wrong as right."
        )
    said.append("Intervals are of a bootstrap over subjects; they do not cover the choice of seed.")
    return "\n".join(said)


def _shown(interval: Interval | None, sign: str = "") -> list[str]:
    if interval is None:
        return ["", ""]
    if not math.isfinite(interval.low):
        return [f"{interval.mean:{sign}.3f}", "one subject alone"]
    return [f"{interval.mean:{sign}.3f}", f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"]


def _plain(interval: Interval, prefix: str) -> dict[str, float | None]:
    ends = {"low": interval.low, "high": interval.high}
    return {f"{prefix}mean": interval.mean} | {
        f"{prefix}{key}": value if math.isfinite(value) else None for key, value in ends.items()
    }
