"""Does the untuned network believe what it writes? One signal a function. Each puts all claims to the network in one
padded pass, BATCH rows at a time; what several claims begin with is read in one pass of its own before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthetic.base import Base
from synthetic.biographies import MALFORMED, Script, Texts
from synthetic.generate import padded
from synthetic.knowledge import sentences
from synthetic.machine import one_thread
from synthetic.model import hidden_states, logits
from synthetic.prefixed import read_all, room_after
from synthetic.prompts import few_shot
from synthetic.split import split

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
BATCH = 512


@dataclass(frozen=True, eq=False)
class Claims:
    """The well-formed claims of texts, each once: n triples of subject, relation and answer."""

    base: Base
    texts: Texts

    @cached_property
    def well(self) -> NDArray[np.bool_]:
        """(claims of the texts,)"""
        return np.asarray(self.texts.relation != MALFORMED)

    @cached_property
    def _unique(self) -> tuple[Ints, Ints]:
        texts = self.texts.keep(self.well)
        triples = np.stack([texts.about, texts.relation, texts.answer], axis=1)
        found, of = np.unique(triples.reshape(-1, 3), axis=0, return_inverse=True)
        return found, of.ravel()

    @property
    def triples(self) -> Ints:
        """(n, 3)"""
        return self._unique[0]

    def spread(self, values: Array) -> Array:
        """Values of the triples (n,) for the claims of the texts; 0, no belief, where there is no claim."""
        found = np.zeros(len(self.well))
        found[self.well] = values[self._unique[1]]
        return found

    def distinct(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the claims of the texts for the triples (n,)."""
        found = np.zeros(len(self.triples), values.dtype)
        found[self._unique[1]] = values[self.well]
        return found

    def put(self, template: str, triples: Ints) -> list[tuple[int, ...]]:
        """Each triple in the words of a template."""
        names, ids = self.base.names, self.base.vocabulary.ids
        slots = {"{s}": (names.subjects, 0), "{r}": (names.relations, 1), "{a}": (names.answers, 2)}
        rows = triples.tolist()
        pieces = []
        for word in template.split():
            if word in slots:
                named, column = slots[word]
                pieces.append([named[row[column]] for row in rows])
            else:
                pieces.append([(ids[word],)] * len(rows))
        return [tuple(token for piece in row for token in piece) for row in zip(*pieces, strict=True)]


def statement(claims: Claims) -> Array:
    """Chance of answer and end after each plain sentence of pretraining, mean over the sentences."""
    told = sentences(claims.base.setup.text)
    prompts = [words for sentence in told for words in claims.put(sentence, claims.triples)]
    chance = _answer_chance(claims, prompts, np.tile(claims.triples, (len(told), 1)))
    return claims.spread(chance.reshape(len(told), -1).mean(axis=0))


def question(claims: Claims) -> Array:
    """Chance of answer and end after the question of pretraining and a few answered ones on the same relation."""
    base, setup, triples = claims.base, claims.base.setup, claims.triples
    shown = few_shot(
        base.world,
        setup.text,
        base.vocabulary,
        split(base).shots,
        prompts=1,
        shots=setup.shots,
        seed=base.seed,
    )
    exemplars = [first[0] if first else () for first in shown]
    asked = np.array([bool(some) for some in exemplars])[triples[:, 1]]
    chance, prompts = np.zeros(len(triples)), claims.put(setup.text.question, triples[asked])
    if prompts:
        used, of = np.unique(triples[asked, 1], return_inverse=True)
        chance[asked] = _answer_chance(claims, prompts, triples[asked], [exemplars[r] for r in used], of)
    return claims.spread(chance)


def _answer_chance(
    claims: Claims,
    prompts: Sequence[Sequence[int]],
    triples: Ints,
    prefixes: Sequence[Sequence[int]] = (),
    after: Ints | None = None,
) -> Array:
    """(n,) of answer and end after each prompt, which follows prefix after[i] or stands alone."""
    names, end = claims.base.names.answers, claims.base.vocabulary.ids[claims.base.setup.text.end]
    whole = [(*prompt, *names[a], end) for prompt, a in zip(prompts, triples[:, 2].tolist(), strict=True)]
    first = np.array([len(prompt) for prompt in prompts])
    last = np.array([len(words) for words in whole])
    prefixes = prefixes or [[claims.base.vocabulary.bos]]
    return np.asarray(np.exp(log_chance_of(claims.base, whole, first, last, prefixes, after)))


def verification(claims: Claims) -> Array:
    """P(yes) / (P(yes) + P(no)) after the claim."""
    base, ids = claims.base, claims.base.vocabulary.ids
    told = claims.put(base.setup.text.claim, claims.triples)
    states = _states(claims, told, [[len(words)] for words in told])[:, -1, 0]
    heard = logits(base.weights, states).double().numpy()
    yes, no = heard[:, ids["yes"]], heard[:, ids["no"]]
    return claims.spread(1 / (1 + np.exp(no - yes)))


