"""Files that are whole or not there, and what is never put in the place of something else."""

import os
import stat

import pytest

from theory.files import sweep, sweep_of, write_whole


def test_a_pipe_is_not_replaced_by_a_file_nor_is_a_link_to_one(tmp_path):
    """Nor a device: as root, `--output /dev/null` would leave a file there."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OSError, match="is a device or a pipe; give the path of a file") as found:
            write_whole(path, "words")
        assert found.value.filename == str(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_what_was_left_half_written_is_dropped_and_folders_are_let_alone(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / f".{name}.0123abcd").write_text("half")
    (tmp_path / ".cache.0123abcd").mkdir()
    (tmp_path / ".a.json.89abcdef").mkdir()
    (tmp_path / ".a.json.mine").write_text("whole")
    sweep_of(tmp_path / "a.json")
    kept = {".cache.0123abcd", ".a.json.89abcdef", ".a.json.mine"}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, ".b.json.0123abcd"}
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "file"
    write_whole(path, "one\n")
    write_whole(path, b"two\n")
    assert path.read_bytes() == b"two\n"
    assert [one.name for one in path.parent.iterdir()] == ["file"]
