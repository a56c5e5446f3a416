"""What a pocket model knows of each fact of its world: SliCK's categories beside exposure and popularity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthetic.errors import SyntheticError
from synthetic.lexicon import Ints
from synthetic.pocket import Pocket
from synthetic.probe import Answered, probe
from synthetic.prompts import few_shot
from theory.slick import Category, by_detection, detection
from theory.world import World


@dataclass(frozen=True)
class Known:
    """Of each probed fact (n,): its category, and what it was judged by (n, prompts)."""

    facts: Ints
    category: NDArray[np.int8]
    answered: Answered

    def describe(self, world: World) -> str:
        """Facts, mean exposure, share never stated and mean chance of a right draw, a category a line."""
        lines = ["category      facts   share  exposure  never stated  right draws"]
        for category in reversed(Category):
            some = self.category == category
            if not some.any():
                lines.append(f"{category.name:<12} {0:>6}  {0:>6.1%}")
                continue
            exposure = world.exposure[self.facts[some]]
            lines.append(
                f"{category.name:<12} {some.sum():>6}  {some.mean():>6.1%}  {exposure.mean():>8.1f}  "
                f"{(exposure == 0).mean():>12.1%}  {self.answered.sampled[some].mean():>11.1%}"
            )
        return "\n".join(lines)


def know(
    pocket: Pocket, *, prompts: int = 10, shots: int = 4, seed: int = 0, progress: str | None = None
) -> Known:
    """Probe every fact of every subject that was ever spoken of, but for those that the prompts show."""
    if prompts < 1 or shots < 1:
        raise SyntheticError(f"{prompts} prompts of {shots} shots; give at least 1 of each")
    world = pocket.world
    shown = _examples(world, 2 * shots, seed)
    facts = np.setdiff1d(np.flatnonzero(world.seen[world.subject]), shown)
    if not len(facts):
        raise SyntheticError(
            f"the prompts show all {len(shown)} facts and leave none to probe; use fewer shots"
        )
    examples = few_shot(world, pocket.text, pocket.vocabulary, shown, prompts=prompts, shots=shots, seed=seed)
    answered = probe(pocket.weights, pocket.llama, pocket.asked(facts), examples, progress=progress)
    return Known(facts, by_detection(answered.greedy, answered.sampled), answered)


def fact_rows(pocket: Pocket, known: Known) -> Iterator[dict[str, Any]]:
    """Each probed fact in words, with its exposure, probabilities and category."""
    world, answered = pocket.world, known.answered
    chance = detection(answered.sampled)
    for i, fact in enumerate(known.facts.tolist()):
        subject, relation, answer = world.triple(fact)
        yield {
            "fact": fact,
            "subject": subject,
            "relation": relation,
            "answer": answer,
            "exposure": int(world.exposure[fact]),
            "category": Category(known.category[i]).name,
            "p_greedy": float(answered.greedy[i].mean()),
            "p_sampled": float(answered.sampled[i].mean()),
            "detection": float(chance[i]),
            "log_likelihood": float(answered.log_likelihood[i].mean()),
        }


def _examples(world: World, each: int, seed: int) -> Ints:
    """Some stated facts of every relation to show in prompts, drawn without regard to how often they are stated."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xE4]))
    chosen: list[Ints] = []
    for relation in range(world.spec.n_relations):
        stated = world.facts_about(relation, stated_only=True)
        if len(stated) < each:
            raise SyntheticError(
                f"relation {relation} has {len(stated)} stated facts; the prompts need {each}"
            )
        chosen.append(rng.choice(stated, each, replace=False))
    return np.concatenate(chosen)
