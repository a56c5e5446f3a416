"""Killed before any step on files, `filter` and `split` leave nothing that their next start does not make whole.

`python tests/hardening/crash.py --command filter|arms|split --steps` keeps count of it."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from realmodels.errors import RealmodelsError
from realmodels.together import together
from tests.hardening.crash import Bench, left, nursery, stepped
from tests.hardening.victims import WARM, WRITERS, writers

# ---------------------------------------------------------------- processes that write a few words

CHILD = """
import json, os, signal, sys
from pathlib import Path
from realmodels.together import together
from tests.hardening.nursery import steps

def run(names, manifest, at):
    count = steps(Path("out").absolute(), at)
    with together(Path("out"), names, manifest) as scratch:
        for name in names:
            (scratch / name).write_text(f"{name} of {len(names)}")
        text = json.dumps({"written": [{"name": name} for name in names]})
        (scratch / ".half").write_text(text)
        os.replace(scratch / ".half", scratch / manifest)
    return count()

def forked(*order):
    if (pid := os.fork()) == 0:
        try:
            os._exit(run(*order))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def left():
    every = sorted(Path("out").rglob("*"))
    return {str(path.relative_to("out")): path.is_file() and path.read_text() for path in every}

trials, told, now = json.loads(sys.argv[1]), [], 0
for before, killed, after in trials:
    at, said = 0, []
    while True:
        now += 1
        os.mkdir(str(now))
        os.chdir(str(now))
        codes = [forked(*before, -1)] if before else []
        codes += [forked(*killed, at)]
        codes += [forked(*after, -1)] if at else []
        said.append([codes, left()])
        os.chdir("..")
        last = codes[-1] if at == 0 else last
        if at == last:
            break
        at += 1
    told.append(said)
print(json.dumps(told))
"""
ONE, TWO, OTHER = (
    [["a", "b"], "manifest.json"],
    [["b", "c", "d"], "manifest.json"],
    [["x"], "x.manifest.json"],
)
TRIALS = {
    "again": [None, ONE, ONE],
    "again over an earlier one": [TWO, ONE, ONE],
    "another of that name": [None, ONE, TWO],
    "another": [None, ONE, OTHER],
    "another over an earlier one": [TWO, ONE, OTHER],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory, root):
    """For each trial and each step before which it is killed, exit codes and what is there in the end."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(list(TRIALS.values()))],
        cwd=tmp_path_factory.mktemp("forked"),
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return dict(zip(TRIALS, json.loads(done.stdout), strict=True))


def written(names, manifest):
    text = json.dumps({"written": [{"name": name} for name in names]})
    return {manifest: text, **{name: f"{name} of {len(names)}" for name in names}}


@pytest.mark.parametrize("name", TRIALS)
def test_killed_before_any_step_it_is_made_whole(found, name):
    before, killed, after = TRIALS[name]
    (_, alone), *rest = found[name]
    assert alone == written(*killed)
    assert len(rest) > 9
    whole = {**written(*killed), **written(*after)}
    if killed[1] == after[1]:
        whole = written(*after)
    ends = []
    for codes, there in rest:
        assert codes[-2] == -signal.SIGKILL
        assert codes[-1] >= 0
        ends.append(there == whole)
        # or, before its manifest was written, as if it had never been
        assert there in (whole, {**(written(*before) if before else {}), **written(*after)})
    assert ends == sorted(ends)
    steps = len(killed[0]) + 2  # the moves, and the end of the scratch folder
    assert ends[-steps:] == [True] * steps


# ---------------------------------------------------------------- whole commands


@pytest.fixture(scope="module")
def start():
    with nursery(*WARM) as found:
        yield found


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    return writers(tmp_path_factory.mktemp("material") / "m")


class After(Bench):
    """In a folder in which another command has ended."""

    def folder(self):
        path = super().folder()
        assert self.start(self.earlier, path, None).wait() == 0
        return path


def unlike(victim):
    """A command that writes other files under the same manifest."""
    words = list(victim.words)
    if victim.name == "split":
        return replace(victim, words=(*words, "--shares", "train=0.7", "more=0.3"))
    if victim.name == "arms":
        words[words.index("--arms") + 1] = "known,unknown"
        return replace(victim, words=(*words, "--size", "2"))
    words[words.index("--keep") + 1] = "MaybeKnown"
    return replace(victim, words=tuple(words))


