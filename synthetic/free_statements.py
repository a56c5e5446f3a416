"""How often a network says something false unasked, against the share of facts that it has read once.

Small worlds of their own, told in single statements and read many times over: their facts are mentioned as chance has
it, some never, many once. What the network says first after the begin is a distribution over all statements, which is
computed whole and not sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from synthetic.documents import write_documents
from synthetic.generate import padded
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec, Weights, hidden_states, initialise, logits
from synthetic.packing import Documents
from synthetic.score import Stamp
from synthetic.setup import Setup
from synthetic.text_spec import TextSpec
from synthetic.train import train
from synthetic.train_spec import TrainSpec
from synthetic.vocabulary import Vocabulary
from theory.goodturing import (
    Statements,
    calibrated_floor,
    expected_calibration_error,
    kalai_vempala_bound,
    miscalibration,
    missing_mass,
    monofact_share,
)
from theory.records import Record
from theory.world import World, WorldSpec, make_world

Array = NDArray[np.float64]
MENTIONS = (1.5, 5.0)  # of a fact on average
TOKENS = 100_000  # that each network reads in all
LOOKS = (0.2, 0.35, 0.6, 1.0)  # shares of the steps after which it is looked at
RATE, BATCH, ROOM = 6e-3, 4, 64
BINS = 20  # of equal probability, for miscalibration
ARM, SPLIT = "free", "free"


@dataclass(frozen=True)
class Telling:
    """A world whose facts are all statable, its statements, and what comes before an answer in each."""

    world: World
    vocabulary: Vocabulary
    documents: Documents
    openings: tuple[tuple[int, ...], ...]  # (facts,)
    answers: NDArray[np.int64]  # (facts, answers) tokens of all that could be said
    right: NDArray[np.bool_]  # (facts, answers)


def telling(mentions: float, seed: int) -> Telling:
    spec = WorldSpec(
        types=1,
        subjects=150,
        never_seen=0,
        relations=4,
        derived=0,
        answers=16,
        unseen=0.0,
        at_least_once=False,
        mean_exposure=mentions,
        subject_words=(1,),
        answer_words=(1,),
    )
    world = make_world(spec, seed)
    text = TextSpec(
        statements=1.0,
        lists=0.0,
        biographies=0.0,
        questions=0.0,
        thoughts=0.0,
        verifications=0.0,
        links=0.0,
        together=(1, 1, 1, 1),
        templates=("the {r} of {s} is {a} .",),
    )
    vocabulary = Vocabulary.of(world, text)
    before = text.templates[0].split("{a}")[0]
    openings, answers, right = [], [], []
    for fact in range(len(world)):
        s, r, _ = world.triple(fact)
        pool = world.pool(int(world.relation[fact]))
        openings.append((vocabulary.bos, *vocabulary.encode(before.replace("{s}", s).replace("{r}", r))))
        answers.append([vocabulary.ids[world.answer_name(a)] for a in pool])
        right.append([a == world.answer[fact] for a in pool])
    documents = write_documents(world, text, vocabulary, seed)
    return Telling(world, vocabulary, documents, tuple(openings), np.array(answers), np.array(right))


def chances(told: Telling, weights: Weights, spec: LlamaSpec) -> tuple[Array, Array]:
    """Of each fact (facts,) the chance that its question is what the network begins to state, and of each answer then
    (facts, answers)."""
    tokens, lengths = padded(told.openings)
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    with one_thread(), torch.inference_mode():
        states = hidden_states(weights, spec, tokens, positions)
        heard = logits(weights, states).double().log_softmax(-1)
    said = heard[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
    said = said.masked_fill(torch.arange(1, tokens.shape[1]) >= lengths[:, None], 0.0).sum(1)
    last = heard[torch.arange(len(tokens)), lengths - 1]
    return said.exp().numpy(), last.gather(-1, torch.from_numpy(told.answers)).exp().numpy()


def sweep(setup: Setup, seed: int) -> Iterator[Record]:
    """Records of one network for each density of mentions, at several moments of its training."""
    for mentions in MENTIONS:
        stamp = Stamp(setup.lab, "beliefs", "-", seed, ARM, 0, f"statements:{mentions:g}")
        yield from trained(telling(mentions, seed), stamp)


def trained(told: Telling, stamp: Stamp) -> list[Record]:
    """What a network of its own says while it learns, from start to end."""
    size = len(told.vocabulary)
    spec = LlamaSpec(
        size, width=48, layers=2, heads=2, kv_heads=2, hidden=96, embedding_std=0.1, weight_std=0.1
    )
    steps = round(TOKENS / (BATCH * ROOM))
    how = TrainSpec(rate=RATE, batch=BATCH, room=ROOM, steps=steps, seed=stamp.seed)
    found: list[Record] = []

    def look(step: int, weights: Weights) -> None:
        found.extend(looked(told, replace(stamp, step=step), *chances(told, weights, spec)))

    at = {max(1, round(share * steps)) for share in LOOKS}
    train(initialise(spec, stamp.seed), spec, told.documents, how, at=at, watch=look)
    return found


def looked(told: Telling, stamp: Stamp, question: Array, answer: Array) -> Iterator[Record]:
    """Of the chances of all questions and answers: what is false among all that is well-formed, and what bounds it."""
    world, n = told.world, int(told.world.exposure.sum())
    joint = question[:, None] * answer
    formed = float(joint.sum())
    truth = np.where(told.right, (world.rate / world.rate.sum())[:, None], 0.0)
    stated = told.right & world.stated[:, None]
    said = Statements(
        (joint / formed).ravel(),
        np.ones(joint.size),
        told.right.ravel().astype(np.float64),
        truth.ravel(),
        stated.ravel(),
    )
    off, single = miscalibration(said, BINS), float(monofact_share(world.exposure))
    values = {
        "singleton_share": single,
        "missing_mass": float(missing_mass(world.exposure, world.rate / world.rate.sum())),
        "hallucination": said.hallucination,
        "miscalibration": off,
        "answer_calibration_error": expected_calibration_error(answer, told.right, weight=joint / formed),
        "hallucination_floor": calibrated_floor(said, BINS),
        "hallucination_bound": float(
            kalai_vempala_bound(single, off, len(world), joint.size - len(world), n)
        ),
        "hallucination_bound_bare": single - off,
        "well_formed": formed,
    }
    for metric, value in values.items():
        yield stamp.record(SPLIT, "all", metric, value, n)
