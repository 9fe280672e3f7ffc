from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from privateyes import files
from privateyes.files import append_line, overwrite, sole_process, write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    monkeypatch.undo()
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in (b"one", b"two"):
        append_line(tmp_path / "lines", line)
    assert (tmp_path / "lines").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 17) + 5])
def test_an_overwritten_file_is_zeros_on_disk_and_gone(tmp_path: Path, size: int) -> None:
    path, linked = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"\x5a" * size)
    os.link(path, linked)
    overwrite(path)
    assert not path.exists()
    assert len(linked.read_bytes()) >= size
    assert not linked.read_bytes().strip(b"\0")


def test_of_a_link_the_link_alone_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    overwrite(tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_directory_has_one_process_at_a_time_and_is_free_afterwards(tmp_path: Path) -> None:
    program = "import pathlib, sys; from privateyes.files import sole_process\n"
    program += "with sole_process(pathlib.Path(sys.argv[1])): pass"
    other = [sys.executable, "-c", program, str(tmp_path)]
    with sole_process(tmp_path):
        refused = subprocess.run(other, capture_output=True, text=True, check=False)
        assert "BlockingIOError" in refused.stderr
        with pytest.raises(BlockingIOError), sole_process(tmp_path):
            pass
    assert subprocess.run(other, check=False).returncode == 0
