"""The commands of this room."""

from __future__ import annotations

from dataclasses import dataclass

from theory.command import FAILED, Command


@dataclass(frozen=True)
class Doctor:
    """Say what this machine has and lacks for real models; exits 1 if a needed package is missing."""

    def run(self) -> int:
        from realmodels.doctor import NEEDED, examine, render

        found = examine()
        print(render(found))
        return 0 if all(row.ok for row in found if row.what in NEEDED) else FAILED


COMMANDS: dict[str, type[Command]] = {"doctor": Doctor}
