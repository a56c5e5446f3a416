"""How every room's command line behaves: one frozen dataclass a command, one line an error, honest exit codes.

0: done. 1: it ran and the answer is no (a violated theorem, a failed run). 2: bad input. 130: Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from theory.errors import out_of_memory, unread

USAGE_ERROR, FAILED, INTERRUPTED = 2, 1, 130
_WRONG_PATHS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
_AGAIN, _ELSEWHERE = "free some and run the same command again", "choose a place that can be written to"
_REMEDIES = {
    errno.ENOSPC: _AGAIN,
    errno.EDQUOT: _AGAIN,
    errno.EFBIG: "let files be longer (ulimit -f) and run the same command again",
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EMFILE: "allow more open files (ulimit -n)",
}


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
        with _undrawn():
            command: Command = tyro.extras.subcommand_cli_from_dict(
                dict(commands),
                prog=prog,
                description=description,
                args=words,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except BrokenPipeError:
        return _hang_up()
    except OSError as problem:
        return _say(problem)
    except SystemExit:  # after --help, say
        try:
            _flush()
        except OSError as problem:
            return _say(problem)
        raise
    if debug:
        return int(command.run())
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]
        return _run(command)


@contextmanager
def _undrawn() -> Iterator[None]:
    """The global generator is where it was: the parser draws from it to check its cache now and then."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _warn(message: Warning | str, *_: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _hang_up() -> int:
    """The reader of our output has left, as `| head` does; what is still to be flushed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _flush() -> None:
    if sys.stdout:  # it may be closed
        sys.stdout.flush()


def _say(problem: OSError) -> int:
    if problem.filename == "standard output":
        _hang_up()
    where = f"{os.fsdecode(problem.filename)}: " if problem.filename else ""
    what = problem.strerror or str(problem)
    remedy = "" if ";" in what else _REMEDIES.get(problem.errno or 0, "")
    print(f"error: {where}{what}{remedy and '; '}{remedy}", file=sys.stderr)
    return USAGE_ERROR if isinstance(problem, _WRONG_PATHS) else FAILED


def _run(command: Command) -> int:
    try:
        code = int(command.run())
        _flush()
        return code
    except KeyboardInterrupt:
        print("interrupted: finished work is kept, run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return _hang_up()
    except UnicodeEncodeError as problem:
        if "surrogates" not in problem.reason and problem.encoding != sys.getfilesystemencoding():
            raise
        text = ascii(problem.object[max(0, problem.start - 40) : problem.end])
        print(
            f"error: {text}: is no text in {problem.encoding} (a name of bytes, or a locale without UTF-8); "
            "set PYTHONUTF8=1, or rename it",
            file=sys.stderr,
        )
        return USAGE_ERROR
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
    except (MemoryError, OSError, RuntimeError, ImportError, SystemError) as problem:
        if out_of_memory(problem):
            print(
                "error: out of memory; ask for less at once (fewer instances, seeds, rows or workers)",
                file=sys.stderr,
            )
            return FAILED
        if not isinstance(problem, OSError):
            raise
        return _say(problem)
    except SyntaxError as problem:
        print(unread(problem), file=sys.stderr)
        return FAILED
    except ValueError as problem:
        if type(problem).__module__.split(".")[0] not in {"theory", "synthetic", "realmodels", "figures"}:
            raise
        print(f"error: {problem}", file=sys.stderr)
        return USAGE_ERROR
