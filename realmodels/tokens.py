"""Text to token ids and back, the same for every tokenizer: what begins a text, what ends an answer, what pads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from realmodels.errors import RealmodelsError

ANCHOR = "A:"  # an answer's ids are those that it has behind this text
_SPACES = ("Ġ", "▁", " ")  # how they write a space before a word
_END_MARKS = ("Ċ", "č", "\n", "\r", "<0x0A>", "<0x0D>")  # how vocabularies write a line break


class Tokens:
    """A tokenizer. `bos` is what it puts before a text; `pad` is a token that is never read; `vocabulary` is how many
    tokens the model knows."""

    def __init__(self, tokenizer: Any, vocabulary: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary or len(tokenizer)
        self.eos = _eos(tokenizer)
        self.bos = _bos(tokenizer)
        self.pad = _pad(tokenizer, self.eos, self.vocabulary)
        self.stops = lru_cache(maxsize=8)(self._stops)
        self.answer_ids = lru_cache(maxsize=1 << 16)(self._answer_ids)

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a whole prompt, with what begins a text."""
        return self.bos + self._ids(text)

    def prompts_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """`prompt_ids` of many texts at once."""
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)[
            "input_ids"
        ]
        return [self.bos + tuple(ids) for ids in found]

    def _answer_ids(self, text: str) -> tuple[int, ...]:
        """The ids that `text` adds to a prompt; they depend on `text` alone and are never re-tokenised with it."""
        whole = self._ids(ANCHOR + text)
        if whole[: len(self._anchor)] == self._anchor:
            ids = whole[len(self._anchor) :]
        else:
            ids = self._ids(text)
        if not ids:
            raise RealmodelsError(
                f"answer {text[:60]!r}: has no token in this model's vocabulary; drop the row"
            )
        return ids

    def text(self, ids: Iterable[int]) -> str:
        """What the ids say behind a prompt, with its leading space."""
        whole = self.tokenizer.decode(
            [*self._anchor, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(whole[len(self._anchor_text) :])

    def _stops(self, end: str = "\n") -> tuple[int, ...]:
        """Every token that begins with `end` (white space before it does not count), and the end of the text. An end
        that is no line break stands behind a space in prompts: where there are tokens for that, they alone end an
        answer, so that "D.C." is read to its end."""
        vocab = self.tokenizer.get_vocab()
        if end == "\n":
            maybe = [i for word, i in vocab.items() if any(mark in word for mark in _END_MARKS)]
        else:
            maybe = [i for word, i in vocab.items() if end in word]
        special = set(self.tokenizer.all_special_ids)
        said = {
            i: self.tokenizer.decode([i], clean_up_tokenization_spaces=False)
            for i in maybe
            if i not in special
        }
        found = {i for i, word in said.items() if word.lstrip(" \t\r").startswith(end)}
        if end != "\n":
            found = {i for word, i in vocab.items() if i in found and word.startswith(_SPACES)} or found
        if self.eos is not None:
            found.add(self.eos)
        if not found:
            raise RealmodelsError(
                f"tokenizer: no token begins with {end!r} and there is no end-of-text token, so no answer can end; "
                "choose another style"
            )
        return tuple(sorted(i for i in found if i < self.vocabulary))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, return_attention_mask=False)["input_ids"])

    @cached_property
    def _anchor(self) -> tuple[int, ...]:
        return self._ids(ANCHOR)

    @cached_property
    def _anchor_text(self) -> str:
        return str(
            self.tokenizer.decode(
                list(self._anchor), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


def _bos(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer itself puts before a text: asked, not read off its settings."""
    bare, full = (list(tokenizer("a b", add_special_tokens=add)["input_ids"]) for add in (False, True))
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    raise RealmodelsError(
        "tokenizer: its special tokens change the text between them; expected them around it"
    )


def _eos(tokenizer: Any) -> int | None:
    found = tokenizer.eos_token_id
    return found if found is None or isinstance(found, int) else int(found[0])


def _pad(tokenizer: Any, eos: int | None, vocabulary: int) -> int:
    """A token to fill rows with; masks hide it, so any will do that is not the end of the text by accident."""
    for name in ("pad_token_id", "unk_token_id", "bos_token_id"):
        found = getattr(tokenizer, name, None)
        if found is not None and found != eos and found < vocabulary:
            return int(found)
    return 0 if eos != 0 else 1
