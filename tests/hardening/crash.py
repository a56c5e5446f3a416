"""Commands killed with kill -9 and started again until they end leave the bytes of a run that was left alone.

    python tests/hardening/crash.py --command train --kills 50 --seed 0
    python tests/hardening/crash.py --command filter --steps
    python tests/hardening/crash.py --command train --pairs 10

`--kills`: at random moments, uniform over the processor time of a whole run. `--steps`: before every single step on
files that a run takes, or before so many of them, the last one included. `--pairs`: twice at once on one folder, the
second a random moment after the first.
`--warm` forks commands from a process in which modules are loaded, so that kills fall into their work; `--keep` leaves
a line in survived.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.hardening.survived import Trial, keep  # noqa: E402

ALONE = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
ALONE |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
TICK = 0.005  # seconds between two looks at a running command
LONG = 900.0  # seconds after which a command hangs
MOST = 6  # kills before a run may end
EQUAL = "what is left equals an uninterrupted run's byte for byte, times and host apart; nothing half-written"
REFUSED = "the second is refused with the reason, or comes after the first; " + EQUAL
SPOILED = "not all well: see the command's output"

# ---------------------------------------------------------------- what may differ between two runs

TIMED = ("timings.jsonl",)  # seconds and memory of every part: may lack the part that was killed
HOST = ("environment.json", ".lock")  # time, command and machine; the number of a process
FIELDS = {
    "train.json": ("seconds_in_steps", "real_tokens_per_second", "environment"),
    "eval.json": ("begun",),
    "results.json": ("date",),
}
STAMP = re.compile(r"_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?(?=\.jsonl?$)")  # when an evaluation was begun


def left(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, folders and hidden files too, without what says when and where it ran."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = STAMP.sub("", path.name)
        place = str(path.relative_to(folder).with_name(name))
        if path.is_dir():
            found[place] = b"a folder"
        elif name in FIELDS:
            said = json.loads(path.read_text(encoding="utf-8"))
            found[place] = json.dumps({k: v for k, v in said.items() if k not in FIELDS[name]}).encode()
        elif name not in TIMED:
            found[place] = b"" if name in HOST else path.read_bytes()
    return found


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    more, less = found.keys() - expected.keys(), expected.keys() - found.keys()
    other = [name for name in expected.keys() & found.keys() if expected[name] != found[name]]
    said = (("left behind", more), ("missing", less), ("other content", other))
    return [f"{what}: {', '.join(sorted(names))}" for what, names in said if names]


# ---------------------------------------------------------------- commands


@dataclass(frozen=True)
class Victim:
    """A command of a room (or a script) that writes into `out` of the folder it is started in."""

    name: str
    room: str
    words: tuple[str, ...]
    ways: tuple[str, ...] = ("group",)  # to be killed: the whole group, the command alone, one of its workers

    @property
    def title(self) -> str:
        return f"{self.room} {self.words[0]}"

    @property
    def line(self) -> list[str]:
        return [sys.executable, *(("-m", self.room) if self.room else ()), *self.words]


class Running(Protocol):
    """A command in a process group of its own. Its number stays its own until `code` or `wait` has told its end."""

    pid: int

    def code(self) -> int | None: ...
    def wait(self) -> int: ...


Start = Callable[[Victim, Path, int | None], Running]


class _Process:
    def __init__(self, victim: Victim, folder: Path) -> None:
        with open(folder / "said", "ab") as said:
            self._process = subprocess.Popen(
                victim.line,
                cwd=folder,
                env=ALONE,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def code(self) -> int | None:
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait(timeout=LONG)


def cold(victim: Victim, folder: Path, at: int | None = None) -> Running:
    """As a person starts it."""
    if at is not None:
        raise ValueError("single steps are counted in a forked command; take --warm")
    return _Process(victim, folder)


@contextmanager
def nursery(*modules: str) -> Iterator[Start]:
    """Commands forked from one process, in which these modules are loaded, else those of all rooms."""
    words = [sys.executable, str(Path(__file__).with_name("nursery.py")), *modules]
    process = subprocess.Popen(
        words, env=ALONE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(**order: Any) -> Any:
        process.stdin.write(json.dumps(order) + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return json.loads(process.stdout.readline())  # type: ignore[union-attr]

    @dataclass
    class Forked:
        pid: int
        ended: int | None = None

        def code(self) -> int | None:
            if self.ended is None:
                self.ended = ask(wait=self.pid, long=False)
            return self.ended

        def wait(self) -> int:
            if self.ended is None:
                self.ended = ask(wait=self.pid, long=True)
            return self.ended  # type: ignore[return-value]

    def start(victim: Victim, folder: Path, at: int | None = None) -> Running:
        order = {"room": victim.room, "words": victim.words, "cwd": str(folder), "at": at}
        return Forked(ask(**order, said=str(folder / "said")))

    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the nursery did not start")
        yield start
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=60)


# ---------------------------------------------------------------- looking at a command and killing it


def born(pid: int) -> str | None:
    """When a living process began, which with its number tells it from all others."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return words[19] if words[0] not in "ZX" else None


