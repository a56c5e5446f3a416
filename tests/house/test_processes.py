"""Workers need locks, which are files of the system; where these have no room, one line says so."""

import resource
from contextlib import contextmanager

import pytest

from figures import everything
from theory import checks
from theory.measurements import write
from theory.processes import locks


@contextmanager
def no_longer_than(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(
    "begin",
    [
        lambda: list(write._finished(write.plan((0,), None), 2)),
        lambda: checks._map([("T1", 100_000, 0, None)] * 2, 2),
        lambda: list(everything._done([list, list], 2)),
    ],
)
def test_no_room_for_locks_is_said(begin, size, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with no_longer_than(size), pytest.raises(OSError, match=r"no locks .* or take --workers 1") as problem:
        begin()
    assert problem.value.filename == "/dev/shm"
    assert problem.value.errno


def test_other_problems_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError) as problem, locks():
        (tmp_path / "absent").read_text()
    assert problem.value.filename == str(tmp_path / "absent")
