"""Persons in an HDF5 file, in the layout of the common MPIIGaze.h5: one group for each person.

    pXX/image  (N, H, W) uint8     grey eye images, right eyes mirrored to look like left eyes
    pXX/pose   (N, 2)    float32   head (pitch, yaw), radians
    pXX/gaze   (N, 2)    float32   gaze (pitch, yaw), radians

Every rule that a person's data must keep is in `faults_of_person`. Loading raises the first fault; `check` lists all
of them. Rows may stand in any order. Other data sets in a group, such as the recording day, are ignored.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

LAYOUT_VERSION: Final = "1"
PARTS: Final = ("image", "pose", "gaze")
# An eye that looks further away from the camera than this shows no pupil; in degrees nearly every label is beyond.
LARGEST_ANGLE_RAD: Final = np.pi / 2
# Names become folder names of a run, so they must be harmless there.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
_NAME_REMEDY = "use letters, digits, '-', '_' and '.', at most 64, beginning with a letter, digit or '_'"
# HDF5's own tables and what it has not written yet.
_SPARE_BYTES: Final = 2 << 20
# What h5py raises for files and chunks that are damaged.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Everything that one person's device holds.

    Attributes:
        name: unique in its file.
        image: (N, H, W) uint8, grey.
        pose: (N, 2) float32, head (pitch, yaw), radians.
        gaze: (N, 2) float32, gaze (pitch, yaw), radians.
    """

    name: str
    image: NDArray[np.uint8]
    pose: NDArray[np.float32]
    gaze: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image)


def list_persons(path: Path) -> list[str]:
    """Names of all persons in a file, sorted.

    Raises:
        DataError: the file is missing, empty, damaged, no HDF5 file or holds no person.
    """
    with open_file(path) as file:
        return person_names(path, file)


def load_persons(path: Path, names: Sequence[str] | None = None) -> list[Person]:
    """Read persons and check every rule of the layout.

    Args:
        path: the HDF5 file.
        names: the persons wanted, in this order; all persons, sorted, by default.

    Returns:
        The persons, with labels as float32 (a file may hold float64).

    Raises:
        DataError: the file or a person in it breaks a rule, or a name is not in the file.
    """
    with open_file(path) as file:
        present = person_names(path, file)
        wanted = present if names is None else list(names)
        _refuse_unknown(path, wanted, present)
        persons = [_read_person(path, file, name) for name in wanted]
    for person in persons:
        if person.image.shape[1:] != persons[0].image.shape[1:]:
            sizes = f"{person.image.shape[1:]}, but those of {persons[0].name} {persons[0].image.shape[1:]}"
            raise DataError(f"{path}, person {person.name}: images are {sizes}", "resize them, or leave persons out")
    return persons


def write_persons(path: Path, persons: Iterable[Person]) -> None:
    """Write persons to a new file, one after the other, or leave `path` as it was.

    The file is written under a temporary name in the same folder and renamed at the end: nobody ever sees half of it.

    Args:
        path: where to write; an existing file is replaced.
        persons: may be a generator; one person at a time is held in memory.

    Raises:
        DataError: a person breaks a rule of the layout, a name comes twice, there is no person, or the folder
            is missing or cannot be written.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist", "create it first")
    if path.is_dir():
        raise DataError(f"{path} is a folder", "name the .h5 file to write")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            file = h5py.File(temporary, "w")
        except OSError as error:
            raise DataError(f"{path}: the folder {path.parent} cannot be written", "choose another folder") from error
        try:
            with file:
                _write_all(path, file, persons)
        except (OSError, RuntimeError) as error:  # what h5py raises on a full disk
            raise DataError(
                f"{path} cannot be written ({error})", "free some space, or choose another folder"
            ) from error
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # on a read-only disk; the error that matters is on its way
            temporary.unlink(missing_ok=True)


def faults_of_person(where: str, parts: dict[str, NDArray[Any]]) -> Iterator[DataError]:
    """Every way in which a person's arrays break the layout; nothing is yielded for good data.

    Args:
        where: names the file and the person in the messages.
        parts: the arrays called `image`, `pose` and `gaze`, as they stand in the file.
    """
    missing = [part for part in PARTS if part not in parts]
    for part in missing:
        yield DataError(f"{where}: there is no data set '{part}'", f"a person's group needs {', '.join(PARTS)}")
    if "image" in parts:
        yield from _faults_of_images(f"{where}, image", parts["image"])
    for part in ("pose", "gaze"):
        if part in parts:
            yield from _faults_of_angles(f"{where}, {part}", parts[part])
    lengths = {part: len(array) for part, array in parts.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{part} {length}" for part, length in lengths.items())
        problem = f"{where}: the data sets differ in length ({counted})"
        yield DataError(problem, "give every image one pose and one gaze")


@contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading; yields an `h5py.File`.

    Raises:
        DataError: the file is missing, empty, damaged or no HDF5 file.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file", "check the path, or make a set with `privateyes data render`")
    if not path.is_file():
        raise DataError(f"{path} is no file", "name the .h5 file itself")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty", "copy or render it again")
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise DataError(f"{path}: the file may not be read", "change its permissions") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: no HDF5 file, or cut short", "copy or render it again") from error
    with file:
        yield file


def person_names(path: Path, file: Any) -> list[str]:
    """Sorted names of the groups of an open file.

    Raises:
        DataError: there is no group, or a name could not be used as a folder name.
    """
    try:
        names = sorted(name for name in file if not isinstance(file.get(name), h5py.Dataset))
    except _DAMAGE as error:
        raise DataError(f"{path}: its list of persons cannot be read ({error})", "copy or render it again") from error
    if not names:
        raise DataError(f"{path}: the file holds no person", f"it needs one group per person with {', '.join(PARTS)}")
    for name in names:
        _refuse_bad_name(path, name)
    return names


def read_parts(path: Path, file: Any, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of a person as they stand in the file; parts that are absent are left out.

    Raises:
        DataError: a part is no data set, or its bytes are damaged.
    """
    parts: dict[str, NDArray[Any]] = {}
    where = f"{path}, person {name}"
    try:
        group = file[name]
        for part in PARTS:
            if part not in group:
                continue
            if not isinstance(group[part], h5py.Dataset):
                remedy = "store all rows in one array; a group with one data set per row is another layout"
                raise DataError(f"{where}: '{part}' is a group and no data set", remedy)
            parts[part] = np.asarray(group[part][()])
    except _DAMAGE as error:
        problem = f"{where}: the data cannot be read ({error})"
        raise DataError(problem, "the file is damaged: copy or render it again") from error
    return parts


