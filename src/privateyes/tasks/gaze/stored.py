"""Reading a gaze file piece by piece: open it, list its persons, get their data sets. The rules are in `layout`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.layout import COLUMNS, KNOWN_VERSIONS, MAIN_PARTS, devices_from_text, refuse_bad_name

# What h5py raises for files and chunks that are damaged.
_DAMAGE: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_LONGEST_ATTRIBUTE: Final = 500
_TEXT_ROWS: Final = 4096
_AGAIN: Final = "copy, convert or render it again"


@contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading, and close it again; yields an `h5py.File`, and raises as `opened`."""
    with opened(path) as file:
        yield file


def opened(path: Path) -> Any:
    """An HDF5 file that is open for reading: an `h5py.File`.

    Raises:
        DataError: the file is missing, empty, damaged, no HDF5 file, or in a layout that is newer than this program.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file", "check the path, or make a set with `privateyes data render`")
    if not path.is_file():
        raise DataError(f"{path} is no file", "name the .h5 file itself")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty", _AGAIN)
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise DataError(f"{path}: the file may not be read", "change its permissions") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: no HDF5 file, or cut short", _AGAIN) from error
    version = _attribute(file, "privateyes_layout")
    if version is not None and version not in KNOWN_VERSIONS:
        file.close()
        raise DataError(f"{path}: layout {version!r} is not known here", "update privateyes, or convert it again")
    return file


def person_names(path: Path, file: Any) -> list[str]:
    """Sorted names of the groups of an open file.

    Raises:
        DataError: there is no group, or a name could not be used as a folder name.
    """
    try:
        names = sorted(name for name in file if not isinstance(file.get(name), h5py.Dataset))
    except _DAMAGE as error:
        raise DataError(f"{path}: its list of persons cannot be read ({error})", _AGAIN) from error
    if not names:
        raise DataError(f"{path}: the file holds no person", "each person needs a group with image, and gaze or point")
    for name in names:
        refuse_bad_name(str(path), name)
    return names


def stored_parts(path: Path, file: Any, name: str) -> dict[str, Any]:
    """The data sets of the layout in a person's group, as open `h5py.Dataset`; absent ones are left out.

    Raises:
        DataError: one of them is a group, or the file is damaged.
    """
    where = f"{path}, person {name}"
    try:
        group = file[name]
        stored = {part: group[part] for part in (*MAIN_PARTS, *COLUMNS) if part in group}
    except _DAMAGE as error:
        raise _unreadable(where, error) from error
    for part, dataset in stored.items():
        if not isinstance(dataset, h5py.Dataset):
            remedy = "store all rows in one array; a group with one data set per row is another layout"
            raise DataError(f"{where}: '{part}' is a group and no data set", remedy)
        try:
            # h5py reads type and shape when they are asked for, and damaged ones are an error then.
            empty = dataset.dtype is None or dataset.shape is None
        except _DAMAGE as error:
            raise _unreadable(f"{where}, {part}", error) from error
        if empty:
            raise DataError(f"{where}: '{part}' holds nothing", "store one row for each image")
    return stored


def read_part(where: str, part: str, dataset: Any) -> NDArray[Any]:
    """A whole data set; `frame` becomes an array of `str` if it is text.

    Raises:
        DataError: its bytes are damaged.
    """
    try:
        if part == "frame" and h5py.check_string_dtype(dataset.dtype) is not None and dataset.ndim:
            return np.array(dataset.asstr()[()], dtype=np.str_)
        return np.asarray(dataset[()])
    except _DAMAGE as error:
        raise _unreadable(where, error) from error


def outline_of_frames(where: str, dataset: Any) -> NDArray[Any]:
    """`frame` as `read_part` gives it, in shape and type, but without its texts, which take long arrays.

    Raises:
        DataError: its bytes are damaged.
    """
    if h5py.check_string_dtype(dataset.dtype) is None or not dataset.ndim:
        return read_part(where, "frame", dataset)
    try:
        starts = range(0, dataset.shape[0], _TEXT_ROWS)
        types = [np.array(dataset.asstr()[start : start + _TEXT_ROWS], dtype=np.str_).dtype for start in starts]
    except _DAMAGE as error:
        raise _unreadable(where, error) from error
    return np.broadcast_to(np.empty((), max(types, key=lambda kind: kind.itemsize, default="U1")), dataset.shape)


def require_readable(where: str, dataset: Any, block_bytes: int) -> None:
    """Read pictures once, about so many bytes at a time, and keep none.

    Raises:
        DataError: their bytes are damaged.
    """
    if dataset.chunks is None or dataset.chunks[1:] == dataset.shape[1:]:
        for _ in read_blocks(where, dataset, max(1, block_bytes // math.prod(dataset.shape[1:]))):
            pass
        return
    try:
        for piece in dataset.iter_chunks():  # which divide pictures: blocks of rows would unpack them again and again
            dataset[piece]
    except _DAMAGE as error:
        raise _unreadable(where, error) from error


def read_blocks(where: str, dataset: Any, rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """A data set piece by piece: (first row, at most `rows` rows).

    Raises:
        DataError: its bytes are damaged.
    """
    for start in range(0, dataset.shape[0], rows):
        try:
            block = np.asarray(dataset[start : start + rows])
        except _DAMAGE as error:
            raise _unreadable(where, error) from error
        yield start, block


def read_rows(where: str, dataset: Any, rows: NDArray[np.integer]) -> NDArray[Any]:
    """Some rows of a data set, in the order of `rows`. Each of its chunks is unpacked once, in whichever order.

    Raises:
        DataError: its bytes are damaged.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    try:
        if len(wanted) and (np.diff(wanted) == 1).all():
            return np.asarray(dataset[int(wanted[0]) : int(wanted[-1]) + 1])
        return _read_scattered(dataset, wanted)
    except _DAMAGE as error:
        raise _unreadable(where, error) from error


