"""What a laboratory is: its world, text, network and training, one default for all studies, its rungs and sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from synthetic.errors import SyntheticError
from synthetic.model import LlamaSpec
from synthetic.profiles import ABLATIONS, DEFAULT_RUNG, PROFILES, RUNGS, choose
from synthetic.text_spec import TextSpec
from synthetic.train_spec import TrainSpec
from theory.errors import TheoryError
from theory.world_spec import WorldSpec, spec_from_mapping

WORLD = WorldSpec(
    types=4,
    subjects=360,
    never_seen=40,
    relations=5,
    answers=32,
    relation_sigma=0.3,
    fact_sigma=0.5,
    mean_exposure=22.0,
    unseen=0.2,
    copy_share=0.05,
)
TEXT = TextSpec(
    statements=0.34,
    lists=0.28,
    biographies=0.25,
    questions=0.10,
    thoughts=0.03,
    together=(6, 8, 8, 6),
)
PRETRAIN = TrainSpec(rate=3e-3, batch=8, room=64, betas=(0.9, 0.98))
TUNE = TrainSpec(rate=1e-3, batch=32, unit="documents", room=32, epochs=20, decay="constant")

_LEAST = {"foreign": 0, "held_out": 0, "prompts": 1, "shots": 1, "samples": 1, "top_k": 0}


@dataclass(frozen=True)
class Shape:
    """A network without its vocabulary, which follows from the world."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 176
    context: int = 256
    embedding_std: float = 0.08
    weight_std: float = 0.08

    def __post_init__(self) -> None:
        self.llama(2)

    def llama(self, vocabulary: int) -> LlamaSpec:
        return LlamaSpec(vocabulary=vocabulary, kv_heads=self.heads, **asdict(self))


@dataclass(frozen=True)
class Setup:
    """Everything but the seed that decides the records of a study. Shares are of the subjects of a type."""

    rung: str = DEFAULT_RUNG
    world: WorldSpec = WORLD
    text: TextSpec = TEXT
    shape: Shape = Shape()
    pretrain: TrainSpec = PRETRAIN
    tune: TrainSpec = TUNE
    question: str = (
        "query {r} {s} reply"  # the format that fine-tuning teaches; its words are new to the network
    )
    abstention: str = "unsure"  # the answer that is "I don't know", new too
    foreign: int = 1  # types whose facts are never tuned on: `ood-type`
    held_out: int = 1  # relations of each other type that are never tuned on: `ood-relation`
    dev: float = 0.08
    test: float = 0.28
    shots_from: float = (
        0.04  # subjects whose facts serve as exemplars of few-shot prompts, and for nothing else
    )
    prompts: int = 10  # few-shot prompts that a fact is asked under
    shots: int = 4  # exemplars of each
    samples: int = 16  # samples of each, at this temperature from the top k; computed exactly
    temperature: float = 0.5
    top_k: int = 40
    brief: bool = False  # only the arms that most claims rest on, for rungs beside the default one
    pretrainings: bool = True  # also shorter and longer ones, of a world with a third of the subjects (A5)

    def __post_init__(self) -> None:
        slots = sorted(word for word in self.question.split() if "{" in word or "}" in word)
        if slots != ["{r}", "{s}"] or self.question.split()[-1].startswith("{"):
            raise SyntheticError(
                f"Setup.question is {self.question!r}; give {{s}} and {{r}} once and a last word"
            )
        if known := sorted(set(self.words()) & set(self.text.words())):
            raise SyntheticError(f"Setup: {known[0]!r} stands in pretraining too; take new words")
        if len(self.abstention.split()) != 1:
            raise SyntheticError(f"Setup.abstention is {self.abstention!r}; give one word")
        for name, low in _LEAST.items():
            if type(value := getattr(self, name)) is not int or value < low:
                raise SyntheticError(f"Setup.{name} is {value!r}; give a whole number of at least {low}")
        if not 0 < self.temperature < float("inf"):
            raise SyntheticError(f"Setup.temperature is {self.temperature!r}; give a number above 0")
        if self.foreign >= self.world.types:
            raise SyntheticError(
                f"Setup.foreign is {self.foreign}, but one of {self.world.types} types must be left"
            )
        if self.held_out >= self.world.plain:
            raise SyntheticError(
                f"Setup.held_out is {self.held_out}; a type has {self.world.plain} plain relations"
            )
        shares = (self.dev, self.test, self.shots_from)
        if not (all(0 < share < 1 for share in shares) and sum(shares) < 1):
            raise SyntheticError(
                f"Setup: dev, test and shots_from are {shares}; give shares above 0 that leave some"
            )

    def words(self) -> tuple[str, ...]:
        """The words that fine-tuning adds to those of the text, sorted."""
        said = {word for word in self.question.split() if not word.startswith("{")}
        return tuple(sorted({*said, self.abstention}))

    @property
    def lab(self) -> str:
        """The name in records."""
        return f"synthetic/{self.rung}"

    def to_json(self) -> str:
        """Canonical text: equal setups give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """The setup of `to_json`; what is left out keeps its default."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SyntheticError(f"Setup: expected JSON: {error}") from None
        if not isinstance(found, dict):
            raise SyntheticError(f"Setup: expected a JSON object, got {text[:40]!r}")
        return setup_from(found)


def setup_from(mapping: Mapping[str, Any]) -> Setup:
    """A setup from plain values; what is left out keeps its default."""
    base = Setup()
    values = _known(base, dict(mapping), "Setup")
    for name in ("text", "shape", "pretrain", "tune"):
        if name in values:
            part = getattr(base, name)
            inner = _known(part, _table(values[name], f"Setup.{name}"), f"Setup.{name}")
            values[name] = replace(part, **inner)
    if "world" in values:
        whole = asdict(base.world) | _table(values["world"], "Setup.world")
        try:
            values["world"] = spec_from_mapping(whole, where="Setup.world")
        except TheoryError as error:
            raise SyntheticError(str(error)) from None
    return Setup(**values)


