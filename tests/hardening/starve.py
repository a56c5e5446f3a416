"""Every command of the four rooms, short of something: disk, memory, cores, rights, network, HOME, letters, time.

    python tests/hardening/starve.py --keep                               # all of it; leaves lines in survived.jsonl
    python tests/hardening/starve.py --want disk --command "theory world"
    python tests/hardening/starve.py --command "figures forest" --keep    # one line of it alone

Each trial runs a command that lacks something and then, in the same folder, the command that lacks nothing. Wanted: it
works, with equal results; or one line says what is wrong, where and what to do, with exit code 1 or 2, nothing is
half-written, and the second run ends with the results of a command that never lacked anything. Linux; as root or with
user namespaces, or else those wants are left out that need them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.hardening.starve_commands import NAMED, Command
from tests.hardening.starve_run import NEWNET, NEWNS, ROOT, Lack, can, disk
from tests.hardening.starve_trial import How, Stock, Trial, attempt, prepare

PAGE = os.sysconf("SC_PAGE_SIZE")
PLENTY = "1g"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOMELESS = {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "MPLCONFIGDIR": None}

Ways = Iterator[tuple[str, How]]
Want = Callable[[Command, dict[str, Any], int], Ways]


def full_disk(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """A file system with room for 0, 1, 2 ... pages."""
    sizes = [
        len(data) if isinstance(data, bytes | str) else len(json.dumps(data)) for data in results.values()
    ]
    for room in steps(2 * sum(-(-size // PAGE) for size in sizes) + 16, limit):

        def before(place: Path, room: int = room) -> None:
            disk(place / "disk", size=(room + 1) * PAGE, mode="755")
            (place / "disk" / "ballast").write_bytes(b"x" * PAGE)

        def after(place: Path) -> None:
            (place / "disk" / "ballast").unlink()
            disk(place / "disk", size=PLENTY)

        yield f"{room} pages", How(before=before, after=after, names=("disk",), namespaces=NEWNS)


def few_files(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """A file system that holds 0, 1, 2 ... files."""
    for room in steps(2 * len(results) + 12, limit):

        def before(place: Path, room: int = room) -> None:
            disk(place / "disk", size=PLENTY, nr_inodes=room + 1, mode="755")

        def after(place: Path) -> None:
            disk(place / "disk", nr_inodes=100_000)

        yield f"{room} files", How(before=before, after=after, names=("disk",), namespaces=NEWNS)


def short_files(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """No file may be longer than so many bytes: a write ends in its middle."""
    for most in (0, 1, 7, 100, 1000, 5000, 20_000, 100_000, 400_000)[: max(2, limit // 2)]:
        yield (
            f"{most} bytes",
            How(Lack(limits={resource.RLIMIT_FSIZE: most}), names=("disk", "tmp", "/dev/shm")),
        )


def temporary(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Temporary files have 0, 1 or 2 pages, the output as many as it wants."""
    for room in range(min(3, limit - 1)):

        def before(place: Path, room: int = room) -> None:
            disk(place / "tmp", size=(room + 1) * PAGE, mode="755")
            (place / "tmp" / "ballast").write_bytes(b"x" * PAGE)

        yield f"{room} pages for TMPDIR", How(Lack({"TMPDIR": "tmp"}), before=before, namespaces=NEWNS)


