"""What no claim reads and a reader may want: means over seeds with their 95% intervals, one small table a question.

`beliefs`: what every set of long-form text holds and what the network writes after it. `contrasts`: one set less
another, seed by seed. `signals`: what tells true claims from false ones. `free`: free statements and their bound.
`edges`: counted gaps of extractable edges beside those that K1 and K2 foretell. `gaps`: known less unknown rows under
every prompt on every kind of held-out facts, at both stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theory.table import Table

Row = tuple[str | int | float, ...]
Series = Mapping[int, float]  # by seed
Found = dict[tuple[str, ...], dict[int, tuple[int, float]]]  # by KEY, then by seed: last step, value
KEY = ("study", "lab", "run", "arm", "trained_on", "prompt", "split", "stratum", "metric")
ENDS = ("mean", "low", "high", "seeds")
COLUMNS = {
    "beliefs": ("lab", "run", "arm", "trained_on", "prompt", "split", "metric", *ENDS),
    "contrasts": ("lab", "run", "question", "of", "minus", "split", "metric", *ENDS),
    "signals": ("lab", "run", "split", "signal", "metric", *ENDS),
    "free": ("lab", "run", "trained_on", "step", "metric", *ENDS),
    "edges": ("lab", "run", "trained_on", "prompt", "metric", *ENDS),
    "gaps": ("lab", "run", "stop", "split", "stratum", "prompt", "known", "unknown", "untuned", *ENDS),
}
SUPPORTS = ("", ":coverage0.7", ":coverage0.4", ":noise0.1", ":noise0.3")
CONTRASTS = (
    *(("dial", "generated+belief", "generated+support" + dial) for dial in SUPPORTS),
    ("belief on top of support", "generated+belief+support", "generated+support"),
    ("whole texts", "generated+belief:document", "generated+belief"),
    ("whole texts", "generated+support:document", "generated+support"),
    ("probe", "generated+belief:probe", "generated+belief"),
    ("length", "generated+belief", "generated+random"),
    ("preference", "pairs:belief", "generated"),
    ("preference", "pairs:preferred", "generated"),
    ("preference", "pairs:belief", "pairs:preferred"),
    ("preference", "pairs:belief", "generated+belief"),
    ("preference", "pairs:preferred", "generated+belief"),
    ("preference", "pairs:belief", "none"),
    ("tuning", "generated", "none"),
    ("tuning", "generated:first", "none"),
    ("tuning", "generated+belief", "none"),
    ("tuning", "gold+belief", "none"),
    ("longest of several", "generated", "generated:first"),
    ("source", "generated", "gold"),
    ("source", "generated+belief", "gold+belief"),
    ("teacher", "better", "generated"),
)
GREEDY = "_greedy"
COMPARED = ("claim_precision", "claim_recall", "true_claims", "claims", "tokens")
FORETOLD = {"edge_gap_off_k1": "edge_gap_merged", "edge_gap_off_k2": "edge_gap_thinned"}


def tables(records: Table) -> dict[str, list[Row]]:
    """Rows by the name of the table, in the order of COLUMNS; tables without a row are left out."""
    found, steps = _series(records)
    made = {
        "beliefs": [*_beliefs(found)],
        "contrasts": [*_contrasts(found)],
        "signals": [*_signals(found)],
        "free": [*_free(steps)],
        "edges": [*_edges(found)],
        "gaps": [*_gaps(records)],
    }
    return {name: rows for name, rows in made.items() if rows}


def _series(records: Table) -> tuple[Found, Found]:
    """Values by seed: at the last step of each network, and those of free statements at every step."""
    some = records.take(records.mask(study=("beliefs", "prompts")))
    columns = zip(*(some.column(name).tolist() for name in (*KEY, "seed", "step", "value")), strict=True)
    last: Found = {}
    every: Found = {}
    for *key, seed, step, value in columns:
        name = tuple(key)
        if name[3] == "free":
            every.setdefault((*name, str(step)), {})[seed] = step, value
        elif step >= last.setdefault(name, {}).get(seed, (-1, 0.0))[0]:
            last[name][seed] = step, value
    return last, every


def _values(one: Mapping[int, tuple[int, float]]) -> dict[int, float]:
    return {seed: value for seed, (_, value) in one.items()}


def _ends(values: Series) -> Row:
    """Mean, limits and number of seeds; the limits of one seed are empty."""
    from theory.intervals import t_interval

    said = t_interval([value for _, value in sorted(values.items())])
    limits = (_short(said.low), _short(said.high)) if said.n > 1 else ("", "")
    return _short(said.mean), *limits, said.n


def _short(value: float) -> float:
    return round(float(f"{value:.5g}"), 9) + 0.0  # no negative zero


def _less(one: Series, other: Series) -> dict[int, float]:
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def _beliefs(found: Found) -> Iterator[Row]:
    for (study, lab, run, arm, on, prompt, split, stratum, metric), one in found.items():
        if study == "beliefs" and stratum == "all":
            yield lab, run, arm, on, prompt, split, metric, *_ends(_values(one))


def _contrasts(found: Found) -> Iterator[Row]:
    whole = {
        (lab, run, split, metric, on): _values(one)
        for (study, lab, run, _, on, prompt, split, stratum, metric), one in found.items()
        if (study, prompt, stratum) == ("beliefs", "zero", "all")
    }
    for lab, run, split, metric in dict.fromkeys(key[:4] for key in whole):
        if metric.removesuffix(GREEDY) not in COMPARED:
            continue
        head = lab, run, split, metric
        for question, one, other in CONTRASTS:
            if metric in COMPARED and (*head, one) in whole and (*head, other) in whole:
                less = _less(whole[*head, one], whole[*head, other])
                if less:
                    yield lab, run, question, one, other, split, metric, *_ends(less)
        if metric.endswith(GREEDY):
            plain = metric.removesuffix(GREEDY)
            for on in (key[4] for key in whole if key[:4] == head):
                less = _less(whole[*head, on], whole.get((lab, run, split, plain, on), {}))
                if less:
                    yield lab, run, "greedy", f"{on} greedy", f"{on} sampled", split, plain, *_ends(less)


def _signals(found: Found) -> Iterator[Row]:
    """By signal, and by the labels of the probe as far as all seeds have had more; `probe` alone had all there were."""
    some = {key: one for key, one in found.items() if key[0] == "beliefs" and key[7].startswith("signal=")}
    seeds: dict[tuple[str, ...], int] = {}
    for (_, lab, run, *_, split, _, _), one in some.items():
        seeds[lab, run, split] = max(seeds.get((lab, run, split), 0), len(one))
    for (_, lab, run, _, _, _, split, stratum, metric), one in some.items():
        if "labels=" not in stratum or len(one) == seeds[lab, run, split]:
            yield lab, run, split, stratum.removeprefix("signal="), metric, *_ends(_values(one))


def _free(steps: Found) -> Iterator[Row]:
    """As recorded; the slack above the bound and above the sure floor; the share of seeds that lie above the bound, and
    that of seeds whose bound is above zero."""
    by_moment: dict[tuple[str, ...], dict[str, dict[int, float]]] = {}
    for (_, lab, run, _, on, _, _, _, metric, step), one in steps.items():
        by_moment.setdefault((lab, run, on, step), {})[metric] = _values(one)
    for (lab, run, on, step), said in by_moment.items():
        false, bound = said["hallucination"], said["hallucination_bound"]
        over = _less(false, bound)
        more = {
            **said,
            "above_bound": over,
            "above_floor": _less(false, said["hallucination_floor"]),
            "bound_held": {seed: float(value >= 0) for seed, value in over.items()},
            "bound_says_something": {seed: float(value > 0) for seed, value in bound.items()},
        }
        for metric, values in more.items():
            yield lab, run, on, int(step), metric, *_ends(values)


def _edges(found: Found) -> Iterator[Row]:
    """As recorded; what was counted less what K1 and K2 foretell; the share of seeds in which the prompt widened the
    gap, beside K2's chance of it."""
    counted: dict[tuple[str, ...], dict[str, dict[int, float]]] = {}
    for (study, lab, run, arm, on, prompt, split, stratum, metric), one in found.items():
        if (
            study == "prompts"
            and (split, stratum, arm) == ("test", "all", "all")
            and metric.startswith("edge_")
        ):
            counted.setdefault((lab, run, on, prompt), {})[metric] = _values(one)
    for (lab, run, on, prompt), said in counted.items():
        more = dict(said)
        if "edge_gap_prompted" in said:
            gap, after = said["edge_gap"], said["edge_gap_prompted"]
            more |= {name: _less(after, said[foretold]) for name, foretold in FORETOLD.items()}
            more["edge_gap_widened"] = {
                seed: float(value > 1e-9) for seed, value in _less(after, gap).items()
            }
        for metric, values in more.items():
            yield lab, run, on, prompt, metric, *_ends(values)


def _gaps(records: Table) -> Iterator[Row]:
    """Mean accuracies, and the gap paired by seed."""
    from synthetic.prompt_gaps import prompt_gaps

    for head, accuracies in prompt_gaps(records):
        known, unknown, _ = accuracies
        means = (_short(fmean(one.values())) if one else "" for one in accuracies)
        yield *head, *means, *_ends(_less(known, unknown))