def _read_person(path: Path, file: Any, name: str) -> Person:
    parts = read_parts(path, file, name)
    for fault in faults_of_person(f"{path}, person {name}", parts):
        raise fault
    return Person(name, parts["image"], parts["pose"].astype(np.float32), parts["gaze"].astype(np.float32))


def _write_all(path: Path, file: Any, persons: Iterable[Person]) -> None:
    file.attrs["privateyes_layout"] = LAYOUT_VERSION
    for person in persons:
        _refuse_bad_name(path, person.name)
        if person.name in file:
            raise DataError(f"{path}: person {person.name} comes twice", "give every person a name of its own")
        parts: dict[str, NDArray[Any]] = {"image": person.image, "pose": person.pose, "gaze": person.gaze}
        for fault in faults_of_person(f"{path}, person {person.name}", parts):
            raise fault
        _require_space(path, sum(array.nbytes for array in parts.values()))
        group = file.create_group(person.name)
        group.create_dataset("image", data=person.image, compression="gzip", compression_opts=4)
        group.create_dataset("pose", data=person.pose, dtype=np.float32)
        group.create_dataset("gaze", data=person.gaze, dtype=np.float32)
    if not len(file):
        raise DataError(f"{path}: there is no person to write", "render or pass at least one")


def _require_space(path: Path, size: int) -> None:
    """HDF5 crashes the process when the disk fills up, so that must not come to pass."""
    if shutil.disk_usage(path.parent).free < size + _SPARE_BYTES:
        raise DataError(f"{path}: the disk is nearly full", "free some space, or choose another folder")


def _refuse_unknown(path: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    for index, name in enumerate(wanted):
        if name not in present:
            close = difflib.get_close_matches(name, present, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            shown = ", ".join(present[:20]) + (", ..." if len(present) > 20 else "")
            raise DataError(f"{path}: there is no person {name}", f"{hint}the file holds {shown}")
        if name in wanted[:index]:
            raise DataError(f"{path}: person {name} is asked for twice", "name every person once")


def _refuse_bad_name(path: Path, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(f"{path}: {name!r} cannot be a person's name", _NAME_REMEDY)


def _faults_of_images(where: str, image: NDArray[Any]) -> Iterator[DataError]:
    convert = "store grey images as uint8, 0 to 255"
    if image.dtype != np.uint8:
        row = _first_row_not_finite(image)
        if row is not None:
            yield DataError(f"{where}: row {row} holds NaN or infinity", f"remove the row, then {convert}")
        yield DataError(f"{where}: values are {image.dtype} and not uint8", convert)
    if image.ndim != 3:
        yield DataError(f"{where}: the shape is {image.shape} and not (rows, height, width)", "store one grey channel")
    elif image.shape[0] == 0:
        yield DataError(f"{where}: there is no row", "remove the person or record images")
    elif 0 in image.shape:
        yield DataError(f"{where}: the shape is {image.shape}: no pixels", "store images of at least one pixel")


def _faults_of_angles(where: str, angles: NDArray[Any]) -> Iterator[DataError]:
    if angles.dtype not in (np.float32, np.float64):
        remedy = "store (pitch, yaw) in radians as float32"
        yield DataError(f"{where}: values are {angles.dtype} and not float32", remedy)
        return
    if angles.ndim != 2 or angles.shape[1] != 2:
        remedy = "store (pitch, yaw) in radians; turn 3-d vectors into angles first"
        yield DataError(f"{where}: the shape is {angles.shape} and not (rows, 2)", remedy)
        return
    row = _first_row_not_finite(angles)
    if row is not None:
        yield DataError(f"{where}: row {row} holds NaN or infinity", "remove the row from all data sets of the person")
    beyond = np.flatnonzero((np.abs(angles) > LARGEST_ANGLE_RAD) & np.isfinite(angles))
    if len(beyond):
        row = int(beyond[0]) // 2
        pitch, yaw = angles[row]
        problem = f"{where}: row {row} is ({pitch:.4g}, {yaw:.4g}): more than 90 degrees if these were radians"
        yield DataError(problem, "labels in degrees must be converted to radians (numpy.deg2rad)")


def _first_row_not_finite(array: NDArray[Any]) -> int | None:
    if array.size == 0 or array.ndim == 0 or not np.issubdtype(array.dtype, np.inexact):
        return None
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else None