def elsewhere(victim):
    """A command that writes other files under another manifest into the same folder."""
    words = list(victim.words)
    if victim.name == "filter":
        words[-1] = "out/other.jsonl"
    elif victim.name == "arms":
        words = [*words[:2], "--keep", "MaybeKnown", "-o", "out/other.jsonl"]
    else:
        return None
    return replace(victim, words=tuple(words))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("earlier", [False, True])
def test_killed_before_every_step(commands, start, tmp_path, name, earlier):
    victim = commands[name]
    there = (After if earlier else Bench)(victim, start, tmp_path)
    there.earlier = unlike(victim)
    there.uninterrupted(counted=True)
    assert there.steps > 8
    tally = stepped(there)
    assert (tally.tried, tally.wrong) == (there.steps, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["filter", "arms"])
def test_another_command_finishes_it_or_drops_it(commands, start, tmp_path, name):
    """What is there afterwards is listed, with the right bytes, and nothing else is."""
    there = Bench(commands[name], start, tmp_path)
    there.uninterrupted(counted=True)
    finished = []
    for at in range(1, there.steps + 1):
        folder = there.folder()
        assert there.begin(folder, at).wait() == -signal.SIGKILL
        assert start(elsewhere(commands[name]), folder, None).wait() == 0
        found = left(folder / "out")
        listed = {
            file["name"]: file["sha256"]
            for path in (folder / "out").glob("*manifest.json")
            for file in json.loads(path.read_text())["written"]
        }
        names = {path for path in found if not path.endswith("manifest.json")}
        assert names == set(listed)
        assert {hashlib.sha256(found[path]).hexdigest() for path in names} == set(listed.values())
        finished.append(set(there.expected) <= set(found))
    assert sorted(finished) == finished
    assert 0 < sum(finished) < len(finished)  # from the manifest on it is finished, before that it is dropped


# ---------------------------------------------------------------- what else lies there


def write(scratch, *names, manifest="manifest.json"):
    for name in names:
        (scratch / name).write_text(name)
    (scratch / manifest).write_text(json.dumps({"written": [{"name": name} for name in names]}))


def test_who_still_writes_is_left_alone(tmp_path):
    with together(tmp_path, ["a"], "a.manifest.json") as mine:
        write(mine, "a", manifest="a.manifest.json")
        with together(tmp_path, ["b"], "b.manifest.json") as other:
            write(other, "b", manifest="b.manifest.json")
            assert mine.exists()
    assert sorted(os.listdir(tmp_path)) == ["a", "a.manifest.json", "b", "b.manifest.json"]


def test_only_scratch_folders_are_dropped(tmp_path):
    kept = [".filter-settings", ".filter-0123456", ".split-0123abcd", "filter-0123abcd"]
    for name in [*kept, ".filter-0123abcd"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / ".filter-00000000").touch()
    (tmp_path / ".filter-11111111").symlink_to(tmp_path / "filter-0123abcd")
    with together(tmp_path, ["a"], "manifest.json") as scratch:
        write(scratch, "a")
    assert sorted(os.listdir(tmp_path)) == sorted(
        [*kept, ".filter-00000000", ".filter-11111111", "a", "manifest.json"]
    )
    assert (tmp_path / "filter-0123abcd" / "x").exists()


def test_what_was_lost_or_came_meanwhile_is_not_replaced(tmp_path):
    scratch = tmp_path / ".filter-0123abcd"
    scratch.mkdir()
    write(scratch, "a", "b")
    (scratch / "a").rename(tmp_path / "a")
    (tmp_path / "b").write_text("mine")
    with (
        pytest.raises(RealmodelsError, match="b: exists and was not written by"),
        together(tmp_path, ["c"], "m"),
    ):
        pass
    (tmp_path / "a").unlink()  # then the manifest speaks of a file that is nowhere
    with together(tmp_path, ["c"], "manifest.json") as fresh:
        write(fresh, "c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "manifest.json"]


def test_a_move_that_fails_is_undone_or_finished(tmp_path, monkeypatch):
    plain = os.replace

    def run(fails_at):
        def moved(source, target):
            if os.path.basename(target) == fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)
            plain(source, target)

        monkeypatch.setattr(os, "replace", moved)
        with together(tmp_path, ["a", "b"], "manifest.json") as scratch:
            write(scratch, "a", "b")

    with pytest.raises(OSError, match=str(tmp_path / "a")):
        run("a")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match=str(tmp_path / "b")):
        run("b")
    assert (tmp_path / "a").exists()
    run("nothing")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "manifest.json"]
