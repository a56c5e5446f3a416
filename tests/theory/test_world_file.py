"""Saved worlds come back equal, anything else is refused by file and field, nothing is left half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import files, world_file
from theory.errors import TheoryError
from theory.world import World, WorldSpec, make_world
from theory.world_check import columns
from theory.world_file import load_world, save_world

SPEC = WorldSpec(subjects=20, never_seen=5, relations=4, answers=8, derived_answers=3, copy_share=0.2)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SPEC, 2**70)


@pytest.fixture
def saved(world: World, tmp_path: Path) -> Path:
    save_world(world, tmp_path / "world.npz")
    return tmp_path / "world.npz"


def _rewrite(path: Path, **changes: Any) -> None:
    """Write the file again with some arrays changed (a function), replaced (an array) or left out (None)."""
    with np.load(path) as file:
        arrays = dict(file)
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name]) if callable(change) else change
    np.savez(path, **arrays)


def _header(**changes: Any) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        header = json.loads(array.tobytes()) | changes
        return np.frombuffer(json.dumps({k: v for k, v in header.items() if v is not ...}).encode(), np.uint8)

    return change


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, derived=0),
        replace(SPEC, never_seen=0, popularity="log-normal", derived_unseen=1.0, subject_words=(2,)),
        replace(SPEC, at_least_once=False, mean_exposure=0.5, types=3, derived=3),
    ],
)
def test_a_saved_world_comes_back_equal(spec: WorldSpec, tmp_path: Path) -> None:
    world = make_world(spec, 5)
    save_world(world, tmp_path / "w")  # no suffix is added
    back = load_world(str(tmp_path / "w"))
    assert back == world
    assert (back.spec, back.seed) == (spec, 5)
    for name in columns(spec):
        np.testing.assert_array_equal(getattr(back, name), getattr(world, name))
        assert not getattr(back, name).flags.writeable
    assert [back.triple(i) for i in range(40)] == [world.triple(i) for i in range(40)]


def test_equal_worlds_give_equal_bytes_and_saving_replaces(saved: Path, world: World) -> None:
    first = saved.read_bytes()
    save_world(make_world(SPEC, 1), saved)
    assert saved.read_bytes() != first
    save_world(make_world(SPEC, 2**70), saved)
    assert saved.read_bytes() == first
    assert load_world(saved) == world
    assert os.listdir(saved.parent) == ["world.npz"]


def test_the_file_is_plain_numpy_and_json(saved: Path, world: World) -> None:
    with np.load(saved, allow_pickle=False) as file:
        assert set(file) == {*columns(SPEC), "header"}
        header = json.loads(file["header"].tobytes())
    assert header["fingerprint"] == world.fingerprint
    assert header["seed"] == 2**70
    assert WorldSpec(**header["spec"]) == SPEC


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["savez", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, step: str
) -> None:
    before = saved.read_bytes()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise failure

    module = world_file.np if step == "savez" else files.os
    monkeypatch.setattr(module, step, fail)
    if isinstance(failure, OSError):
        with pytest.raises(OSError, match=r"No space left on device: '.*world\.npz'"):
            save_world(make_world(SPEC, 1), saved)
    else:
        with pytest.raises(KeyboardInterrupt):
            save_world(make_world(SPEC, 1), saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["world.npz"]


def test_a_place_that_cannot_be_written_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place, reason in (("file/w.npz", "File exists: '.*file'"), ("folder", "Is a directory: '.*folder'")):
        with pytest.raises(OSError, match=reason):
            save_world(world, tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []
    save_world(world, tmp_path / "new" / "w.npz")  # a folder that is not there is made, as everywhere
    assert load_world(tmp_path / "new" / "w.npz").fingerprint == world.fingerprint


EDITS: list[tuple[dict[str, Any], str]] = [
    ({"answer": None}, "answer: missing; the file is damaged"),
    ({"header": None}, "header: missing; expected a world saved by save_world"),
    ({"extra": np.zeros(3)}, "extra: unexpected; a world holds answer, exposure,"),
    (
        {"answer": lambda a: a.astype(np.int64)},
        r"World.answer: expected int32 of shape \(200,\), got int64 \(200,\)",
    ),
    ({"rate": lambda a: a[:-1]}, r"World.rate: expected float64 of shape \(200,\), got float64 \(199,\)"),
    ({"answer": lambda a: a + 100}, r"World.answer\[0\]: expected an answer of the fact's relation"),
    ({"exposure": lambda a: -a}, r"World.exposure\[\d+\]: expected a count >= 0"),
    ({"exposure": lambda a: 2 * a}, "fingerprint: the content gives .*; the file was edited or damaged"),
    ({"rate": lambda a: a * (1 + 2**-50)}, "fingerprint: the content gives"),
    ({"copies": lambda a: np.zeros_like(a)}, "fingerprint: the content gives"),
    (
        {"header": _header(fingerprint="0" * 64)},
        "fingerprint: the content gives .*, the header says 000000000000;",
    ),
    ({"header": _header(fingerprint=None)}, "fingerprint: the content gives .*, the header says None;"),
    ({"header": _header(seed=3)}, "fingerprint: the content gives"),
    ({"header": _header(seed="3")}, "World.seed: expected an integer >= 0, got '3'"),
    (
        {"header": _header(seed=...)},
        "header: expected exactly the fields format, version, seed, spec, fingerprint",
    ),
    ({"header": _header(more=1)}, "header: expected exactly the fields"),
    ({"header": _header(spec=[1])}, "header: expected exactly the fields"),
    (
        {"header": _header(version=2)},
        "header: expected 'nameblind-world' version 1, got 'nameblind-world' version 2",
    ),
    ({"header": _header(format="x")}, "header: expected 'nameblind-world' version 1, got 'x' version 1"),
    (
        {"header": _header(spec={"subject": 3})},
        "spec: unknown field 'subject'; the nearest known one is 'subjects'",
    ),
    ({"header": _header(spec={"subjects": 0})}, "spec: WorldSpec.subjects: expected an integer >= 1, got 0"),
    ({"header": _header(spec={})}, r"World.answer: expected int32 of shape \(5440,\), got int32 \(200,\)"),
    ({"header": np.frombuffer(b"{", np.uint8)}, "header: expected JSON"),
    ({"header": np.frombuffer(b"[" * 100_000, np.uint8)}, "header: expected JSON"),
    ({"header": np.frombuffer(b"\xff", np.uint8)}, "header: expected JSON"),
]


@pytest.mark.parametrize(
    ("changes", "words"), EDITS, ids=[f"{next(iter(e[0]))}-{i}" for i, e in enumerate(EDITS)]
)
def test_an_edited_file_is_refused_by_file_and_field(
    saved: Path, changes: dict[str, Any], words: str
) -> None:
    _rewrite(saved, **changes)
    with pytest.raises(TheoryError, match=rf"^{saved}: {words}") as caught:
        load_world(saved)
    assert "\n" not in str(caught.value)


class _Poison:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.flag,)


def test_a_poisoned_pickle_is_refused_and_never_run(saved: Path, tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    poison = np.empty(200, dtype=object)
    poison[:] = [_Poison(flag)] * 200
    _rewrite(saved, answer=lambda _: poison)
    with pytest.raises(
        TheoryError, match=rf"^{saved}: answer: expected a world saved by save_world: Object arrays"
    ):
        load_world(saved)
    saved.write_bytes(pickle.dumps(_Poison(flag)))
    with pytest.raises(
        TheoryError, match=rf"^{saved}: the file: expected a world saved by save_world: .*zip"
    ):
        load_world(saved)
    assert not flag.exists()
    np.load(io.BytesIO(_as_npy(poison)), allow_pickle=True)
    assert flag.exists()  # the poison would have worked


def _as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a world", b"\x93NUMPY\x01\x00"])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(content)
    with pytest.raises(TheoryError, match=rf"^{file}: the file: expected a world saved by save_world"):
        load_world(file)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        TheoryError, match=r"none\.npz: the file: expected a world .*: No such file or directory"
    ):
        load_world(tmp_path / "none.npz")
    with pytest.raises(TheoryError, match=r"the file: expected a world .*: Is a directory"):
        load_world(tmp_path)


def test_a_member_that_is_no_array_is_named(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(TheoryError, match=rf"^{saved}: notes.txt: expected a world saved by save_world"):
        load_world(saved)


def test_a_header_that_promises_a_huge_array_is_refused(saved: Path) -> None:
    with np.load(saved) as file:
        arrays = dict(file)
    with zipfile.ZipFile(saved, "w") as archive:
        for name, array in arrays.items():
            content = _as_npy(array)
            if name == "rate":
                content = content.replace(b"(200,), }            ", b"(20000000000000,), }  ")
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(TheoryError, match=rf"^{saved}: rate: expected a world saved by save_world"):
        load_world(saved)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(TheoryError, match=rf"^{saved}: "):
        load_world(saved)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = make_world(replace(SPEC, subjects=2, never_seen=1), 1)
    file = tmp_path_factory.getbasetemp() / "damaged.npz"
    save_world(world, file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        outcome = load_world(file)
    except TheoryError as error:
        refusal = str(error)
    else:
        refusal = f"{file}: " if outcome == world else "a different world was taken for this one"
    assert refusal.startswith(f"{file}: ")  # a changed time stamp in the archive, say, is harmless
