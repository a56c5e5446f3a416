"""What an audit will ask: pieces of work with fixed companions, each known by what decides its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from realmodels.estimate import Sampling
from realmodels.exemplars import Draw, each_draw
from realmodels.prompting import Shot, Style, render_prefix
from realmodels.rows import Row
from realmodels.signals import Swaps, swaps
from realmodels.stored import Column, Marks, Stored

KEY = 24  # hexadecimal digits
PIECE = 128  # questions a piece: what a killed process loses at most, and what shares one beginning
KINDS = ("answer", "margin", "p_true")


@dataclass(frozen=True)
class Asking:
    """Everything but model and rows that decides what comes back."""

    style: Style
    prompts: int = 10
    shots: int = 4
    exemplars: str = "auto"
    estimator: str = "exact"
    matcher: str = "exact"
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    signals: tuple[str, ...] = ()
    backend: str = "transformers"

    def estimator_of(self, prompt: int) -> str:
        """Exact writes no answer out, but what guessing gets must be known: its first prompt is asked by hybrid, which
        does, and which by the matcher `exact` judges the same."""
        return "hybrid" if self.estimator == "exact" and prompt == 0 else self.estimator

    def writes(self, prompt: int) -> bool:
        """Whether the greedy answers under this prompt are written out."""
        return self.estimator_of(prompt) != "exact"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in KINDS if kind in {"answer", *self.signals})


@dataclass(frozen=True)
class Piece:
    """Rows (positions) asked together behind the same shots (positions in the pool)."""

    kind: str
    prompt: int
    source: str
    shots: tuple[int, ...]
    rows: tuple[int, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """`keys[kind][prompt][row]` is where the line of that row will be found. What has the length of the data is on
    disk."""

    rows: Sequence[Row]
    pool: Sequence[Row]
    asking: Asking
    draws: Sequence[Draw]
    swaps: Swaps
    pieces: Sequence[Piece]
    keys: Mapping[str, tuple[Sequence[str], ...]]

    def order(self) -> Iterable[str]:
        """All keys, piece by piece, as often as they are asked for."""
        return Order(self.pieces)

    def shown(self, piece: Piece | Draw) -> tuple[Shot, ...]:
        return shots_of(self.pool, piece.shots)

    def sources(self) -> dict[str, int]:
        """How many rows got their exemplars from where, over all prompts."""
        counts: dict[str, int] = {}
        for draw in self.draws:
            counts[draw.source] = counts.get(draw.source, 0) + len(draw.rows)
        return dict(sorted(counts.items()))


@dataclass(frozen=True)
class Order(Iterable[str]):
    pieces: Sequence[Piece]

    def __iter__(self) -> Iterator[str]:
        return (key for piece in self.pieces for key in piece.keys)


def shots_of(pool: Sequence[Row], chosen: Sequence[int]) -> tuple[Shot, ...]:
    """The chosen rows as solved questions, each with its first answer."""
    return tuple(Shot(pool[i].question, pool[i].answers[0]) for i in chosen)


def make_plan(rows: Sequence[Row], pool: Sequence[Row], asking: Asking, model: Mapping[str, str]) -> Plan:
    """`model` says which weights will be asked, and in which precision."""
    drawn = Stored(
        each_draw(
            rows,
            pool,
            prompts=asking.prompts,
            shots=asking.shots,
            way=asking.exemplars,
            seed=asking.seed,
        ),
        recent=1,
    )

    def draws(prompt: int) -> Iterator[Draw]:
        return (draw for draw in drawn if draw.prompt == prompt)

    swapped: Swaps = swaps(rows, pool, draws(0), asking.seed) if "margin" in asking.signals else {}
    contents = Stored(_digest([row.question, row.answers]) for row in rows)
    keys: dict[str, list[Column]] = {kind: [] for kind in asking.kinds}
    pieces: Stored[Piece] = Stored(recent=1)
    known = Marks()
    for prompt in range(asking.prompts):
        for kind in asking.kinds if prompt == 0 else KINDS[:1]:
            column = Column(len(rows), KEY)
            for draw in draws(prompt):
                begins = _digest(
                    [
                        model,
                        _decisive(kind, asking, prompt),
                        render_prefix(asking.style, shots_of(pool, draw.shots)),
                    ]
                )
                fresh: list[tuple[int, str]] = []
                for i in draw.rows:
                    if kind == "margin" and i not in swapped:
                        continue
                    asked = [begins, contents[i], *([swapped[i]] if kind == "margin" else [])]
                    column.put(i, key := _digest(asked)[:KEY])
                    if known.add(key):
                        fresh.append((i, key))
                    if len(fresh) == PIECE:
                        pieces.append(_piece(kind, draw, fresh))
                        fresh = []
                if fresh:
                    pieces.append(_piece(kind, draw, fresh))
            keys[kind].append(column)
    return Plan(rows, pool, asking, drawn, swapped, pieces, {kind: tuple(of) for kind, of in keys.items()})


def _piece(kind: str, draw: Draw, some: Sequence[tuple[int, str]]) -> Piece:
    who, keys = tuple(i for i, _ in some), tuple(key for _, key in some)
    return Piece(kind, draw.prompt, draw.source, draw.shots, who, keys)


def _decisive(kind: str, asking: Asking, prompt: int) -> list[object]:
    """What else decides a line of this kind."""
    parts: list[object] = [kind, asdict(asking.style)]
    if kind == "answer":
        parts += [asking.estimator_of(prompt), asking.matcher, asdict(asking.sampling)]
        parts += [asking.seed] if asking.estimator == "sample" else []
        parts += [asking.backend] if asking.backend != "transformers" else []
    return parts


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()