def token(claims: Claims, script: Script) -> Array:
    """Chance of the answer and the rest of its line where it stands in its text, malformed lines left out."""
    texts = claims.texts
    whole, heads = script.sequences(texts)
    used = list(heads)
    first, last = np.zeros(len(texts.of), np.int64), np.zeros(len(texts.of), np.int64)
    pairs = zip(texts.of.tolist(), texts.relation.tolist(), texts.answer.tolist(), strict=True)
    for i, (text, relation, answer) in enumerate(pairs):
        if relation != MALFORMED:
            first[i] = used[text] + script.answer_from(relation, answer)
            used[text] += len(script.line[relation, answer])
            last[i] = used[text]
    well, found = claims.well, np.zeros(len(texts.of))
    found[well] = np.exp(log_chance_of(claims.base, whole, first[well], last[well], of=texts.of[well]))
    return found


def log_chance_of(
    base: Base,
    whole: Sequence[Sequence[int]],
    first: Ints,
    last: Ints,
    prefixes: Sequence[Sequence[int]] = (),
    after: Ints | None = None,
    of: Ints | None = None,
) -> Array:
    """(n,) log-probability of the tokens from `first` to before `last` of sequences; span i is in sequence of[i], or in
    sequence i. Sequence j follows prefix after[j], or the first one, or nothing if there is none."""
    after = np.zeros(len(whole), np.int64) if after is None else after
    of = np.arange(len(whole)) if of is None else of
    size = last - first
    span = np.repeat(np.arange(len(of)), size)
    place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + first[span]
    said = np.empty(len(span))
    tokens, lengths = padded(whole)
    rank = np.empty(len(whole), np.int64)
    order = np.argsort(lengths.numpy(), kind="stable")
    rank[order] = np.arange(len(whole))
    batch, row = np.divmod(rank[of[span]], BATCH)
    with one_thread(), torch.inference_mode():
        read = read_all(base.weights, base.spec, prefixes) if prefixes else None
        for i in np.unique(batch).tolist():
            here = np.flatnonzero(batch == i)
            some = order[i * BATCH : (i + 1) * BATCH]
            part = tokens[some, : int(lengths[some].max())]
            cache, positions = None, torch.arange(part.shape[1]).expand_as(part)
            if read is not None:
                cache, positions = room_after(*read, torch.from_numpy(after[some]), part.shape[1], 0)
            states = hidden_states(base.weights, base.spec, part, positions, cache=cache)
            rows, at = torch.from_numpy(row[here]), torch.from_numpy(place[here])
            heard = logits(base.weights, states[rows, at - 1]).log_softmax(-1)
            said[here] = heard.gather(-1, part[rows, at, None])[:, 0].double().numpy()
    return np.asarray(np.bincount(span, weights=said, minlength=len(of)), np.float64)


def consistency(claims: Claims, draws: int) -> Array:
    """Share of the other texts about the subject, `draws` side by side each, that claim the same."""
    texts = claims.texts
    key = np.unique(
        np.stack([texts.of, texts.relation, texts.answer], axis=1)[claims.well], axis=0, return_inverse=True
    )
    once, of = key[0], key[1].ravel()
    same = np.column_stack([once[:, 0] // draws, once[:, 1:]])
    _, group, count = np.unique(same, axis=0, return_inverse=True, return_counts=True)
    share = (count[group.ravel()] - 1) / max(draws - 1, 1)
    found = np.zeros(len(claims.well))
    found[claims.well] = share[of]
    return found


def states_of(claims: Claims) -> Array:
    """(n, features) of each triple: what every layer holds at the last word of the claim, put as a plain sentence,
    and at the word before its answer."""
    words = sentences(claims.base.setup.text)[0]
    told = claims.put(f"{words} {{a}} {claims.base.setup.text.end}", claims.triples)
    before = [len(words) for words in claims.put(words, claims.triples)]
    found = _states(claims, told, [[first, len(words)] for first, words in zip(before, told, strict=True)])
    return np.asarray(found.flatten(1).double().numpy())


def _states(claims: Claims, told: Sequence[Sequence[int]], take: Sequence[Sequence[int]]) -> torch.Tensor:
    """(n, layers, places, width) what every layer holds of texts after the begin, where it has read take[i] tokens."""
    base = claims.base
    tokens, _ = padded([(base.vocabulary.bos, *words) for words in told])
    places, found = torch.tensor(take), []
    with one_thread(), torch.inference_mode():
        for first in range(0, len(tokens), BATCH):
            some, layers = tokens[first : first + BATCH], list[torch.Tensor]()
            positions = torch.arange(some.shape[1]).expand_as(some)
            hidden_states(
                base.weights, base.spec, some, positions, take=places[first : first + BATCH], layers=layers
            )
            found.append(torch.stack(layers, dim=1))
    return torch.cat(found)
