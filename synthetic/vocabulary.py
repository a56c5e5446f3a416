"""Words and their numbers: one token a word, words parted by single spaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from synthetic.errors import SyntheticError

if TYPE_CHECKING:
    from synthetic.text_spec import TextSpec
    from theory.world import World

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
SPECIAL = (PAD, BOS, EOS, UNKNOWN)


@dataclass(frozen=True)
class Vocabulary:
    """`words[i]` is token i; the first four are padding, begin, end and unknown."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.words[:4] != SPECIAL:
            raise SyntheticError(
                f"Vocabulary: expected it to begin with {' '.join(SPECIAL)}, got {self.words[:4]}"
            )
        if len(self.ids) != len(self.words):
            twice = next(word for i, word in enumerate(self.words) if word in self.words[:i])
            raise SyntheticError(f"Vocabulary: {twice!r} is there twice")
        for word in self.words:
            if not word or word.split() != [word]:
                raise SyntheticError(f"Vocabulary: {word!r} is not a word; words have no spaces")

    @classmethod
    def of(cls, world: World, text: TextSpec) -> Vocabulary:
        """Every word that documents about `world` can hold.

        >>> from synthetic import TextSpec
        >>> from theory import WorldSpec, make_world
        >>> vocabulary = Vocabulary.of(make_world(WorldSpec(subjects=20), seed=0), TextSpec())
        >>> vocabulary.decode(vocabulary.encode("yes no"))
        'yes no'
        """
        names, frame = world.words(), text.words()
        if both := sorted(set(names) & set(frame)):
            raise SyntheticError(
                f"Vocabulary: {both[0]!r} is a name of the world and a word of a template; change it"
            )
        return cls((*SPECIAL, *frame, *names))

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    @property
    def pad(self) -> int:
        return 0

    @property
    def bos(self) -> int:
        return 1

    @property
    def eos(self) -> int:
        return 2

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; a word that is not in the vocabulary is an error."""
        try:
            return [self.ids[word] for word in text.split()]
        except KeyError as missing:
            raise SyntheticError(
                f"the word {missing.args[0]!r} of {text!r} is not in the vocabulary"
            ) from None

    def decode(self, tokens: Iterable[int]) -> str:
        return " ".join(self.words[token] for token in tokens)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]
