"""A pocket model in one call: a world, its documents, a tiny Llama that reads them, a folder that anyone can open."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthetic.documents import write_documents
from synthetic.errors import SyntheticError
from synthetic.export import ORIGIN, check_free, load_model, save_model
from synthetic.model import LlamaSpec, Weights, initialise
from synthetic.probe import score_answers
from synthetic.prompts import Asked, ask
from synthetic.text_spec import TextSpec
from synthetic.train import train
from synthetic.train_spec import TrainSpec
from synthetic.vocabulary import Vocabulary
from theory.world import World, WorldSpec, make_world, spec_from_mapping

FORMAT = "nameblind-pocket"
QUESTIONS = "questions.jsonl"


@dataclass(frozen=True)
class PocketSpec:
    """What is told, in which words, to which network, and how that reads. `llama.vocabulary` follows from the world."""

    world: WorldSpec = field(
        default_factory=lambda: WorldSpec(subjects=150, never_seen=20, mean_exposure=30.0)
    )
    text: TextSpec = field(default_factory=TextSpec)
    llama: LlamaSpec = field(
        default_factory=lambda: LlamaSpec(vocabulary=4, hidden=384, embedding_std=0.05, weight_std=0.05)
    )
    train: TrainSpec = field(default_factory=TrainSpec)


@dataclass(frozen=True)
class Pocket:
    """A network and all that it was ever told. `scores` are greedy accuracies, `tokens` what it read."""

    weights: Weights
    llama: LlamaSpec
    vocabulary: Vocabulary
    world: World
    text: TextSpec
    scores: Mapping[str, float]
    tokens: int

    def asked(self, facts: Any, template: str | None = None) -> Asked:
        """Facts as questions in this pocket's words."""
        return ask(self.world, self.text, self.vocabulary, facts, template)


def make_pocket(
    out: str | Path,
    seed: int = 0,
    spec: PocketSpec | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Pocket:
    """Make a pocket model and write it to the folder `out`, whole or not at all. The seed decides world, documents,
    initial weights and order; `say` hears a line about each stage."""
    spec = spec or PocketSpec()
    check_free(out, overwrite)
    world = make_world(spec.world, seed)
    vocabulary = Vocabulary.of(world, spec.text)
    llama = replace(spec.llama, vocabulary=len(vocabulary))
    documents = write_documents(world, spec.text, vocabulary, seed)
    say(
        f"{len(documents):,} documents of {len(documents.tokens):,} tokens about {int(world.stated.sum()):,} facts"
    )
    say(f"a Llama of {llama.parameters:,} parameters reads them")
    how = replace(spec.train, seed=seed)
    trained = train(initialise(llama, seed), llama, documents, how, progress="reading" if progress else None)
    say(
        f"read {trained.tokens:,} tokens in {trained.seconds:.0f} s, last loss {trained.losses[-50:].mean():.3f}"
    )
    pocket = Pocket(trained.weights, llama, vocabulary, world, spec.text, {}, trained.tokens)
    pocket = replace(pocket, scores=_scores(pocket))
    origin = {
        "format": FORMAT,
        "seed": seed,
        "world": asdict(world.spec),
        "fingerprint": world.fingerprint,
        "text": asdict(spec.text),
        "train": asdict(how),
        "tokens": trained.tokens,
        "scores": pocket.scores,
    }
    beside = {QUESTIONS: questions(world, spec.text)}
    save_model(out, pocket.weights, llama, vocabulary, origin, overwrite=overwrite, beside=beside)
    return pocket


def questions(world: World, text: TextSpec) -> str:
    """Every fact of a seen subject as a line of JSON, in the words of pretraining, with how often it was told."""
    lines = []
    for fact in np.flatnonzero(world.seen[world.subject]).tolist():
        subject, relation, answer = world.triple(fact)
        row = {
            "id": f"fact-{fact}",
            "question": text.question.replace("{r}", relation).replace("{s}", subject),
            "answers": [answer],
            "subject": subject,
            "relation": relation,
            "popularity": int(world.exposure[fact]),
        }
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def load_pocket(folder: str | Path) -> Pocket:
    """A pocket model with its world, drawn again from the seed and held against the fingerprint."""
    weights, llama, vocabulary, origin = load_model(folder)
    path = Path(folder) / ORIGIN
    if origin.get("format") != FORMAT:
        raise SyntheticError(f"{path}: not made as a pocket model, so its world is unknown; make one first")
    try:
        world = make_world(spec_from_mapping(origin["world"], where=f"{path}: world"), origin["seed"])
        knobs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in origin["text"].items()}
        text = TextSpec(**knobs)
        scores, tokens, fingerprint = dict(origin["scores"]), int(origin["tokens"]), origin["fingerprint"]
    except (AttributeError, KeyError, TypeError) as problem:
        raise SyntheticError(f"{path}: damaged ({problem}); make the pocket model again") from None
    if world.fingerprint != fingerprint:
        raise SyntheticError(f"{path}: the world drawn from it is not the one that was told; it was edited")
    if Vocabulary.of(world, text) != vocabulary:
        raise SyntheticError(f"{path}: the words of the world are not those of the tokenizer; it was edited")
    return Pocket(weights, llama, vocabulary, world, text, scores, tokens)


def _scores(pocket: Pocket) -> dict[str, float]:
    """Greedy accuracy on stated facts as questions and in each template, and on facts that were withheld."""
    told = np.flatnonzero(pocket.world.stated)
    withheld = np.flatnonzero(~pocket.world.stated & pocket.world.seen[pocket.world.subject])
    groups = {"questions": pocket.asked(told)}
    for i, template in enumerate(pocket.text.templates):
        words, _, rest = template.partition("{a}")
        if (
            "{s}" in words and "{r}" in words and rest.split() == [pocket.text.end]
        ):  # else it asks for something else
            groups[f"statements {i + 1}"] = pocket.asked(told, words)
    if len(withheld):
        groups["never stated"] = pocket.asked(withheld)
    prefix = [pocket.vocabulary.bos]
    return {
        name: round(float(score_answers(pocket.weights, pocket.llama, asked, prefix=prefix).greedy.mean()), 4)
        for name, asked in groups.items()
    }
