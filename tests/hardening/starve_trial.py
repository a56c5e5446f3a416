"""One trial: a command that lacks something, and then, in the same folder, the command that lacks nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.hardening.starve_check import complaint, differences, result, torn
from tests.hardening.starve_commands import NAMED, Command, needs, write_files
from tests.hardening.starve_run import NEWNS, Ended, Lack, apart, run, unmount

MADE = {name: f"made/{name.replace(' ', '-')}" for name in NAMED}  # and `out` in it
OUTS = {name: f"{place}/out" for name, place in MADE.items()}
NOTHING = Lack()
ODD = "Größe „süß“ – 漢字 мир [1] {x} %s & it's"


@dataclass(frozen=True)
class Trial:
    command: str
    want: str
    how: str
    code: int
    wrong: str  # "" if it survived
    said: str
    seconds: float


@dataclass(frozen=True)
class Stock:
    """The files that commands are given, and what each makes when it lacks nothing."""

    folder: Path
    results: dict[str, dict[str, Any]]

    def place(self, odd: bool) -> Path:
        """A fresh folder to run in, with what the commands are given in it; with `odd` it has an odd name."""
        above = Path(tempfile.mkdtemp(dir=self.folder))
        above.chmod(0o755)
        folder = above / (ODD if odd else "trial")
        for given in ("disk", "tmp"):
            (folder / given).mkdir(parents=True)
        for given in ("files", "made"):
            if odd:
                shutil.copytree(self.folder / given, folder / given)
            else:
                (folder / given).symlink_to(self.folder / given)
        return folder


@dataclass(frozen=True)
class How:
    """`before` brings the want about and `after` ends it; `finished`: the command has been run before; `works`: it must
    work all the same; `names`: one of these must be in the error."""

    lack: Lack = NOTHING
    before: Callable[[Path], None] = lambda place: None
    after: Callable[[Path], None] = lambda place: None
    names: Sequence[str] = ()
    works: bool = False
    finished: bool = False
    odd: bool = False
    namespaces: int = 0
    silent: bool = False  # nobody can hear its error


def prepare(commands: Sequence[Command], folder: Path) -> Stock:
    """What the commands are given, and what they make with nothing lacking."""
    write_files(folder / "files", models=any(not command.fast for command in commands))
    (folder / "made").mkdir()
    stock = Stock(folder, {})
    wanted = {name for command in commands for name in (*needs(command), command.name)}
    for name in filter(wanted.__contains__, NAMED):
        words = NAMED[name].said(OUTS, "files", f"{MADE[name]}/out")
        ended = run(words, folder, Lack())
        if ended.code:
            raise SystemExit(f"{' '.join(words)} ends with {ended.code} with nothing lacking:\n{ended.err}")
        print(f"{ended.seconds:5.1f} s  {name}", file=sys.stderr, flush=True)
        stock.results[name] = _found(NAMED[name], folder, ended, "", f"{MADE[name]}/out")
    return stock


def attempt(command: Command, stock: Stock, want: str, how: str, kind: How) -> Trial:
    """The trial, in a process of its own, so that nothing is taken away from ours."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        where = Path()
        try:
            os.close(reader)
            os.umask(0o022)
            where = stock.place(kind.odd)
            trial = _attempt(command, stock, where, want, how, kind)
        except BaseException as problem:
            trial = Trial(
                command.name, want, how, 99, f"the trial broke: {problem!r}", traceback.format_exc(), 0.0
            )
        try:
            os.write(writer, json.dumps(asdict(trial)).encode())
            os.chdir("/")
            if kind.namespaces & NEWNS:
                unmount(where / "disk", where / "tmp")
            shutil.rmtree(where.parent, ignore_errors=True)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        told = file.read()
    os.waitpid(child, 0)
    return Trial(**json.loads(told))


def _attempt(command: Command, stock: Stock, where: Path, want: str, how: str, kind: How) -> Trial:
    if kind.namespaces:
        apart(kind.namespaces)
    above = f"{where}/" if kind.odd else ""
    made = {name: f"{above}{path}/out" for name, path in MADE.items()}
    out = f"{above}disk/out"
    words = command.said(made, f"{above}files", out)

    def unlike(ended: Ended) -> str:
        found = _found(command, where, ended, above, out)
        return differences(found, stock.results[command.name], command.timed)

    wrong = ""
    if kind.finished and (ended := run(words, where, Lack())).code:
        wrong = f"cannot begin: {ended.err[-300:]}"
    kind.before(where)
    ended = run(words, where, kind.lack)
    if not wrong and not (kind.silent and ended.code in (1, 120)):
        wrong = complaint(ended, kind.names)
    if kind.works and ended.code:
        wrong = wrong or "does not work"
    wrong = wrong or torn(where / "disk")
    if not ended.code and not kind.silent:
        wrong = wrong or unlike(ended)
    kind.after(where)
    if ended.code and not wrong:
        again = run(words, where, Lack())
        if (more := unlike(again)) or again.code not in (
            0,
            2,
        ):  # 2: it is finished and refuses to begin again
            wrong = f"again, {again.code}: {more}: {again.err[-300:]}"
    lines = [line for line in ended.err.splitlines() if line.strip()]
    said = "\n".join(lines[-30:]) if wrong else (lines[-1] if lines and ended.code else "")
    return Trial(command.name, want, how, ended.code, wrong, said, round(ended.seconds, 2))


def _found(command: Command, where: Path, ended: Ended, above: str, out: str) -> dict[str, Any]:
    if not command.writes:
        return {"standard output": ended.out.replace(above, "") if above else ended.out}
    places = {f"{where.resolve()}/{out.removeprefix(above)}": "OUT", out: "OUT"}
    stock = where if (where / "files").is_dir() and not (where / "files").is_symlink() else where.parents[1]
    return result(where / out, {**places, f"{stock.resolve()}/": "", **({above: ""} if above else {})})