def _read_scattered(dataset: Any, wanted: NDArray[np.int64]) -> NDArray[Any]:
    """Rows by the chunks that they lie in.

    Chunks may divide pictures, as those do that h5py chooses by itself. Then the strips of the pictures are read one
    after the other, so that no more than one strip of a chunk's rows is in memory beside the result.
    """
    found = np.empty((len(wanted), *dataset.shape[1:]), dataset.dtype)
    chunk_rows, height, *_ = dataset.chunks or (1, *dataset.shape[1:])
    order = np.argsort(wanted, kind="stable")
    borders = np.flatnonzero(np.diff(wanted[order] // chunk_rows)) + 1
    for places in np.split(order, borders) if len(wanted) else []:
        first, last = int(wanted[places[0]]), int(wanted[places[-1]])
        for top in range(0, dataset.shape[1], height):
            strip = dataset[first : last + 1, top : top + height]
            found[places, top : top + height] = strip[wanted[places] - first]
    return found


def device_names(path: Path, file: Any, name: str) -> tuple[str, ...]:
    """Names of a person's devices; empty where the file names none.

    Raises:
        DataError: the attribute `devices` is no list of names.
    """
    text = _attribute(file[name], "devices")
    return () if text is None else devices_from_text(f"{path}, person {name}", text)


def image_content(file: Any) -> str | None:
    """What the images of an open file show, "eye" or "face"; None where the file does not say it."""
    return _attribute(file, "image_of")


def source_dataset(file: Any) -> str | None:
    """The name of the data set that an open file was converted from; None where the file does not say it."""
    return _attribute(file, "dataset")


def stated_licence(file: Any) -> str | None:
    """What an open file says about its licence, in one printable line; None where it does not say."""
    return next((line for name in ("licence", "license") if (line := _line(_attribute(file, name)))), None)


def text_attributes(file: Any) -> dict[str, str]:
    """What an open file says about itself: its attributes, each in one printable line."""
    try:
        names = [str(name) for name in file.attrs]
    except _DAMAGE:
        return {}
    return {name: line for name in sorted(names) if (line := _line(_attribute(file, name)))}


def _line(text: str | None) -> str:
    """Foreign text without line breaks and control characters, and not without end."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text or "")
    return " ".join(printable.split())[:_LONGEST_ATTRIBUTE]


def _attribute(node: Any, name: str) -> str | None:
    """A text attribute, None if it is absent; anything else as its Python representation."""
    try:
        value = node.attrs.get(name)
    except _DAMAGE:
        return None
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(f"{where}: the data cannot be read ({error})", f"the file is damaged: {_AGAIN}")