def cpu(pid: int) -> float:
    """Processor seconds of a process and its children, as far as they live."""
    total = 0.0
    for one in (pid, *_children(pid)):
        try:
            user, system = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:
            continue
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text().split()]
        except OSError:
            continue
    return found


def until(running: Running, seconds: float, more: float = 0.0) -> bool:
    """Wait until the command has used so many processor seconds, and `more` seconds; False if it ended before."""
    end = time.monotonic() + LONG
    while (code := running.code()) is None and cpu(running.pid) < seconds:
        if time.monotonic() > end:
            raise TimeoutError(f"process {running.pid} hangs")
        time.sleep(TICK)
    if code is None:
        time.sleep(more)
    return running.code() is None


def kill(running: Running, how: str) -> bool:
    """The whole group, the command alone, or one of its workers; False if there is nothing to kill any more."""
    workers = _children(running.pid)
    if running.code() is not None or (how == "worker" and not workers):
        return False
    if how == "group":
        os.killpg(running.pid, signal.SIGKILL)
    else:
        os.kill(running.pid if how == "command" else workers[-1], signal.SIGKILL)
    return True


def outlived(workers: Sequence[tuple[int, str | None]], seconds: float = 5.0) -> list[str]:
    """Workers that still live so many seconds after their command; they are ended."""
    end = time.monotonic() + seconds
    while alive := [pid for pid, birth in workers if birth is not None and born(pid) == birth]:
        if time.monotonic() > end:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            return [f"{len(alive)} workers outlived the command"]
        time.sleep(TICK)
    return []


# ---------------------------------------------------------------- trials


@dataclass
class Tally:
    """Kills (or pairs) so far, those after which all was well, and what went wrong."""

    tried: int = 0
    well: int = 0
    wrong: list[str] = field(default_factory=list)

    def close(self, label: str, kills: int, problems: Sequence[str]) -> None:
        self.tried += kills
        self.well += 0 if problems else kills
        self.wrong += [f"{label}: {problem}" for problem in problems]
        print(f"{label}: {kills} more, {'; '.join(problems) or 'well'}", file=sys.stderr, flush=True)


@dataclass
class Bench:
    """A victim, how it is started, and what its uninterrupted run leaves and costs."""

    victim: Victim
    start: Start
    scratch: Path
    expected: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0  # of processor time
    steps: int = 0
    rounds: int = 0

    def folder(self) -> Path:
        self.rounds += 1
        path = self.scratch / f"{self.victim.name}-{self.rounds}"
        path.mkdir(parents=True)
        return path

    def begin(self, folder: Path, at: int | None = None) -> Running:
        return self.start(self.victim, folder, at)

    def uninterrupted(self, counted: bool = False) -> None:
        folder = self.folder()
        running, used = self.begin(folder, 0 if counted else None), 0.0
        while running.code() is None:
            used = max(used, cpu(running.pid))
            time.sleep(TICK)
        if code := running.wait():
            raise RuntimeError(f"{shlex.join(self.victim.line)}: exit code {code}: {_said(folder)}")
        self.expected, self.seconds = left(folder / "out"), used
        self.steps = int((folder / "steps").read_text()) if counted else 0
        shutil.rmtree(folder)

    def judged(self, folder: Path, code: int) -> list[str]:
        """What is wrong with the folder of a command that has ended."""
        said = _said(folder)
        problems = [f"exit code {code}: {said[-300:]}"] if code else []
        problems += ["a traceback"] if "Traceback" in said else []
        problems += differences(self.expected, left(folder / "out"))
        if not problems:
            shutil.rmtree(folder)
        return problems


def killed(bench: Bench, kills: int, chance: random.Random, ways: Sequence[str]) -> Tally:
    """At random moments, up to MOST times before it may end."""
    tally = Tally()
    while tally.tried < kills:
        folder, problems = bench.folder(), list[str]()
        now, most = 0, min(chance.randint(1, MOST), kills - tally.tried)
        while True:
            running = bench.begin(folder)
            moment, more = chance.uniform(0, bench.seconds), chance.uniform(0, 2 * TICK)
            how = chance.choice(ways)
            hit = now < most and until(running, moment, more)
            workers = [(pid, born(pid)) for pid in _children(running.pid)] if hit else []
            hit = hit and kill(running, how)
            code = running.wait()
            hit = hit and (code != 0 or how == "worker")  # else it had just ended by itself
            now += hit
            problems += outlived(workers) if hit and how != "worker" else []
            if not hit:
                break
            if how == "worker":
                if code not in (0, 1):
                    problems.append(f"exit code {code} without a worker")
            elif code != -signal.SIGKILL:
                problems.append(f"killed ({how}), but the exit code is {code}: {_said(folder)[-300:]}")
        tally.close(bench.victim.name, now, problems + bench.judged(folder, code))
    return tally


