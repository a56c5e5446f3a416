"""How the command of a room begins: Ctrl-C while its modules are loaded is no traceback either."""

from __future__ import annotations

import sys
from importlib import import_module


def start(room: str, about: str) -> int:
    try:
        commands = import_module(f"{room}.cli").COMMANDS
        from theory.command import main

        return main(f"python -m {room}", about, commands)
    except KeyboardInterrupt:  # while modules were loaded
        print("interrupted: nothing had begun", file=sys.stderr)
        return 130
