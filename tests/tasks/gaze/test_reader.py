from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze import reader
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.reader import FileReader, FileStamp
from privateyes.tasks.gaze.stored import opened

CHANGED = r"eyes\.h5 was changed while it was in use; put the file back as it was"


@pytest.fixture
def path(eyes: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(eyes, tmp_path / "eyes.h5"))


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every opening of a file by a reader."""
    noted: list[Path] = []

    def noting(path: Path) -> object:
        noted.append(path)
        return opened(path)

    monkeypatch.setattr(reader, "opened", noting)
    return noted


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def write_later(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace(path: Path) -> None:
    other = path.with_name("other.h5")
    shutil.copyfile(path, other)
    os.utime(other, ns=(0, 0))
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


CHANGES = pytest.mark.parametrize("change", [append, write_later, replace, remove])


def test_many_reads_of_many_persons_open_the_file_once(path: Path, opens: list[Path]) -> None:
    file = FileReader(path)
    assert opens == []
    for name in ("p00", "p03", "p00"):
        person = load_persons(path, [name])[0]
        np.testing.assert_array_equal(file.labels(name, [])["gaze"], person.gaze)
        for rows in ([3, 1], [20]):
            np.testing.assert_array_equal(file.pictures(name, "image", np.array(rows)), person.image[rows])
    assert opens == [path]


@CHANGES
def test_a_file_that_changes_while_it_is_in_use_is_refused(path: Path, change: Callable[[Path], None]) -> None:
    file = FileReader(path)
    file.labels("p00", [])
    change(path)
    with pytest.raises(DataError, match=CHANGED):
        file.pictures("p00", "image", np.array([0]))
    with pytest.raises(DataError, match=CHANGED):
        file.labels("p01", [])


@CHANGES
def test_a_change_during_a_read_is_noticed_too(
    path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FileReader(path)
    file.labels("p00", [])

    def changing(*_: object) -> np.ndarray:
        change(path)
        return np.zeros((1, 9, 15), np.uint8)

    monkeypatch.setattr(reader, "read_rows", changing)
    with pytest.raises(DataError, match=CHANGED):
        file.pictures("p00", "image", np.array([0]))


def test_bytes_that_somebody_overwrote_are_called_changed_and_not_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FileReader(path)
    file.labels("p00", [])

    def failing(*_: object) -> np.ndarray:
        raise DataError("p00: the data cannot be read", "copy it again")

    monkeypatch.setattr(reader, "read_rows", failing)
    with pytest.raises(DataError, match="cannot be read"):
        file.pictures("p00", "image", np.array([0]))
    append(path)
    with pytest.raises(DataError, match=CHANGED):
        file.pictures("p00", "image", np.array([0]))


@CHANGES
def test_a_copy_in_another_process_refuses_another_file_than_the_one_that_was_checked(
    path: Path, change: Callable[[Path], None]
) -> None:
    sent = pickle.dumps(FileReader(path, FileStamp.of(path)))
    assert len(pickle.loads(sent).labels("p00", [])["gaze"]) == 24  # noqa: S301 (our own bytes)
    change(path)
    with pytest.raises(DataError, match=CHANGED if path.exists() else "there is no such file"):
        pickle.loads(sent).labels("p00", [])  # noqa: S301


def test_rules_are_checked_of_each_person_unless_they_were_before(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["p01/gaze"][7] = 3.0
    other = path.with_name("other.h5")
    shutil.copyfile(path, other)
    for stamp in (None, FileStamp.of(other)):
        unchecked = FileReader(path, stamp)
        unchecked.labels("p00", [])
        with pytest.raises(DataError, match=r"person p01, gaze: row 7 is \(3, 3\): more than 90 degrees"):
            unchecked.labels("p01", [])
    assert FileReader(path, FileStamp.of(path)).labels("p01", [])["gaze"][7].tolist() == [3, 3]


def test_errors_name_the_person(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no person p09; did you mean"):
        FileReader(path).labels("p09", [])
    with pytest.raises(DataError, match="no such file"):
        FileReader(tmp_path / "none.h5").labels("p00", [])
