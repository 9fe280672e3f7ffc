"""One person's blocks to one HDF5 file, a part of the output: appended as they come, so that memory stays bounded.

A part is written under a temporary name, forced to disk and renamed, and its record (tally, checksums) after it: where
the record is, the part is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError, UsageError
from privateyes.files import force_directory, write_atomically
from privateyes.tasks.gaze.dataset import chunk_of_pictures, require_space
from privateyes.tasks.gaze.layout import PICTURES, STORED_AS, TARGETS, faults_of_person
from privateyes.tasks.gaze.prepare.converter import Block
from privateyes.tasks.gaze.prepare.tally import Tally, printable

# Labels are read whole.
_LABEL_ROWS: Final = 512
# Photographs hardly shrink more at higher levels, which take several times as long.
_GZIP_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """Where a person's part and its record are, in the folder of parts.

    Attributes:
        folder: the folder of parts.
        person: a name that `layout.refuse_bad_name` let pass.
    """

    folder: Path
    person: str

    @property
    def data(self) -> Path:
        """The HDF5 file, with one group."""
        return self.folder / f"{self.person}.h5"

    @property
    def record(self) -> Path:
        """The JSON file beside it."""
        return self.folder / f"{self.person}.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a finished part.

    Attributes:
        stamp: of the source files, `manifest.stamp_of`.
        tally: what was used and skipped.
        sources: the manifest's entries about the source files.
    """

    stamp: str
    tally: Tally
    sources: list[dict[str, Any]]


def read_record(part: Part) -> Record | None:
    """The record of a part, None if the part is not finished.

    Raises:
        DataError: the record is damaged.
    """
    if not part.record.is_file():
        return None
    try:
        content = json.loads(part.record.read_bytes())
        tally = Tally.from_json(str(part.record), content["tally"])
        record = Record(str(content["stamp"]), tally, list(content["sources"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{part.record}: no record of a conversion"
        raise DataError(problem, "delete it to convert this person again") from error
    return record if part.data.is_file() or not tally.used else None


def write_record(part: Part, record: Record) -> None:
    """Note that a part is complete."""
    content = {"stamp": record.stamp, "tally": record.tally.to_json(), "sources": record.sources}
    write_atomically(part.record, json.dumps(content).encode())


def write_part(
    part: Part, blocks: Generator[Block, None, None], tally: Tally, devices: Sequence[str], limit: int | None
) -> None:
    """Write a person's blocks; no file is left behind if there is no row.

    Args:
        part: where to.
        blocks: one block at a time is held in memory; closed when enough rows are there.
        tally: the converter's; its rows must be those that are written.
        devices: names that the column `device` is an index into.
        limit: at most that many rows; None for all.

    Raises:
        DataError: the blocks break a rule of the layout or differ from each other, a source file is damaged, or the
            disk is full.
        UsageError: the converter miscounts.
    """
    # One name for all runs, so that what a kill leaves behind is overwritten.
    temporary = part.folder / f".{part.person}.part"
    try:
        with _written(part):
            file = h5py.File(temporary, "w")
        try:
            with closing(blocks):
                rows = _append_all(part, file, blocks, tuple(devices), limit)
            with _written(part):
                file[part.person].attrs.update(tally.attributes)
        finally:
            with _written(part):
                file.close()
        if limit is None and rows != tally.used:
            raise UsageError(
                f"person {part.person}: {tally.used} rows were counted and {rows} handed over", "report it"
            )
        tally.used = rows
        part.data.unlink(missing_ok=True)
        if rows:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(part.data)
            force_directory(part.folder)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _written(part: Part) -> Iterator[None]:
    """What h5py raises on a full disk, or on one that went away. Converters name their own sources' faults."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        problem = f"{part.data} cannot be written ({error})"
        raise DataError(problem, "free some space, then run the command again") from error


def _append_all(part: Part, file: Any, blocks: Iterator[Block], devices: tuple[str, ...], limit: int | None) -> int:
    group = file.create_group(part.person)
    if devices:
        group.attrs["devices"] = json.dumps(list(devices), ensure_ascii=False)
    rows = 0
    for block in blocks:
        arrays = {name: _as_stored(name, column) for name, column in block.items()}
        count = len(next(iter(arrays.values()), ()))
        if limit is not None and rows + count > limit:
            count = limit - rows
            arrays = {name: column[:count] for name, column in arrays.items()}
        if count:
            with _written(part):
                _append(part, group, arrays, rows, devices)
            rows += count
        if rows == limit:
            break
    return rows


def _append(part: Part, group: Any, arrays: dict[str, NDArray[Any]], rows: int, devices: tuple[str, ...]) -> None:
    where = f"person {part.person}, rows from {rows}"
    for fault in faults_of_person(where, arrays, devices):
        raise fault
    require_space(part.data, 2 * sum(array.nbytes for array in arrays.values()))
    if not rows:
        for name, array in arrays.items():
            _create(group, name, array)
    if group.keys() != arrays.keys():
        problem = f"{where}: columns are {', '.join(sorted(arrays))} and were {', '.join(sorted(group))}"
        raise DataError(problem, "all rows of a person need the same columns")
    for name, array in arrays.items():
        stored = group[name]
        if stored.shape[1:] != array.shape[1:]:
            sizes = f"{array.shape[1:]} and were {stored.shape[1:]}"
            raise DataError(f"{where}: sizes of '{name}' are {sizes}", "bring all images to one size with --size HxW")
        stored.resize(rows + len(array), axis=0)
        stored[rows:] = array.astype(object) if name == "frame" else array


def _create(group: Any, name: str, array: NDArray[Any]) -> None:
    # Not of this block's rows: a first block may be short.
    many = (_LABEL_ROWS, *array.shape[1:])
    chunk, packed = many, {}
    if name in PICTURES:
        chunk, packed = chunk_of_pictures(many), {"compression": "gzip", "compression_opts": _GZIP_LEVEL}
    shape, most = (0, *array.shape[1:]), (None, *array.shape[1:])
    kind = h5py.string_dtype() if name == "frame" else STORED_AS[name]
    group.create_dataset(name, shape, kind, maxshape=most, chunks=chunk, **packed)


def _as_stored(name: str, column: Any) -> NDArray[Any]:
    """The column in the type that the file has. Numbers that do not fit are left for the rules to refuse."""
    if name == "frame":
        return np.array([printable(str(text)) for text in column], dtype=np.str_)
    array = np.asarray(column)
    if name in TARGETS or name == "pose":
        return array.astype(np.float32) if array.dtype == np.float64 else array
    return array
