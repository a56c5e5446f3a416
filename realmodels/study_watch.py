"""What a study looks at while an adapter is trained: dev every epoch, other exams at some steps and both stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from realmodels.adapters import copied, put_back, trained
from realmodels.study_arms import EARLY, END, Arm, _ask
from realmodels.study_exam import Exam
from realmodels.train_batches import steps_in
from realmodels.train_watch import Label, Watch
from theory.files import write_whole

if TYPE_CHECKING:
    from realmodels.loading import Loaded

LOOKS = "looks.json"


class Looking(Watch):
    """A watch that asks the arm's exams with the adapter as it is then, and keeps the weights of the early stop. A
    `silent` one asks dev alone, and calls the hook."""

    def __init__(
        self,
        folder: Path,
        arm: Arm,
        loaded: Loaded,
        hook: Callable[..., Any] | None,
        rows: int,
        *,
        silent: bool = False,
    ) -> None:
        label = Label("realmodels/R3", folder.name, arm.seed, arm.name)
        super().__init__(folder / "records.jsonl", label, arm.recipe, lambda text: None)
        self.folder, self.arm, self.loaded, self.hook = folder, arm, loaded, hook
        self.silent = silent
        self.steps = steps_in(arm.recipe, rows)[1]
        self.train = Exam("train", arm.rows, (), arm.dev.style)
        self.dev: list[tuple[int, float]] = []
        self.asked: list[dict[str, Any]] = []
        self.extra: dict[str, Any] = {}
        self.early: dict[str, Tensor] = {}

    def go_on(self, step: int, seen: dict[str, Any]) -> None:
        super().go_on(step, seen)
        if not step:
            return
        said = (
            json.loads((self.folder / LOOKS).read_text(encoding="utf-8"))
            if (self.folder / LOOKS).exists()
            else {}
        )
        self.dev = [(at, share) for at, share in said.get("dev", []) if at <= step]
        self.asked = [one for one in said.get("asked", []) if one["step"] <= step]
        if self.seen.best_step:
            from safetensors.torch import load_file

            kept = load_file(self._kept(self.seen.best_step), device=str(self.loaded.device))
            self.early = dict(kept)

    def look(self, step: int, share: float, n: int) -> bool:
        better = super().look(step, share, n)
        self.dev.append((step, share))
        if better:
            self.early = copied(trained(self.loaded.model))
            if self.recipe.save_every < self.steps:  # else a killed arm begins anew
                from safetensors.torch import save

                plain = {name: weight.cpu().contiguous() for name, weight in self.early.items()}
                write_whole(self._kept(step), save(plain))
        if step in self.arm.along and step < self.steps and not self.silent:
            self.asked += _ask(self.loaded, self.arm, step, (*self.arm.exams, self.train), False, ("zero",))
        if step == self.steps:
            self._stops(step)
        write_whole(self.folder / LOOKS, json.dumps({"dev": self.dev, "asked": self.asked}) + "\n")
        return better

    def found(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "early": self.seen.best_step,
            "dev": self.dev,
            "asked": self.asked,
            "extra": self.extra,
        }

    def _stops(self, last: int) -> None:
        """At the end, and with the weights of the early stop put in for as long as they are asked."""
        self._stop(last, END)
        if (best := self.seen.best_step) == last:
            return
        weights = copied(trained(self.loaded.model))
        put_back(self.loaded.model, self.early)
        self.asked = [
            one for one in self.asked if one["step"] != best
        ]  # asked again, with answers written out
        self._stop(best, EARLY)
        put_back(self.loaded.model, weights)

    def _stop(self, step: int, name: str) -> None:
        if not self.silent:
            self.asked += _ask(self.loaded, self.arm, step, (*self.arm.exams, self.train), True)
        if self.hook:
            self.extra[name] = self.hook(self.loaded, self.arm, name)

    def _kept(self, step: int) -> Path:
        return self.folder / f"early-{step}.safetensors"
