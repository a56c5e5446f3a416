"""What a world is made of: the knobs, what they may be, and the laws that follow from them alone."""

from __future__ import annotations

import difflib
import json
import math
import operator
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from theory.errors import TheoryError

Array = NDArray[np.float64]
PopularityShape = Literal["zipf", "two-level", "log-normal"]

MAX_FACTS = 100_000_000


@dataclass(frozen=True)
class WorldSpec:
    """The knobs of a world. Together with a seed they fix every fact, exposure and name."""

    types: int = 2  # subject types; each has its own subjects, relations and answers
    subjects: int = 300  # subjects per type that may have stated facts
    never_seen: int = 40  # further subjects per type, with facts but none of them stated
    relations: int = 8  # relations per type, the derived ones included
    derived: int = 1  # relations per type whose answer is a fixed function of another relation's answer
    answers: int = 24  # answers per relation; no two relations share one
    derived_answers: int = 6  # answers per derived relation
    prior_exponent: float = 1.0  # the k-th likeliest answer of a relation has weight k ** -prior_exponent
    dominant: int = 0  # relations per type in which one answer holds dominant_share (never a derived one)
    dominant_share: float = 0.6
    popularity: PopularityShape = "zipf"  # how mentions spread over the subjects of a type
    zipf_exponent: float = 1.0  # zipf: weight (rank + zipf_offset) ** -zipf_exponent
    zipf_offset: float = 15.0  # zipf: flattens the head; 0 is the pure law
    level_ratio: float = 50.0  # two-level: the more popular half is mentioned this many times more often
    popularity_sigma: float = 1.0  # log-normal: spread of log popularity
    relation_sigma: float = 0.5  # spread of the log weight of relations
    fact_sigma: float = 0.7  # spread of the log noise of single facts
    mean_exposure: float = 50.0  # expected mentions of a fact that is not withheld
    unseen: float = 0.15  # share of the facts of seen subjects that are withheld: never stated
    derived_unseen: float | None = None  # the same for derived facts; None: as `unseen`
    unseen_tilt: float = 0.0  # log-odds of being withheld: least minus most popular subject
    at_least_once: bool = True  # facts not withheld are stated; False: chance may also miss them
    copy_share: float = 0.0  # share of facts whose answer repeats a word of the subject's name
    subject_words: tuple[int, ...] = (1, 2, 3)  # word counts that subject names take in turn
    answer_words: tuple[int, ...] = (1, 2)  # word counts that answer names take in turn
    word_reuse: int = 4  # names that share a word, for names of two or three words; 1: no word is shared

    def __post_init__(self) -> None:
        for name, span in _INTEGERS.items():
            object.__setattr__(self, name, _integer(name, getattr(self, name), span))
        for name, span in _REALS.items():
            if name != "derived_unseen" or self.derived_unseen is not None:
                object.__setattr__(self, name, _real(name, getattr(self, name), span))
        for name in ("subject_words", "answer_words"):
            object.__setattr__(self, name, _word_counts(name, getattr(self, name)))
        if self.popularity not in get_args(PopularityShape):
            shapes = ", ".join(map(repr, get_args(PopularityShape)))
            raise _refuse("popularity", f"one of {shapes}", self.popularity)
        if not isinstance(self.at_least_once, bool):
            raise _refuse("at_least_once", "true or false", self.at_least_once)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.derived >= self.relations:
            raise _refuse("derived", f"fewer than relations = {self.relations}", self.derived)
        if self.derived and self.derived_answers > self.answers:
            wanted = f"at most answers = {self.answers}, which it is a function of"
            raise _refuse("derived_answers", wanted, self.derived_answers)
        if self.dominant > self.plain:
            wanted = f"at most relations - derived = {self.plain}"
            raise _refuse("dominant", wanted, self.dominant)
        if self.dominant and self.dominant_share <= (
            top := float(_zipf(self.answers, self.prior_exponent)[0])
        ):
            wanted = f"more than {top:.4g}, which the prior gives its likeliest answer already"
            raise _refuse("dominant_share", wanted, self.dominant_share)
        if self.at_least_once and self.mean_exposure <= 1:
            wanted = "more than 1 when every fact not withheld is stated at least once"
            raise _refuse("mean_exposure", wanted, self.mean_exposure)
        if self.copy_share * self.relations > 1:
            wanted = f"at most 1 / relations = {1 / self.relations:.4g}, one fact a subject"
            raise _refuse("copy_share", wanted, self.copy_share)
        if self.n_facts > MAX_FACTS:
            raise _refuse("subjects", f"a world of at most {MAX_FACTS:,} facts", f"one of {self.n_facts:,}")
        if self.n_answers > MAX_FACTS:
            raise _refuse(
                "answers", f"a world of at most {MAX_FACTS:,} answers", f"one of {self.n_answers:,}"
            )
        per_type = (1 - self.unseen) * self.plain + (1 - self.derived_share_unseen) * self.derived
        if (kept := per_type * self.types * self.subjects) < 1:
            wanted = (
                f"a share that leaves a fact stated (it leaves {kept:.2g} of {self.n_seen * self.relations})"
            )
            raise _refuse("unseen", wanted, self.unseen)

    @property
    def plain(self) -> int:
        """Relations per type that are not derived."""
        return self.relations - self.derived

    @property
    def derived_share_unseen(self) -> float:
        return self.unseen if self.derived_unseen is None else self.derived_unseen

    @property
    def n_seen(self) -> int:
        """Subjects that may have stated facts, over all types; they have the first numbers."""
        return self.types * self.subjects

    @property
    def n_subjects(self) -> int:
        return self.types * (self.subjects + self.never_seen)

    @property
    def n_relations(self) -> int:
        return self.types * self.relations

    @property
    def n_answers(self) -> int:
        return self.types * (self.plain * self.answers + self.derived * self.derived_answers)

    @property
    def n_facts(self) -> int:
        """All facts, those of never-seen subjects included."""
        return self.n_subjects * self.relations

    def to_json(self) -> str:
        """Canonical text: equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True)


class _Span(NamedTuple):
    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:g}"
        return low if math.isinf(self.high) else f"{low} and {'<' if self.open_high else '<='} {self.high:g}"


_INTEGERS = {
    "types": _Span(1),
    "subjects": _Span(1),
    "never_seen": _Span(0),
    "relations": _Span(1),
    "derived": _Span(0),
    "answers": _Span(2),
    "derived_answers": _Span(2),
    "dominant": _Span(0),
    "word_reuse": _Span(1),
}
_REALS = {
    "prior_exponent": _Span(0, 10),
    "dominant_share": _Span(0, 1, open_low=True, open_high=True),
    "zipf_exponent": _Span(0, 10),
    "zipf_offset": _Span(0, 1e9),
    "level_ratio": _Span(1, 1e9),
    "popularity_sigma": _Span(0, 5),
    "relation_sigma": _Span(0, 5),
    "fact_sigma": _Span(0, 5),
    "mean_exposure": _Span(0, 1e9, open_low=True),
    "unseen": _Span(0, 1, open_high=True),
    "derived_unseen": _Span(0, 1),
    "unseen_tilt": _Span(0, 100),
    "copy_share": _Span(0, 1),
}


def _refuse(name: str, expected: str, found: object) -> TheoryError:
    try:
        shown = found if isinstance(found, str) and found.startswith("one of") else repr(found)
    except ValueError:  # an integer of thousands of digits
        shown = f"one {type(found).__name__} that cannot be shown"
    return TheoryError(f"WorldSpec.{name}: expected {expected}, got {shown}")


def _integer(name: str, value: object, span: _Span) -> int:
    wanted = f"an integer {span}"
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise _refuse(name, wanted, value)
    number = operator.index(value)
    if number >= 2**63:
        raise _refuse(name, "an integer below 2^63", number)
    if not span.holds(number):
        raise _refuse(name, wanted, number)
    return number


def _real(name: str, value: object, span: _Span) -> float:
    wanted = f"a number {span}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise _refuse(name, wanted, value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not span.holds(number):
        raise _refuse(name, wanted, number)
    return number


def _word_counts(name: str, value: object) -> tuple[int, ...]:
    wanted = "a sequence of word counts, each 1, 2 or 3"
    if not isinstance(value, tuple | list) or not value:
        raise _refuse(name, wanted, value)
    if any(isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 3 for count in value):
        raise _refuse(name, wanted, value)
    return tuple(value)


def spec_from_mapping(mapping: Mapping[str, Any], where: str = "WorldSpec") -> WorldSpec:
    """A spec from plain values (JSON, TOML); what is left out keeps its default. `where` opens the errors."""
    known = [field.name for field in fields(WorldSpec)]
    for key in mapping:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            raise TheoryError(f"{where}: unknown field {key!r}; the nearest known one is {nearest!r}")
    try:
        return WorldSpec(**mapping)
    except TheoryError as error:
        raise error if where == "WorldSpec" else TheoryError(f"{where}: {error}") from None


def read_spec(path: str | Path) -> WorldSpec:
    """A spec from a TOML file that sets knobs at its top level."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        mapping = tomllib.loads(text)
    except OSError as error:
        raise TheoryError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise TheoryError(f"{path}: expected TOML such as `subjects = 300`: {error}") from error
    return spec_from_mapping(mapping, where=str(path))


