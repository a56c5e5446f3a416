"""How the command of a room begins. Ctrl-C while its modules are loaded is no traceback, nor is a terminal that cannot
show a letter, or a machine without memory for the modules; and standard output says its name when it is full."""

from __future__ import annotations

import sys
from importlib import import_module
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, TextIO


def start(room: str, about: str) -> int:
    """The exit code."""
    code = _start(room, about)
    # Ctrl-C that leaves an exec(), as of one who makes a dataclass, has Python die of SIGINT at its end although it was
    # caught and there is an exit code; the next exec() of a text makes it forget.
    exec("")
    return code


def _start(room: str, about: str) -> int:
    sys.stdout = _named(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")
    try:
        commands = import_module(f"{room}.cli").COMMANDS
        from theory.command import main

        return main(f"python -m {room}", about, commands)
    except KeyboardInterrupt:  # while modules were loaded
        print("interrupted: nothing had begun", file=sys.stderr)
        return 130
    except (MemoryError, OSError, RuntimeError, ImportError, SystemError) as problem:
        from theory.errors import out_of_memory

        if not out_of_memory(problem):
            raise
        print("error: not enough memory to load the modules; give it more", file=sys.stderr)
        return 1
    except SyntaxError as problem:
        from theory.errors import unread

        print(unread(problem), file=sys.stderr)
        return 1


class _Output(FileIO):
    """A full disk behind standard output does not say so by itself."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, "standard output") from None


def _named(old: TextIO) -> TextIO:
    if not isinstance(old, TextIOWrapper) or old.fileno() != 1:
        return old
    old.flush()
    raw = _Output(1, "wb", closefd=False)
    buffer: Any = raw if old.write_through else BufferedWriter(raw)
    lines = old.line_buffering
    return TextIOWrapper(
        buffer, old.encoding, old.errors, line_buffering=lines, write_through=old.write_through
    )
