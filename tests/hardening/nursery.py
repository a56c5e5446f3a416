"""A process in which a room's modules are loaded (all, or those named) forks its commands, so that hardly anything but
their work is left to be killed in. Orders come as JSON lines on stdin, answers go to stdout."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOADED = (
    "realmodels.audit",
    "realmodels.audit_ask",
    "realmodels.audit_report",
    "realmodels.card",
    "realmodels.checks",
    "realmodels.eval_ask",
    "realmodels.eval_files",
    "realmodels.harm",
    "realmodels.loading",
    "realmodels.train_loop",
    "realmodels.train_run",
    "peft",
    "scipy.special",
    "synthetic.lab",
    "synthetic.studies.validity",
    "theory.claims",
    "transformers.models.llama.modeling_llama",
)
PLACE = {"open": 0, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0}  # of the path in an event
FOLDER = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}  # of the open folder that it is relative to


def steps(output: Path, at: int) -> Callable[[], int]:
    """Kill this process before its step number `at` on files below `output` (from 1; 0: never); returns a counter."""
    taken = 0

    def hook(event: str, words: tuple[Any, ...]) -> None:
        nonlocal taken
        if event not in PLACE or not isinstance(path := words[PLACE[event]], (str, os.PathLike)):
            return
        if event == "open" and words[2] & os.O_ACCMODE == os.O_RDONLY:
            return
        within = words[FOLDER[event]] if event in FOLDER else -1
        base = "" if within == -1 else os.readlink(f"/proc/self/fd/{within}")
        if not Path(os.path.abspath(os.path.join(base, os.fspath(path)))).is_relative_to(output):  # type: ignore[arg-type]
            return
        taken += 1
        if taken == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: taken


def child(order: dict[str, Any]) -> int:
    """Be the command."""
    os.chdir(order["cwd"])
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDWR)
    for mine, theirs in ((nothing, 0), (nothing, 1), (said, 2)):
        os.dup2(mine, theirs)
    room, words = order["room"], order["words"]
    sys.argv = [str(ROOT / room / "__main__.py"), *words]
    count = steps(Path(order["cwd"]) / "out", order["at"]) if order["at"] is not None else None
    from theory.command import main

    code = main(f"python -m {room}", "", import_module(f"{room}.cli").COMMANDS, words)
    if count is not None:
        Path(order["cwd"], "steps").write_text(str(count()))
    return code


def main() -> None:
    named = tuple(sys.argv[1:])
    if not named:
        import torch

        torch.set_num_threads(1)
    for name in (*(named or LOADED), "realmodels.cli"):
        import_module(name)
    alive: set[int] = set()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "words" in order:
            if (pid := os.fork()) == 0:
                code = 70
                try:
                    os.setpgid(0, 0)
                    code = child(order)
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            with suppress(OSError):  # the child may have been first
                os.setpgid(pid, pid)
            alive.add(pid)
            print(pid, flush=True)
        else:  # until it is asked for, a dead child keeps its number
            found, status = os.waitpid(order["wait"], 0 if order["long"] else os.WNOHANG)
            alive.discard(found)
            print(json.dumps(os.waitstatus_to_exitcode(status) if found else None), flush=True)
    for pid in alive:
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
