"""Text by the million lines without a loop: templates become tables of pieces, and pieces become tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synthetic.packing import Documents
from synthetic.vocabulary import BOS, EOS, Vocabulary
from theory.world import World

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Lines:
    """Lines as rows of pieces (n, columns), the document of each and its place there; `scored` pieces (n, columns)
    are to be predicted."""

    pieces: Ints
    document: Ints
    place: Ints
    scored: Flags

    def silent(self) -> Lines:
        """The same lines, with nothing to be predicted."""
        return replace(self, scored=np.zeros_like(self.scored))


class Lexicon:
    """Names of a world and phrases of templates, each a numbered piece of a few tokens; piece 0 has none."""

    def __init__(self, world: World, vocabulary: Vocabulary) -> None:
        spec = world.spec
        self._vocabulary = vocabulary
        self._pieces: list[list[int]] = [[]]
        self._phrases: dict[str, int] = {}
        self._subjects = self._add([world.subject_name(i) for i in range(spec.n_subjects)])
        self._relations = self._add([world.relation_name(i) for i in range(spec.n_relations)])
        self._answers = self._add([world.answer_name(i) for i in range(spec.n_answers)])

    def subject(self, number: NDArray[np.integer]) -> Ints:
        return np.asarray(number + np.int64(self._subjects))

    def relation(self, number: NDArray[np.integer]) -> Ints:
        return np.asarray(number + np.int64(self._relations))

    def answer(self, number: NDArray[np.integer]) -> Ints:
        return np.asarray(number + np.int64(self._answers))

    def phrase(self, text: str) -> int:
        if text not in self._phrases:
            self._phrases[text] = self._add([text])
        return self._phrases[text]

    def write(self, template: str, document: Ints, place: Ints | int, **slots: Ints) -> Lines:
        """A line for every document number: `template` with the pieces slots["s"] in the place of {s}, and so on."""
        columns: list[Ints] = []
        phrase: list[str] = []
        for word in [*template.split(), None]:
            if phrase and (word is None or word.startswith("{")):
                columns.append(np.full(len(document), self.phrase(" ".join(phrase)), np.int64))
                phrase = []
            if word is not None and word.startswith("{"):
                columns.append(slots[word[1:-1]])
            elif word is not None:
                phrase.append(word)
        pieces = np.stack(columns, axis=1)
        where = np.broadcast_to(np.asarray(place, np.int64), document.shape)
        return Lines(pieces, document, where, np.ones(pieces.shape, bool))

    def documents(self, lines: Sequence[Lines]) -> Documents:
        """Documents in the order of their numbers, lines in the order of their places, framed by begin and end."""
        numbers = np.unique(np.concatenate([some.document for some in lines]))
        first, last = (self.write(mark, numbers, place) for mark, place in ((BOS, -(2**40)), (EOS, 2**40)))
        every = [first.silent(), *lines, last]
        document = np.concatenate([some.document for some in every])
        order = np.lexsort((np.concatenate([some.place for some in every]), document))
        columns = max(some.pieces.shape[1] for some in every)
        pieces = np.zeros((len(document), columns), np.int64)
        scored = np.zeros(pieces.shape, bool)
        start = 0
        for some in every:
            block = slice(start, start + len(some.pieces)), slice(0, some.pieces.shape[1])
            pieces[block], scored[block] = some.pieces, some.scored
            start += len(some.pieces)

        lengths = np.array([len(piece) for piece in self._pieces], np.int64)
        flat = np.array([token for piece in self._pieces for token in piece], np.int64)
        pieces, scored = pieces[order].ravel(), scored[order].ravel()
        size = lengths[pieces]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        tokens = flat[np.repeat((np.cumsum(lengths) - lengths)[pieces], size) + within]
        of = np.repeat(np.searchsorted(numbers, document[order]), columns)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(of, weights=size, minlength=len(numbers)))])
        return Documents(tokens, np.repeat(scored, size), offsets.astype(np.int64))

    def _add(self, texts: Sequence[str]) -> int:
        first = len(self._pieces)
        self._pieces += self._vocabulary.encode_all(texts)
        return first
