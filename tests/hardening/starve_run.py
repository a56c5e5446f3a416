"""One command under one kind of want: a forked or a fresh Python, with its disk, memory, cores, rights, network,
environment or clock taken away. Linux; mounts and networks are taken away in namespaces of the process alone."""

from __future__ import annotations

import ctypes
import io
import os
import resource
import runpy
import selectors
import signal
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLOCK = Path(__file__).parent / "clock"  # a sitecustomize whose clock goes backwards
ROOMS = ("theory", "synthetic", "realmodels", "figures")
PATIENCE = 150.0  # seconds after which a command counts as hung
NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000
STRANGER = 54_321
RDONLY, REMOUNT, REC, PRIVATE, DETACH = 1, 32, 16384, 1 << 18, 2
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Lack:
    """What is taken away from a process. `environment` may hold None for a variable that goes."""

    environment: Mapping[str, str | None] = field(default_factory=dict)
    fresh: bool = False  # a new Python, where what a Python reads when it starts is meant
    limits: Mapping[int, int] = field(default_factory=dict)
    one_core: bool = False
    stranger: bool = False  # a user without any rights beyond those of his files, and whom no table knows
    backwards: bool = False
    spilling: bool = False  # what is stored beside memory goes there at once, however little it is
    mute: tuple[int, ...] = ()  # file descriptors that are a full disk


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    seconds: float


def call(name: str, *words: object) -> None:
    if getattr(_libc, name)(*words):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def apart(flags: int) -> None:
    """Into namespaces of our own; nobody but root needs one for the users too."""
    user, group = os.getuid(), os.getgid()
    call("unshare", flags | (NEWUSER if user else 0))
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    if flags & NEWNS:
        call("mount", b"none", b"/", None, REC | PRIVATE, None)


def _estrange() -> None:
    """Be a user of another number, whose files ours are, and without the powers of root."""
    user, group = os.getuid(), os.getgid()
    try:
        call("unshare", NEWUSER)
    except OSError:
        if not user:
            raise
        return  # nobody but root may write everywhere
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{STRANGER} {user} 1"),
        ("gid_map", f"{STRANGER} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)
    version = 0x20080522
    call("capset", (ctypes.c_uint32 * 2)(version, 0), (ctypes.c_uint32 * 6)())


def disk(folder: Path, **options: object) -> None:
    """Mount memory of this size there, or mount it again with other options."""
    again = REMOUNT if os.path.ismount(folder) else 0
    readonly = RDONLY if options.pop("readonly", False) else 0
    words = ",".join(f"{name}={value}" for name, value in options.items())
    call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", again | readonly, words.encode())


def unmount(*folders: Path) -> None:
    for folder in folders:
        if os.path.ismount(folder):
            call("umount2", os.fsencode(folder), DETACH)


def can(flags: int) -> bool:
    """Whether this machine lets us have such namespaces."""
    child = os.fork()
    if not child:
        try:
            apart(flags)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def run(words: Sequence[str], place: Path, lack: Lack) -> Ended:
    """The command in this folder, under this lack, until it ends or is killed for being too slow."""
    began = time.monotonic()
    pairs = [os.pipe() for _ in range(2)]
    readers = [reader for reader, _ in pairs]
    writers = [writer for _, writer in pairs]
    for number in lack.mute:
        os.close(writers[number - 1])
        writers[number - 1] = os.open("/dev/full", os.O_WRONLY)
    child = os.fork()
    if not child:
        _be(words, place, lack, writers)
    for end in writers:
        os.close(end)
    deadline = began + PATIENCE
    texts, hung = _read(readers, child, deadline)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:  # one without outputs has nothing that is read
        if time.monotonic() > deadline and not hung:
            os.killpg(child, signal.SIGKILL)
            hung = True
        time.sleep(0.005)
    code = -signal.SIGALRM if hung else os.waitstatus_to_exitcode(ended[1])
    return Ended(code, *texts, time.monotonic() - began)


def _read(ends: Sequence[int], child: int, deadline: float) -> tuple[list[str], bool]:
    hung = False
    found = dict.fromkeys(ends, b"")
    with selectors.DefaultSelector() as waiting:
        for end in ends:
            waiting.register(end, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select(timeout=1.0):
                if piece := os.read(key.fd, 1 << 16):
                    found[key.fd] += piece
                else:
                    waiting.unregister(key.fd)
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                hung = True
                break
    for end in ends:
        os.close(end)
    return [text.decode(errors="backslashreplace") for text in found.values()], hung


def _be(words: Sequence[str], place: Path, lack: Lack, ends: Sequence[int]) -> None:
    """The forked process: becomes the command, never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, end in enumerate(ends, start=1):
            os.dup2(end, number)
        os.chdir(place)
        for name, value in lack.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if lack.backwards:
            os.environ["PYTHONPATH"] = f"{CLOCK}{os.pathsep}{os.environ['PYTHONPATH']}"
        if lack.one_core:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        if lack.stranger:
            _estrange()
        for kind, most in lack.limits.items():
            resource.setrlimit(kind, (most, most))
        if lack.fresh:
            os.execv(sys.executable, [sys.executable, "-m", *words])
        code = _command(words, lack)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _command(words: Sequence[str], lack: Lack) -> int:
    """What `python -m ROOM ...` does, with modules that are loaded already."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")  # noqa: SIM115
    errors = open(2, "wb", 0, closefd=False)  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(errors, "utf-8", "backslashreplace", write_through=True)
    room = words[0]
    sys.argv = [str(ROOT / room / "__main__.py"), *words[1:]]
    sys.modules["__main__"] = types.ModuleType("__main__")  # a spawned process would import it
    if tqdm := sys.modules.get("tqdm"):  # forks share the memory of its lock, and one may have died with it
        tqdm.tqdm.set_lock(threading.RLock())
    tempfile.tempdir = None  # which was found where nothing lacked
    if lack.spilling:
        from realmodels import stored

        stored.HELD, stored.PAGES = 0, 1
    if lack.backwards:
        clock = runpy.run_path(str(CLOCK / "sitecustomize.py"))
        clock["turn_back"](
            *(m for name, m in sys.modules.items() if name.partition(".")[0] in (*ROOMS, "tqdm"))
        )
    from theory.startup import start

    try:
        code = start(room, "about")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        code = 1
        with suppress(OSError):
            traceback.print_exc()
    try:
        sys.stdout.flush()
    except OSError:  # as a Python that ends has it
        code = 120
        with suppress(OSError):
            print("Exception ignored in: standard output", file=sys.stderr)
    return code
