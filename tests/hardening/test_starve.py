"""Commands that lack something: a trial each of `starve.py`, and what trials found, one by one."""

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from realmodels import attend, eval_run, places, smollm
from realmodels.errors import RealmodelsError
from realmodels.loading import plainly
from synthetic.errors import SyntheticError
from synthetic.summary import summarise
from synthetic.workers import attempt
from theory.command import main
from theory.errors import TheoryError, out_of_memory
from theory.runs import locked
from theory.startup import start

from . import starve, starve_run, starve_trial
from .starve_commands import NAMED, write_records
from .starve_run import can

ROOMS = ("theory", "synthetic", "realmodels", "figures")
SCRIPT = Path(starve.__file__)
TORCH = "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
QUICK = {
    "theory world": ("disk", "files", "length", "output", "core", "rights", "network", "clock"),
    "realmodels filter --arms": ("disk", "crowded"),
}


@pytest.mark.parametrize("room", ROOMS)
def test_every_command_of_a_room_is_starved(room):
    for command in importlib.import_module(f"{room}.cli").COMMANDS:
        name = f"{room} {command}"
        assert any(one == name or one.startswith(f"{name} ") for one in NAMED), name


def run_trials(path, *words):
    """The script's trials by command and want."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words, "--output", str(path)],
        capture_output=True,
        text=True,
        timeout=7200,
    )
    assert done.returncode in (0, 1), done.stderr
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        trial = json.loads(line)
        found.setdefault((trial["command"], trial["want"]), []).append(trial)
    return found


def survived(found, command, want):
    if not can(starve.WANTS[want][2]):
        pytest.skip("namespaces of mounts or networks are not to be had here")
    trials = found[command, want]
    assert [trial for trial in trials if trial["wrong"]] == []
    return trials


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("limits and namespaces are Linux's")
    place, found = tmp_path_factory.mktemp("starve"), {}
    for number, (name, wants) in enumerate(QUICK.items()):
        words = [word for want in wants for word in ("--want", want)]
        found |= run_trials(place / f"{number}.jsonl", "--command", name, *words, "--limit", "2")
    return found


@pytest.mark.parametrize(
    ("command", "want"), [(name, want) for name, wants in QUICK.items() for want in wants]
)
def test_a_starved_command_works_or_says_what_it_lacks(quick, command, want):
    trials = survived(quick, command, want)
    if want in ("disk", "files", "length", "output", "crowded"):
        assert any(trial["code"] for trial in trials), "nothing was lacking"
    if want in ("disk", "files"):
        assert not trials[-1]["code"], "there was room enough"


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return run_trials(tmp_path_factory.mktemp("starve") / "trials.jsonl", "--limit", "8")


@pytest.mark.slow
@pytest.mark.parametrize("want", starve.WANTS)
@pytest.mark.parametrize("command", NAMED)
def test_every_command_survives_every_want(every, command, want):
    if (command, want) not in every and can(starve.WANTS[want][2]):
        known = NAMED[command]
        ways = starve.WANTS[want][1]
        elsewhere = ways is starve.crowded and known.room != "realmodels"
        assert (want == "hub" and not known.hub) or (ways in starve.WRITING and not known.writes) or elsewhere
        pytest.skip("it has nothing of the kind")
    survived(every, command, want)


def test_what_failed_is_tried_again_and_counted_with_the_rest(tmp_path, monkeypatch):
    """`network` of `theory list` failed before, that of `theory show` did not."""
    if not can(starve.WANTS["network"][2]):
        pytest.skip("a namespace of networks is not to be had here")
    fine = starve_trial.Trial("theory show", "network", "none", 0, "", "", 0.1)
    wrong = starve_trial.Trial("theory list", "network", "none", 1, "does not work", "", 0.1)
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("".join(json.dumps(asdict(trial)) + "\n" for trial in (fine, wrong)))
    kept = []
    monkeypatch.setattr("tests.hardening.survived.keep", kept.append)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # which the script changes
    assert starve.main(["--again", str(earlier), "--keep"]) == 0
    ((line, tried, survived),) = [(one.found, one.tried, one.survived) for one in kept]
    assert (tried, survived) == (2, 2)
    assert "2 commands: usual results 2 times" in line
    assert line.endswith("theory list tried again after mending")


def tried(monkeypatch, want, name, limit, works=lambda how: False):
    """The ways in which a command of 100 pages of results is starved."""

    def attempt(command, stock, want, how, kind):
        return starve_trial.Trial(command.name, want, how, int(not works(how)), "", "", 0.1)

    monkeypatch.setattr(starve, "attempt", attempt)
    stock = starve_trial.Stock(Path(), {name: {"a": b"x" * 100 * starve.PAGE}})
    return [trial.how for trial in starve.trials(want, [NAMED[name]], stock, limit)]


def test_a_disk_fills_at_many_writes_of_a_heavy_command_too(monkeypatch):
    found = [int(how.removesuffix(" pages")) for how in tried(monkeypatch, "disk", "theory data", 16)]
    assert found == sorted(set(found))
    assert len(found) == 8
    assert sum(0 < pages < 100 for pages in found) >= 4  # less than its results
    assert found[-1] > 200
    enough = tried(monkeypatch, "disk", "theory data", 16, works=lambda how: int(how.split()[0]) > 100)
    assert enough == [f"{pages} pages" for pages in found[: len(enough)]]  # and no more of it
    assert len(enough) == 1 + sum(pages <= 100 for pages in found)
    assert len(tried(monkeypatch, "files", "theory data", 16)) <= 3
    assert len(tried(monkeypatch, "disk", "theory world", 16)) == 16


def test_little_memory_is_a_want_of_its_own(monkeypatch):
    assert tried(monkeypatch, "memory", "theory world", 16) == ["1 GB"]
    assert tried(monkeypatch, "little", "theory world", 16) == [f"{more} MB more" for more in (1, 4, 16, 64)]
    assert tried(monkeypatch, "little", "theory data", 16) == ["1 MB more", "4 MB more"]


def test_lines_of_some_commands_stand_beside_those_of_all(tmp_path, monkeypatch):
    if not can(starve.WANTS["network"][2]):
        pytest.skip("a namespace of networks is not to be had here")
    kept = []
    monkeypatch.setattr("tests.hardening.survived.keep", kept.append)
    monkeypatch.setattr(starve, "WANTS", {name: starve.WANTS[name] for name in ("network", "core")})
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for more in ([], ["--want", "network"]):
        assert starve.main(["--command", "theory list", "--keep", *more]) == 0
    assert [(one.what, one.tried, one.survived) for one in kept] == [
        ("theory list alone, 2 ways of wanting", 2, 2),
        ("no network: theory list", 1, 1),
    ]
    assert [one.command for one in kept] == [
        f"python tests/hardening/starve.py{want} --command 'theory list' --keep"
        for want in ("", " --want network")
    ]
    assert kept[0].found == "1 command: usual results 2 times, else one line, nothing half-written"


# ---------------------------------------------------------------- what was found


@pytest.mark.parametrize("words", [("vocabulary",), ("--help",)])
def test_a_full_disk_behind_standard_output_is_named(root, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "theory", *words], stdout=full, stderr=subprocess.PIPE, text=True, cwd=root
        )
    assert done.returncode == 1
    said = "error: standard output: No space left on device; free some and run the same command again\n"
    assert done.stderr == said


def failing(problem):
    @dataclass(frozen=True)
    class Broken:
        """Fails."""

        def run(self) -> int:
            raise problem

    return {"go": Broken, "other": Broken}


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "out/a"),
            1,
            "out/a: Read-only file system; choose a place",
        ),
        (OSError(errno.ENOSPC, "No space; free some", "a"), 1, "error: a: No space; free some\n"),
        (RuntimeError(TORCH), 1, "error: out of memory; ask for less at once"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "error: out of memory"),
        (ImportError("x.so: failed to map segment from shared object"), 1, "error: out of memory"),
        (SystemError("error return without exception set"), 1, "error: out of memory"),
        (
            SyntaxError("expected ':'", ("audit.py", 3, 1, "x")),
            1,
            "error: audit.py: is read as no Python (expected ':')",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "out of memory.txt"),
            2,
            "out of memory.txt: No such file",
        ),
        (
            UnicodeEncodeError("utf-8", "a\udcc3", 1, 2, "surrogates not allowed"),
            2,
            r"'a\udcc3': is no text in utf-8",
        ),
    ],
)
def test_what_the_system_lacks_is_one_line(capsys, problem, code, line):
    assert main("x", "about", failing(problem), ["go"]) == code
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("problem", [RuntimeError("a bug"), ImportError("a bug"), SystemError("a bug")])
def test_other_errors_are_bugs(problem):
    with pytest.raises(type(problem)):
        main("x", "about", failing(problem), ["go"])
    assert not out_of_memory(problem)


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (MemoryError(), "error: not enough memory to load the modules; give it more\n"),
        (SystemError("error return without exception set"), "error: not enough memory to load the modules"),
        (SyntaxError("expected ':'", ("cli.py", 3, 1, "x")), "error: cli.py: is read as no Python (expected ':')"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_loaded_are_one_line(monkeypatch, capsys, problem, line):
    def load(name):
        raise problem

    monkeypatch.setattr("theory.startup.import_module", load)
    monkeypatch.setattr("theory.startup._named", lambda output: output)
    assert start("theory", "about") == 1
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize("name", ["attend", "eval"])
def test_a_name_that_is_no_text_leaves_no_word_of_whose_folder_this_is(tmp_path, name):
    """Else the same command in a locale that can say it would be refused."""
    job = SimpleNamespace(
        model="Gr\udcc3\udcb6e", output=tmp_path, overwrite=False, task=SimpleNamespace(source="rows.jsonl")
    )
    with pytest.raises(UnicodeEncodeError):
        attend._begin(job, "key") if name == "attend" else eval_run._begin(job, (), "float32")
    assert [path.name for path in tmp_path.iterdir()] == ["environment.json"]


def test_torch_without_memory_is_told_from_a_broken_model():
    with pytest.raises(MemoryError), plainly("model"):
        raise RuntimeError(TORCH)
    with pytest.raises(RealmodelsError, match="model: cannot be opened"), plainly("model"):
        raise RuntimeError("size mismatch")
    with pytest.raises(UnicodeEncodeError), plainly("model"):
        "a\udcc3".encode()


def test_a_worker_without_memory_says_so(monkeypatch):
    def perform(task, report):
        raise RuntimeError(TORCH)

    monkeypatch.setattr("synthetic.workers.perform", perform)
    assert attempt(None, None).kind == "memory"


@pytest.mark.parametrize("mute", [(), (1, 2)])
def test_a_command_that_hangs_is_ended_also_where_it_cannot_say_anything(tmp_path, monkeypatch, mute):
    monkeypatch.setattr(starve_run, "PATIENCE", 0.3)
    words = ("timeit", "-n", "1", "-r", "1", "import time; time.sleep(600)")
    ended = starve_run.run(words, tmp_path, starve_run.Lack(mute=mute, fresh=True))
    assert ended.code == -signal.SIGALRM
    assert ended.seconds < 60


def test_a_lock_needs_no_room(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("theory.runs.os.write", full)
    with (
        locked(tmp_path / ".lock"),
        pytest.raises(TheoryError, match="in use by"),
        locked(tmp_path / ".lock"),
    ):
        pass


def test_a_pocket_model_that_does_not_fit_is_named_by_its_folder(tmp_path, monkeypatch):
    from synthetic.export import save_model
    from synthetic.model import LlamaSpec, initialise
    from synthetic.vocabulary import Vocabulary

    words = Vocabulary(("<pad>", "<s>", "</s>", "<unk>", "a", "b"))
    spec = LlamaSpec(vocabulary=len(words), width=8, layers=1, heads=2, kv_heads=2, hidden=8)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("write_bytes", "write_text"):
        with monkeypatch.context() as context:
            context.setattr(Path, name, full)
            with pytest.raises(OSError, match=r"No space left on device: '.*/deep/model'"):
                save_model(tmp_path / "deep" / "model", initialise(spec, 0), spec, words)
        assert not list((tmp_path / "deep").iterdir())


def test_no_home_folder(monkeypatch):
    def lost(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", lost)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("NAMEBLIND_CACHE", raising=False)
    with pytest.raises(RealmodelsError, match="no home folder to unpack it into; set NAMEBLIND_CACHE"):
        smollm.cache_folder()
    with pytest.raises(RealmodelsError, match=r"~nobody-at-all/model: there is no such home folder"):
        places.find("~nobody-at-all/model")


@pytest.mark.parametrize(
    "problem", [OSError(28, "No space left on device"), Exception("No space (os error 28)")]
)
def test_the_small_model_where_there_is_no_room(tmp_path, monkeypatch, problem):
    class Full:
        def save_pretrained(self, folder):
            raise problem

    monkeypatch.setattr("realmodels.loading.read_gguf", lambda *_: (Full(), Full()))
    with pytest.raises(RealmodelsError, match=r"cannot be unpacked there: No space.*; set NAMEBLIND_CACHE"):
        smollm.unpack(tmp_path / "x.gguf", tmp_path / "deep" / "model")
    assert not list((tmp_path / "deep").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(RealmodelsError, match="cannot be unpacked there: "):
        smollm.unpack(tmp_path / "x.gguf", tmp_path / "file" / "model")


def test_an_evaluation_anew_is_the_latest_also_where_the_clock_was_put_back(tmp_path):
    job = SimpleNamespace(output=tmp_path / "out", model="nobody/nothing", overwrite=True)
    later = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=366)
    (tmp_path / "out" / "base").mkdir(parents=True)
    for name in (
        later.isoformat().replace(":", "-"),
        "9999-12-31T23-59-59.9",
        "of-mine",
        "2026-01-31T12-00-00.5",
    ):
        (tmp_path / "out" / "base" / f"results_{name}.json").write_text("{}")
    assert eval_run._begin(job, (), "float32") > later
    assert json.loads((tmp_path / "out" / eval_run.CONFIG).read_text())["begun"] > later.isoformat()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("config", "{", "config.json: is no JSON"),
        ("config", "[]", "config.json: expected a JSON object"),
        ("environment", "3", "environment.json: expected a JSON object"),
        ("seeds", "[" * 100_000, "seeds.json: is no JSON"),
    ],
)
def test_a_run_folder_edited_by_hand_is_not_summarised(tmp_path, name, text, line):
    folder = write_records(tmp_path / "salience-0a1b2c3d4e")
    for one in ("config", "environment", "seeds"):
        (folder / f"{one}.json").write_text("{}")
    (folder / f"{name}.json").write_text(text)
    with pytest.raises(SyntheticError, match=line):
        summarise([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()