def crowded(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Nothing that can be stored beside memory is held in it, and the temporary folder fills sooner or later."""
    for room in (1, 2, 4, 8, 16, 32, 64)[: max(2, limit // 2)]:  # with none at all another folder is taken

        def before(place: Path, room: int = room) -> None:
            disk(place / "tmp", size=(room + 1) * PAGE, mode="755")
            (place / "tmp" / "ballast").write_bytes(b"x" * PAGE)

        lack = Lack({"TMPDIR": "tmp"}, spilling=True)
        yield f"{room} pages", How(lack, before=before, names=("TMPDIR",), namespaces=NEWNS)


def full_output(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Standard output is a full disk; then standard error too."""
    yield "output", How(Lack(mute=(1,)), names=("standard output",), silent=False)
    yield "output and errors", How(Lack(mute=(1, 2)), silent=True)


def memory(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """1 GB of writable memory for every process (RLIMIT_DATA)."""
    yield "1 GB", How(Lack(limits={resource.RLIMIT_DATA: 2**30}, fresh=True))


def little(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Little more memory than the modules take."""
    found = re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())
    held = int(found[1]) * 1024 if found else 0
    for more in (1, 4, 16, 64)[: max(2, limit // 4)]:
        yield f"{more} MB more", How(Lack(limits={resource.RLIMIT_DATA: held + more * 2**20}))


def core(command: Command, results: dict[str, Any], limit: int) -> Ways:
    yield "one core", How(Lack(one_core=True), works=True)


def rights(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """A disk that cannot be written, a folder that is another's, and both with finished work in them."""

    def mounted(place: Path) -> None:
        inside, aside = place / "disk" / "out", place / "aside"
        if inside.exists():
            shutil.copytree(inside, aside)
        disk(place / "disk", size=PLENTY, mode="755")
        if aside.exists():
            shutil.copytree(aside, inside)
        disk(place / "disk", readonly=True)

    def forbid(place: Path) -> None:
        for path in (place / "disk", *(place / "disk").rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    def allow(place: Path) -> None:
        for path in (place / "disk", *(place / "disk").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    shut = How(
        before=mounted,
        after=lambda place: disk(place / "disk", size=PLENTY),
        names=("disk",),
        namespaces=NEWNS,
    )
    others = How(Lack(stranger=True), before=forbid, after=allow, names=("disk",))
    yield "read-only disk", shut
    yield "another's folder", others
    if limit > 2:
        yield "read-only disk with finished work", replace(shut, finished=True)
        yield "another's folder with finished work", replace(others, finished=True)


def network(command: Command, results: dict[str, Any], limit: int) -> Ways:
    yield "none", How(works=True, namespaces=NEWNET)


def home(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """HOME is nowhere; and there is none, for a user whom no table knows."""
    for how, own in (("/nonexistent", {**HOMELESS, "HOME": "/nonexistent"}), ("none", HOMELESS)):
        yield how, How(Lack(own, fresh=True, stranger=True), works=True)


def letters(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Locale C without Python's own UTF-8 mode, output in Latin-1, a path of all kinds of letters, all of it."""
    yield "odd path", How(works=True, odd=True)
    yield "LC_ALL=C PYTHONUTF8=0", How(Lack(ASCII, fresh=True), works=True)
    if command.writes:  # others print the path, in escapes
        yield "odd path, LC_ALL=C PYTHONUTF8=0", How(Lack(ASCII, fresh=True), odd=True)
    if not command.heavy:
        yield "output in Latin-1", How(Lack({"PYTHONIOENCODING": "latin-1:strict"}, fresh=True), works=True)


def clock(command: Command, results: dict[str, Any], limit: int) -> Ways:
    """Every look at the clock is a minute before the last one; and the finished work is of next year."""

    def next_year(place: Path) -> None:
        later = time.time() + 366 * 86400
        for path in (place / "disk").rglob("*"):
            os.utime(path, (later, later))

    yield "backwards", How(Lack(backwards=True, fresh=command.heavy), works=True)
    if (
        command.writes and command.name != "synthetic pocket"
    ):  # which writes into no folder that holds something
        yield "files of next year", How(before=next_year, finished=True, works=True)


WRITING = {full_disk, few_files, short_files, temporary, rights}
ENDS = {full_disk, few_files, short_files, crowded}
HEAVY = {full_disk: 8}  # most steps of commands of seconds, of other wants 2
WANTS: dict[str, tuple[str, Want, int]] = {
    "disk": ("disk full at every page of 4 KiB", full_disk, NEWNS),
    "files": ("no room for one more file, for every file", few_files, NEWNS),
    "length": ("files cut off at a length (RLIMIT_FSIZE)", short_files, 0),
    "temporary": ("no room for temporary files", temporary, NEWNS),
    "crowded": ("temporary files for which there is room no more, from the first page on", crowded, NEWNS),
    "output": ("standard output, and errors too, on a full disk", full_output, 0),
    "memory": ("1 GB of memory a process (RLIMIT_DATA)", memory, 0),
    "little": ("1 to 64 MB more memory than the modules take (RLIMIT_DATA)", little, 0),
    "core": ("one core", core, 0),
    "rights": (
        "output that cannot be written: a read-only disk, another's folder, new and finished",
        rights,
        NEWNS,
    ),
    "network": ("no network", network, NEWNET),
    "hub": ("a hub's name without a network", network, NEWNET),
    "home": ("HOME that is not there, no HOME", home, 0),
    "letters": ("locale C, output in Latin-1, a path of odd letters", letters, 0),
    "clock": ("a clock that goes backwards, files of next year", clock, 0),
}


def trials(
    want: str,
    commands: Sequence[Command],
    stock: Stock,
    limit: int,
    wanted: Callable[[str, str], object] = lambda command, how: True,
) -> Iterator[Trial]:
    """Every trial of a want; where less and less is taken away, until the command works."""
    ways = WANTS[want][1]
    for command in commands:
        if want == "hub":
            if command.hub:
                yield nobody(command, stock)
            continue
        if (ways in WRITING and not command.writes) or (ways is crowded and command.room != "realmodels"):
            continue
        most = min(limit, HEAVY.get(ways, 2)) if command.heavy else limit
        for how, kind in ways(command, stock.results[command.name], most):
            if not wanted(command.name, how):
                continue
            trial = attempt(command, stock, want, how, kind)
            yield trial
            if ways in ENDS and not trial.wrong and not trial.code:
                break


def nobody(command: Command, stock: Stock) -> Trial:
    """A hub's name without a network: refused at once, in one line that says what to do."""
    lack = Lack({"HF_HUB_OFFLINE": None, "HF_HOME": "disk/hub"}, fresh=True)
    kind = How(lack, names=("nobody/nothing",), namespaces=NEWNET)
    asked = replace(command, words=command.hub)
    trial = attempt(asked, stock, "hub", "nobody/nothing", replace(kind, silent=False))
    wrong = (
        "" if trial.wrong.startswith("again") else trial.wrong
    )  # without a network it cannot be done again
    if not wrong and (trial.code not in (1, 2) or "network" not in trial.said):
        wrong = f"does not say that there is no network: {trial.said}"
    return replace(trial, wrong=wrong)


def steps(most: int, limit: int) -> list[int]:
    """0, 1, 2 ... up to `most`; of more than `limit` the first half of it, and then ever larger steps."""
    if most < limit:
        return list(range(most + 1))
    dense = limit // 2
    return [
        *range(dense),
        *(dense + round((most - dense) * (k / (limit - dense)) ** 2) for k in range(1, limit - dense + 1)),
    ]


def preload(commands: Sequence[Command], folder: Path) -> None:
    """Modules that the forked commands then need not load."""
    import scipy.special  # noqa: F401
    import tyro  # noqa: F401

    import theory.claims
    import theory.theorems  # noqa: F401

    rooms = {command.room for command in commands if not command.fast}
    if "figures" in rooms:
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_pdf
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401
    if rooms & {"synthetic", "realmodels"}:
        import torch

        torch.set_num_threads(1)
    if "realmodels" in rooms:
        import peft  # noqa: F401

        from realmodels.loading import load

        load(str(folder / "files" / "tiny"))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--want", action="append", choices=list(WANTS))
    parser.add_argument("--command", action="append", choices=list(NAMED))
    parser.add_argument("--how", default="", help="only ways that this expression finds, such as '^odd path'")
    parser.add_argument(
        "--limit", type=int, default=16, help="most steps of a want of which there is more and less"
    )
    parser.add_argument("--output", type=Path, help="write every trial as a JSON line")
    parser.add_argument("--again", type=Path, help="try only what failed in this --output of an earlier run")
    parser.add_argument("--keep", action="store_true", help="leave lines in survived.jsonl")
    return parser


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    one = dict.fromkeys((f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS")), "1")
    os.environ |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **one}
    os.environ.pop("PYTHONUNBUFFERED", None)
    told = flags.again.read_text(encoding="utf-8").splitlines() if flags.again else []
    before = [Trial(**json.loads(line)) for line in told]
    failed = {(trial.command, trial.want, trial.how) for trial in before if trial.wrong}
    commands = [
        NAMED[name] for name in flags.command or NAMED if not told or name in {c for c, _, _ in failed}
    ]
    together = bool(flags.command) and not flags.want
    wants = [name for name in flags.want or WANTS if can(WANTS[name][2])]
    wants = [name for name in wants if not told or name in {trial.want for trial in before}]
    done: list[Trial] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        stock = prepare(commands, folder)
        preload(commands, folder)
        with open(flags.output or os.devnull, "w", encoding="utf-8") as out:
            for want in wants:

                def wanted(command: str, how: str, want: str = want) -> bool:
                    return bool(re.search(flags.how, how)) and (not told or (command, want, how) in failed)

                for trial in trials(want, commands, stock, flags.limit, wanted):
                    done.append(trial)
                    print(json.dumps(asdict(trial)), file=out, flush=True)
                    if trial.wrong:
                        print(
                            f"FAILED {trial.command}, {want} {trial.how}: {trial.wrong}\n{trial.said}",
                            flush=True,
                        )
                if flags.keep and not together:
                    own = [trial for trial in done if trial.want == want]
                    fine = [trial for trial in before if trial.want == want and not trial.wrong]
                    keep_line(want, own, fine, flags.command or ())
    if flags.keep and together:
        keep_lines(done, flags.command)
    print(table(done))
    return int(any(trial.wrong for trial in done))


def table(done: Sequence[Trial]) -> str:
    lines = [f"{'want':10} {'trials':>7} {'worked':>7} {'one line':>9} {'failed':>7} {'seconds':>8}"]
    for want in WANTS:
        if own := [trial for trial in done if trial.want == want]:
            bad = sum(bool(trial.wrong) for trial in own)
            well = sum(not trial.code for trial in own if not trial.wrong)
            spent = sum(trial.seconds for trial in own)
            lines.append(
                f"{want:10} {len(own):7,} {well:7,} {len(own) - well - bad:9,} {bad:7,} {spent:8.0f}"
            )
    return "\n".join(lines)


def keep_line(
    want: str, own: Sequence[Trial], before: Sequence[Trial] = (), asked: Sequence[str] = ()
) -> None:
    """`before` are those of an earlier run that need not be tried again; `asked`: these commands alone."""
    every = [*before, *own]
    found = _found(every)
    if before and own:
        names = ", ".join(dict.fromkeys(trial.command for trial in own))
        found += f"; {names} tried again after mending"
    alone = f": {', '.join(asked)}" if asked else ""
    _keep(WANTS[want][0] + alone, every, found, f" --want {want}", asked)


def keep_lines(done: Sequence[Trial], asked: Sequence[str]) -> None:
    """Commands that were tried with every want: a line of their own, beside those of the wants."""
    wants = len({trial.want for trial in done})
    _keep(f"{', '.join(asked)} alone, {wants} ways of wanting", done, _found(done), "", asked)


def _found(every: Sequence[Trial]) -> str:
    worked = sum(not trial.code for trial in every if not trial.wrong)
    many = len({trial.command for trial in every})
    return f"{many} command{'s' * (many != 1)}: usual results {worked:,} times, else one line, nothing half-written"


def _keep(what: str, every: Sequence[Trial], found: str, want: str, asked: Sequence[str]) -> None:
    from tests.hardening.survived import Trial as Kept
    from tests.hardening.survived import keep

    some = "".join(f" --command '{name}'" for name in asked)
    command = f"python tests/hardening/starve.py{want}{some} --keep"
    keep(Kept("starve", what, len(every), sum(not trial.wrong for trial in every), found, command))


if __name__ == "__main__":
    sys.exit(main())