def _known(part: Any, values: dict[str, Any], where: str) -> dict[str, Any]:
    """Values for fields of `part`, each of the kind of the one that is there; lists become tuples."""
    from theory.schema import nearest, shown

    kinds = {field.name: str(field.type) for field in fields(part)}
    for name, value in values.items():
        if name not in kinds:
            raise SyntheticError(f"{where}: no field {name!r}{nearest(name, kinds)}")
        if value is None and "None" in kinds[name]:
            continue
        if not _alike(usual := getattr(part, name), value):
            kind = "a table of fields" if is_dataclass(usual) else f"one like {shown(usual)}"
            raise SyntheticError(f"{where}.{name} is {shown(value)}; give {kind}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _alike(usual: Any, value: Any) -> bool:
    if is_dataclass(usual):
        return isinstance(value, Mapping)
    if isinstance(usual, tuple):
        return isinstance(value, (list, tuple)) and all(_alike(usual[0], one) for one in value)
    if isinstance(usual, float):
        return type(value) in (int, float) and abs(value) < 1e300
    if usual is None or type(usual) is int:
        return isinstance(value, int) and abs(value) < 2**63
    return type(value) is type(usual)


def _table(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise SyntheticError(f"{where} is {values!r}; give a table of fields")
    return dict(values)


DEFAULT = Setup()
SIZES = {
    "quick": 1 / 3,
    "full": 1.0,
    "paper": 3.0,
}  # times the subjects of the default world, at equal exposures


def setup_for(profile: str = "full", rung: str = DEFAULT_RUNG) -> Setup:
    """The default world at one rung of the ladder or as one of its ablations; larger for `paper`; for `quick` a third
    of it, and a third of that would be too little for other pretrainings; `full` has all arms at the default rung."""
    choose("profile", [profile], list(PROFILES), ())
    choose("rung", [rung], (*RUNGS, *ABLATIONS), ())
    size = SIZES[profile]
    world = replace(WORLD, subjects=round(size * WORLD.subjects), never_seen=round(size * WORLD.never_seen))
    setup = replace(DEFAULT, world=world, rung=rung, brief=profile == "full" and rung != DEFAULT_RUNG)
    if profile == "quick":
        setup = replace(setup, pretrainings=False, shots_from=0.1)  # of fewer subjects, as many to show
    return _RUNGS[rung](setup)


def variant(setup: Setup, pretraining: str) -> Setup:
    """The same laboratory, pretrained otherwise: a name after `@` in an arm of the vocabulary."""
    world = setup.world
    changed: dict[str, WorldSpec] = {
        "pretrain:short": replace(world, mean_exposure=world.mean_exposure / 2),
        "pretrain:long": replace(world, mean_exposure=world.mean_exposure * 2),
        "zipf:flat": replace(world, zipf_exponent=world.zipf_exponent / 2),
        "zipf:steep": replace(world, zipf_exponent=world.zipf_exponent * 1.5),
    }
    (name,) = choose("pretraining", [pretraining], list(changed), ())
    return replace(setup, world=changed[name])


def _reshaped(setup: Setup, **shape: Any) -> Setup:
    return replace(setup, shape=replace(setup.shape, **shape))


def _fixed_embeddings(setup: Setup) -> Setup:
    """Directions of words that are drawn at random, nearly orthogonal, and never trained: the nearest that a narrow
    network comes to one-hot words."""
    setup = _reshaped(setup, width=128, layers=1, heads=1, hidden=0, embedding_std=0.1)
    return replace(setup, pretrain=replace(setup.pretrain, trainable="layers"))


def _tuned(setup: Setup, **how: Any) -> Setup:
    return replace(setup, tune=replace(setup.tune, **how))


def _told(setup: Setup, **text: Any) -> Setup:
    return replace(setup, text=replace(setup.text, **text))


def _in_longer_biographies(setup: Setup) -> Setup:
    """Half or more of what there is to tell of a subject, up to three subjects in a document; the rows of pretraining
    are longer then, so that fewer of them make as many tokens a step."""
    return replace(
        _told(setup, gathered=0.5, in_a_row=3),
        pretrain=replace(setup.pretrain, batch=setup.pretrain.batch * 3 // 4),
    )


def _in_a_world(setup: Setup, **world: Any) -> Setup:
    return replace(setup, world=replace(setup.world, **world))


_RUNGS: Mapping[str, Callable[[Setup], Setup]] = {
    "R1-fixed": _fixed_embeddings,
    "R1-dense": lambda setup: _reshaped(setup, layers=1, hidden=0),
    "R1-mlp": lambda setup: _reshaped(setup, layers=1),
    "R2-2layer": lambda setup: setup,
    "R2-4layer": lambda setup: _reshaped(setup, layers=4),
    "R2-2layer-flat": lambda setup: _in_a_world(setup, prior_exponent=0.0),  # all answers equally likely
    "R2-2layer-seen": lambda setup: _in_a_world(setup, unseen=0.0),  # every fact is stated
    "R2-2layer-plain": lambda setup: _told(
        setup, templates=setup.text.templates[:1]
    ),  # one sentence, one wording
    "R2-2layer-wide": lambda setup: _reshaped(setup, width=128, hidden=352),
    "R2-2layer-read": lambda setup: variant(setup, "pretrain:long"),  # twice the pretraining
    "R2-2layer-gentle": lambda setup: _tuned(setup, rate=3e-4, epochs=5),  # what prompts use is not forgotten
    "R2-2layer-told": _in_longer_biographies,
}