def _zipf(n: int, exponent: float, offset: float = 0.0) -> Array:
    weight = (np.arange(1.0, n + 1) + offset) ** -exponent
    return np.asarray(weight / weight.sum())


def prior_law(spec: WorldSpec, dominant: bool = False) -> Array:
    """Share of each answer of a relation that is not derived, likeliest first."""
    law = _zipf(spec.answers, spec.prior_exponent)
    if dominant:
        law[1:] *= (1 - spec.dominant_share) / law[1:].sum()
        law[0] = spec.dominant_share
    return law


def popularity_law(spec: WorldSpec) -> Array:
    """Share of a type's mentions that go to each subject, most popular first, before the noise of facts."""
    rank = np.arange(1, spec.subjects + 1)
    if spec.popularity == "zipf":
        return _zipf(spec.subjects, spec.zipf_exponent, spec.zipf_offset)
    if spec.popularity == "two-level":
        weight = np.where(rank <= spec.subjects // 2, spec.level_ratio, 1.0)
    else:
        weight = np.exp(spec.popularity_sigma * ndtri(1 - (rank - 0.5) / spec.subjects))
    return np.asarray(weight / weight.sum())


def unseen_law(spec: WorldSpec, share: float) -> Array:
    """Probability that a fact is withheld, most popular subject first; the mean is `share`."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if spec.unseen_tilt == 0 or share in (0.0, 1.0):
        return np.full(spec.subjects, share)
    # equally popular subjects share one standing, the middle of theirs
    _, level, size = np.unique(-popularity_law(spec), return_inverse=True, return_counts=True)
    standing = ((np.cumsum(size) - size / 2) / spec.subjects)[level] - 0.5
    reach = spec.unseen_tilt + abs(math.log(share / (1 - share)))
    shift = brentq(lambda a: expit(a + spec.unseen_tilt * standing).mean() - share, -reach, reach, xtol=1e-13)
    return np.asarray(expit(shift + spec.unseen_tilt * standing))
