"""How the gentle rung was chosen: rates, epochs and the share of thoughts in the text, on tuning seeds, by what is left
to prompts and never by a gap between known and unknown rows.

    python tests/hardening/tuning_grid.py OUTPUT.csv [--profile full] [--seeds 0 1 2] [--thoughts 0.03]

A line a seed and setting: what is answered after four exemplars before and after tuning on known rows, the untuned
chain of thought, how much dev accuracy rises over the last quarter of the steps after known and after unknown rows, and
the least that the better of both answers in any quarter of similarity. A tuning of fewer epochs is the longest one,
looked at earlier: the rate is constant but for a short rise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from synthetic.contrast import CONTRAST
from synthetic.finetune import finetune, steps_of, tuning
from synthetic.prompt_hall import Hall, Hits, look, make_hall
from synthetic.score import exam, sit
from synthetic.setup import Setup, setup_for
from synthetic.split import split, stated
from tests.hardening import grids

RATES, EPOCHS = (1e-3, 3e-4), (5, 10, 20)
SEEN = ("zero", "few:4")


def with_thoughts(setup: Setup, share: float) -> Setup:
    """So many thoughts in the text, at the cost of plain statements."""
    text = setup.text
    return replace(
        setup, text=replace(text, thoughts=share, statements=text.statements + text.thoughts - share)
    )


def settings(setup: Setup, seed: int) -> Iterator[dict[str, Any]]:
    """What every tuning of one base leaves."""
    hall = make_hall(setup, seed, None)
    before = {
        name: float(hits[hall.near].mean())
        for name, hits in look(hall, hall.base.weights, ("few:4", "cot")).items()
    }
    for rate in RATES:
        tuned = {
            name: _tuned(hall, name, replace(setup, tune=replace(setup.tune, rate=rate))) for name in CONTRAST
        }
        for epochs in EPOCHS:
            ends = {name: tuned[name][0][epochs] for name in CONTRAST}
            quarters = [hall.graded.labels["similarity"] == str(i) for i in range(1, 5)]
            best = [
                max(float(ends[name]["zero"][quarter].mean()) for name in CONTRAST) for quarter in quarters
            ]
            yield {
                "thoughts": setup.text.thoughts,
                "seed": seed,
                "rate": rate,
                "epochs": epochs,
                "untuned_few": before["few:4"],
                "known_few": float(ends["known"]["few:4"][hall.near].mean()),
                "untuned_cot": before["cot"],
                **{f"rise_{name}": tuned[name][1][epochs] for name in CONTRAST},
                "least_quarter": min(best),
            }


def _tuned(hall: Hall, name: str, setup: Setup) -> tuple[dict[int, Hits], dict[int, float]]:
    """By epochs: the answers, and the rise of dev accuracy over the last quarter of the steps."""
    base = hall.base
    dev = exam(base, "dev", stated(base, split(base).dev))
    how = replace(tuning(setup, "all", base.seed), epochs=max(EPOCHS))
    last = steps_of(base, hall.rows[name], how)
    ends = {epochs: round(last * epochs / max(EPOCHS)) for epochs in EPOCHS}
    early = {epochs: round(last * 0.75 * epochs / max(EPOCHS)) for epochs in EPOCHS}
    hits: dict[int, Hits] = {}
    right: dict[int, float] = {}

    def watch(step: int, weights: Mapping[str, Tensor]) -> None:
        plain = {name: tensor.detach() for name, tensor in weights.items()}
        right[step] = float(sit(dev, base, plain).mean())
        if step in ends.values():
            hits[step] = look(hall, plain, SEEN)

    finetune(base, hall.rows[name], how=how, at=sorted({*ends.values(), *early.values()}), watch=watch)
    return {e: hits[ends[e]] for e in EPOCHS}, {e: right[ends[e]] - right[early[e]] for e in EPOCHS}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--profile", default="full")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--thoughts", type=float, nargs="+", default=[0.03])
    asked = parser.parse_args(arguments)
    setups = (with_thoughts(replace(setup_for(asked.profile), brief=True), share) for share in asked.thoughts)
    grids.write(
        asked.output, (row for setup in setups for seed in asked.seeds for row in settings(setup, seed))
    )


if __name__ == "__main__":
    main()