def stepped(bench: Bench, most: int = 0, first: int = 1) -> Tally:
    """Before each step on files from the first, or before `most` of them, evenly apart and to the last."""
    tally, every = Tally(), range(first, bench.steps + 1)
    chosen = {round(bench.steps - k * len(every) / most) for k in range(most)} if most else every
    for at in sorted(chosen):
        folder = bench.folder()
        code = bench.begin(folder, at).wait()
        problems = [] if code == -signal.SIGKILL else [f"exit code {code}: {_said(folder)[-300:]}"]
        code = bench.begin(folder).wait()
        tally.close(f"{bench.victim.name} step {at}", 1, problems + bench.judged(folder, code))
    return tally


def paired(bench: Bench, pairs: int, chance: random.Random) -> Tally:
    """Two at once: one of them ends well, the other too or it says who holds the folder; nothing is spoiled."""
    tally = Tally()
    for _ in range(pairs):
        folder = bench.folder()
        first = bench.begin(folder)
        until(first, chance.uniform(0, bench.seconds))
        codes = [bench.begin(folder).wait(), first.wait()]
        said, problems = _said(folder), []
        if sorted(codes) not in ([0, 0], [0, 2]):
            problems.append(f"exit codes {codes}: {said[-300:]}")
        if 2 in codes and not re.search(r"error: .*: in use by (process \d+|another process); wait", said):
            problems.append(f"refused without the reason: {said[-300:]}")
        tally.close(f"{bench.victim.name}, two at once", 1, problems + bench.judged(folder, 0))
    return tally


def _without_scratch(words: Sequence[str]) -> list[str]:
    """The command line that others can repeat."""
    at = words.index("--scratch") if "--scratch" in words else len(words)
    return [*words[:at], *words[at + 2 :]]


def _said(folder: Path) -> str:
    path = folder / "said"
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""


# ---------------------------------------------------------------- the command line


def parser() -> argparse.ArgumentParser:
    from tests.hardening.victims import NAMES, WRITERS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", choices=(*NAMES, *WRITERS), required=True)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs="?", const=0, help="so many; without a number all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--scratch", type=Path, help="a folder for runs; those that went wrong stay in it")
    return parser


def main() -> int:
    from tests.hardening.victims import WARM, WRITERS, victims, writers

    asked = parser().parse_args()
    scratch = (asked.scratch or Path(tempfile.mkdtemp(prefix="crash-"))).resolve()
    command = shlex.join(["python", "tests/hardening/crash.py", *_without_scratch(sys.argv[1:])])
    with_steps = asked.steps is not None
    forked = asked.warm or with_steps
    modules = WARM if asked.command in WRITERS else ()
    with nursery(*modules) if forked else nullcontext(cold) as start:
        made = writers if asked.command in WRITERS else lambda folder: victims(folder, start)
        victim = made(scratch / "material")[asked.command]
        bench = Bench(victim, start, scratch)
        bench.uninterrupted(counted=with_steps)
        print(f"{victim.name}: {bench.seconds:.2f} s of processor time, {bench.steps} steps", file=sys.stderr)
        chance = random.Random(f"{victim.name} {asked.seed}")
        title = victim.title + " --arms" * (asked.command == "arms")
        trials = []
        if asked.kills:
            tally = killed(bench, asked.kills, chance, victim.ways)
            how = "" if forked else ", its start among them"
            how += f", seed {asked.seed}" if asked.seed else ""
            trials.append((f"{title} killed at random moments{how}", EQUAL, tally))
        if with_steps:
            tally = stepped(bench, asked.steps)
            which = f"{asked.steps} of its {bench.steps} steps" if asked.steps else "every step"
            trials.append((f"{title} killed before {which} on files", EQUAL, tally))
        if asked.pairs:
            tally = paired(bench, asked.pairs, chance)
            trials.append((f"{title} started twice on one folder", REFUSED, tally))
    for what, well, tally in trials:
        print(f"{what}: {tally.well} of {tally.tried} well", *tally.wrong, sep="\n  ")
        if asked.keep:
            found = SPOILED if tally.wrong else well
            keep(Trial("crash", what, tally.tried, tally.well, found, command))
    wrong = any(tally.wrong for *_, tally in trials)
    if not wrong:
        shutil.rmtree(scratch)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
