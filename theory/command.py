"""How every room's command line behaves: one frozen dataclass a command, one line an error, honest exit codes.

0: done. 1: it ran and the answer is no (a violated theorem, a failed run). 2: bad input. 130: Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

USAGE_ERROR, FAILED, INTERRUPTED = 2, 1, 130
_WRONG_PATHS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


class Command(Protocol):
    """A frozen dataclass whose fields are the flags and whose `run` does the work and returns the exit code."""

    def run(self) -> int: ...


def main(
    prog: str, description: str, commands: Mapping[str, type[Command]], args: Sequence[str] | None = None
) -> int:
    """Parse `args` into one of `commands` and run it. `--debug` before or after the command shows the traceback."""
    import tyro

    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    try:
        command: Command = tyro.extras.subcommand_cli_from_dict(
            dict(commands),
            prog=prog,
            description=description,
            args=words,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except BrokenPipeError:
        return _hang_up()
    if debug:
        return int(command.run())
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]
        return _run(command)


def _warn(message: Warning | str, *_: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _hang_up() -> int:
    """The reader of our output has left, as `| head` does; what is still to be flushed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(command: Command) -> int:
    try:
        return int(command.run())
    except KeyboardInterrupt:
        print("interrupted: finished work is kept, run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return _hang_up()
    except MemoryError:
        print(
            "error: out of memory; ask for less at once (fewer instances, seeds or workers)", file=sys.stderr
        )
        return FAILED
    except ModuleNotFoundError as missing:
        extra = {
            "torch": "synthetic",
            "transformers": "realmodels",
            "peft": "realmodels",
            "matplotlib": "figures",
        }
        if (package := (missing.name or "").partition(".")[0]) not in extra:
            raise
        print(
            f'error: {package} is not installed; run: pip install "nameblind[{extra[package]}]"',
            file=sys.stderr,
        )
        return USAGE_ERROR
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        print(f"error: {where}{problem.strerror or problem}", file=sys.stderr)
        return USAGE_ERROR if isinstance(problem, _WRONG_PATHS) else FAILED
    except ValueError as problem:
        if type(problem).__module__.split(".")[0] not in {"theory", "synthetic", "realmodels", "figures"}:
            raise
        print(f"error: {problem}", file=sys.stderr)
        return USAGE_ERROR
