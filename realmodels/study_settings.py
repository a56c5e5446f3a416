"""What a study of questions is made of: sizes, splits and looks. Everything has a default that suits a small model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from realmodels.audited import SCORES
from realmodels.errors import RealmodelsError
from realmodels.recipe import Recipe, _parsed, changed
from theory.schema import nearest, shown


@dataclass(frozen=True)
class Settings:
    """Facts are drawn and audited (the first four), split by subject, and asked; sizes of null mean all there are."""

    per_relation: int = 110  # facts drawn of each relation
    relations: tuple[str, ...] = ()  # of these alone
    prompts: int = 10  # of the audit: labels depend on it
    audit_shots: int = 4

    hold_out: tuple[
        str, ...
    ] = ()  # relations that are only tested; without names a quarter of them, spread by known-ness
    train_share: float = 0.6  # of the subjects of the other relations; dev and test share the rest
    dev_share: float = 0.12
    salt: str = ""  # another one splits otherwise

    rows: int | None = 64  # of a training set
    match: tuple[str, ...] = ("relation",)  # what known and unknown rows have in common
    by: str = ""  # the score of best and lesser; without one margin, else p_sample
    dev: int | None = 64  # facts that choose the early stop
    test: int | None = 240
    ood: int | None = 96  # of the relations held out
    shots: int = 4  # of the few-shot prompt
    looks: int = 6  # looks at all exams while a mix or a single category is tuned
    longest: int = 12  # tokens of an answer that is written out
    attention: tuple[str, ...] = ("best", "lesser")  # sets after which attention to the subject is measured

    def __post_init__(self) -> None:
        least = {"per_relation": 1, "prompts": 1, "audit_shots": 0, "rows": 2, "dev": 2, "test": 2, "ood": 2}
        for name, bound in (least | {"shots": 1, "looks": 1, "longest": 1}).items():
            value = getattr(self, name)
            if value is None and name in ("rows", "dev", "test", "ood"):
                continue
            if type(value) is not int or value < bound:
                raise RealmodelsError(
                    f"settings: {name}: expected a whole number of at least {bound}, got {shown(value)}"
                )
        for name in ("train_share", "dev_share"):
            value = getattr(self, name)
            if type(value) is not float or not 0 < value < 1:
                raise RealmodelsError(
                    f"settings: {name}: expected a share between 0 and 1, got {shown(value)}"
                )
        if self.train_share + self.dev_share >= 1:
            raise RealmodelsError(
                f"settings: train_share and dev_share are {self.train_share + self.dev_share:g} together; "
                "leave something below 1 for the test"
            )
        from realmodels.arms import KEYS
        from realmodels.study_sets import is_set

        for name in ("relations", "hold_out", "match", "attention"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(one, str) and one for one in value):
                raise RealmodelsError(
                    f"settings: {name}: expected names in brackets such as [P17, P36], got {shown(value)}"
                )
        for one in self.match:
            if one not in KEYS:
                raise RealmodelsError(f"settings: match: unknown '{one}'{nearest(one, KEYS)}")
        for one in self.attention:
            if not is_set(one):
                raise RealmodelsError(f"settings: attention: no training set is called {shown(one)}")
        if "relation" not in self.match:
            raise RealmodelsError(
                "settings: match: must have 'relation'; the shares of unknown rows are mixed within it"
            )
        if self.by and self.by not in SCORES:
            raise RealmodelsError(
                f"settings: by: unknown score {shown(self.by)}{nearest(str(self.by), SCORES)}"
            )
        if not isinstance(self.salt, str):
            raise RealmodelsError(f"settings: salt: expected text, got {shown(self.salt)}")


def read_settings(
    kind: type, recipe: Recipe, preset: Mapping[str, Any], words: Sequence[str]
) -> tuple[Any, Recipe]:
    """Settings and recipe after a preset's values and then `KEY=VALUE` words; a key is of one of the two."""
    own, of_recipe = [field.name for field in fields(kind)], [field.name for field in fields(Recipe)]
    found: dict[str, Any] = {}
    said = [(name, value) for name, value in preset.items() if name in own or name in of_recipe]
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise RealmodelsError(f"--set {word!r}: expected KEY=VALUE, such as rows=96 or rate=1e-3")
        if name == "seed":
            raise RealmodelsError(f"--set {word!r}: say --seeds")
        said.append((name, _parsed(f"--set {word!r}", text)))
    for name, value in said:
        if name in own:
            found[name] = shaped(kind, name, value)
        elif name in of_recipe:
            recipe = changed(recipe, {name: value}, "--set")
        else:
            raise RealmodelsError(f"--set: unknown key {shown(name)}{nearest(name, [*own, *of_recipe])}")
    try:
        return kind(**found), recipe
    except RealmodelsError as wrong:
        raise RealmodelsError(f"--set: {str(wrong).removeprefix('settings: ')}") from None


def shaped(kind: type, name: str, value: Any) -> Any:
    """YAML has lists and text where a field is a tuple or a number."""
    usual = {field.name: field.default for field in fields(kind)}[name]
    if isinstance(usual, tuple):
        return (
            (value,)
            if isinstance(value, str)
            else tuple(map(str, value))
            if isinstance(value, list)
            else value
        )
    if isinstance(usual, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**63 else value
    return str(value) if isinstance(usual, str) and isinstance(value, (int, float)) else value


def with_seed(recipe: Recipe, seed: int, **more: Any) -> Recipe:
    return replace(recipe, seed=seed, **more)
