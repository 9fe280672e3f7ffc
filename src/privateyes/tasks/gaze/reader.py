"""A data file that a process opens once: rows are read when they are needed, and only of the file as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.dataset import read_labels, refuse_unknown
from privateyes.tasks.gaze.stored import opened, person_names, read_rows, stored_parts


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells a data file from the same one changed, without reading it.

    Size and time are enough here: they are compared within one run, and whoever writes to a file moves its time. That
    nobody changed the file between two runs, its hash says (``environment.json``), which takes reading all of it. The
    inode would say no more, and some network file systems give one file several, one after the other.

    Attributes:
        path: of the file.
        size_bytes: its size.
        mtime_ns: when it was written last.
    """

    path: Path
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp | None:
        """The stamp of the file as it is now; None if there is none, or it cannot be looked at."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(path, status.st_size, status.st_mtime_ns)


class FileReader:
    """Reads persons of one data file, which is opened when it is needed first, and then stays open.

    A copy for another process opens the file itself.

    Args:
        path: the file.
        checked: its stamp when it was found to keep every rule of the layout. Then none is checked again, and the file
            must have this stamp still. None, or the stamp of another file: each person is checked when it is asked for.
    """

    def __init__(self, path: Path, checked: FileStamp | None = None) -> None:
        self._path = path
        self._checked = checked if checked is not None and checked.path == path else None
        self._stamp: FileStamp | None = None
        self._file: Any = None
        self._names: list[str] = []

    def __reduce__(self) -> tuple[type[FileReader], tuple[Path, FileStamp | None]]:
        return FileReader, (self._path, self._checked)

    def labels(self, person: str, columns: Sequence[str]) -> dict[str, Any]:
        """What `dataset.read_labels` gives: labels in memory, pictures as data sets that tell their shape.

        Raises:
            DataError: the file cannot be read or has changed, or the person is not in it or breaks a rule.
        """
        with self._reading() as file:
            refuse_unknown(self._path, [person], self._names)
            return read_labels(self._path, file, person, columns, check=self._checked is None)

    def pictures(self, person: str, part: str, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Some of a person's pictures, uint8 (N, H, W) or (N, H, W, 3), in the order of `rows`; raises as `labels`."""
        with self._reading() as file:
            dataset = stored_parts(self._path, file, person)[part]
            return read_rows(f"{self._path}, person {person}, {part}", dataset, rows)

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """The open file. Whatever was read of it is given to nobody if the file was changed by then."""
        if self._file is None:
            stamp = FileStamp.of(self._path)
            self._file, self._stamp = opened(self._path), self._checked or stamp
            self._require_unchanged()
            self._names = person_names(self._path, self._file)
        try:
            yield self._file
        except DataError:
            self._require_unchanged()  # damaged by whoever wrote to it, which is the better thing to say
            raise
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        if FileStamp.of(self._path) != self._stamp:
            problem = f"{self._path} was changed while it was in use"
            raise DataError(problem, "put the file back as it was and use --resume, or start a new run")
