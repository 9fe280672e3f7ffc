"""Persons in an HDF5 file: reading and writing the layout whose rules are in `layout`.

Loading raises the first fault of a person's data; `check` lists all of them. Rows may stand in any order. Data sets
that the layout does not name are ignored, and so are its optional ones where nobody asks for them.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.layout import (
    COLUMNS,
    LAYOUT_VERSION,
    MAIN_PARTS,
    PICTURES,
    STORED_AS,
    faults_of_images,
    faults_of_person,
    refuse_bad_name,
)
from privateyes.tasks.gaze.stored import device_names, open_file, person_names, read_part, read_rows, stored_parts

ImageOf = Literal["eye", "face"]
# Pictures that are packed together: to read one of them at random is to unpack them all. docs/data.md says what other
# sizes cost.
_CHUNK_BYTES: Final = 16 << 10
# HDF5's own tables and what it has not written yet.
_SPARE_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Everything that one person's device holds, or what was asked for of it.

    Attributes:
        name: unique in its file.
        image: (N, H, W) uint8 grey, or (N, H, W, 3) uint8 RGB: the eye or the face.
        pose: (N, 2) float32, head (pitch, yaw), radians; None if it is not known.
        gaze: (N, 2) float32, gaze (pitch, yaw), radians; None if only the point of gaze is known.
        columns: other data sets of the layout (`layout.COLUMNS`), as many as are there and were asked for.
        devices: names that `columns["device"]` is an index into; empty where the file names none.
    """

    name: str
    image: NDArray[np.uint8] = field(repr=False)
    pose: NDArray[np.float32] | None = field(default=None, repr=False)
    gaze: NDArray[np.float32] | None = field(default=None, repr=False)
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    devices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Person:
        """The same person with some rows, in the order of `index`."""
        pose = None if self.pose is None else self.pose[index]
        gaze = None if self.gaze is None else self.gaze[index]
        columns = {name: column[index] for name, column in self.columns.items()}
        return Person(self.name, self.image[index], pose, gaze, columns, self.devices)

    def parts(self) -> dict[str, NDArray[Any]]:
        """All arrays under the names that they have in a file."""
        main = {"image": self.image, "pose": self.pose, "gaze": self.gaze}
        return {**{name: array for name, array in main.items() if array is not None}, **self.columns}


@dataclass(frozen=True, slots=True)
class Outline:
    """What a person's group holds, without reading it.

    Attributes:
        rows: number of images.
        image_shape: (height, width) or (height, width, 3), pixels.
        parts: the data sets of the layout that are there.
    """

    name: str
    rows: int
    image_shape: tuple[int, ...]
    parts: frozenset[str]


def list_persons(path: Path) -> list[str]:
    """Names of all persons in a file, sorted.

    Raises:
        DataError: the file is missing, empty, damaged, no HDF5 file or holds no person.
    """
    with open_file(path) as file:
        return person_names(path, file)


def outline_persons(path: Path) -> list[Outline]:
    """Sizes of all persons in a file, sorted by name; no image is read, so that large files take no longer.

    Raises:
        DataError: as `list_persons`, or a person has no images.
    """
    with open_file(path) as file:
        outlines = []
        for name in person_names(path, file):
            stored = stored_parts(path, file, name)
            if "image" not in stored or stored["image"].ndim < 3:
                raise DataError(f"{path}, person {name}: there are no images", "a person's group needs image")
            rows, *shape = stored["image"].shape
            outlines.append(Outline(name, rows, tuple(shape), frozenset(stored)))
        return outlines


def load_persons(path: Path, names: Sequence[str] | None = None, columns: Sequence[str] = ()) -> list[Person]:
    """Read persons and check every rule of the layout that concerns what is read.

    Args:
        path: the HDF5 file.
        names: the persons wanted, in this order; all persons, sorted, by default.
        columns: data sets to read besides image, pose and gaze, from `layout.COLUMNS`, where the person has them.
            A person without gaze always brings `point` along, so that nobody is without a label.

    Returns:
        The persons, with labels as float32 (a file may hold float64).

    Raises:
        DataError: the file or a person in it breaks a rule, or a name is not in the file.
        UsageError: the layout has no such column.
    """
    for column in columns:
        if column not in COLUMNS:
            raise UsageError(f"the layout has no column {column!r}", f"it has {', '.join(COLUMNS)}")
    with open_file(path) as file:
        present = person_names(path, file)
        wanted = present if names is None else list(names)
        refuse_unknown(path, wanted, present)
        persons = [_read_person(path, file, name, columns) for name in wanted]
    for person in persons:
        _refuse_mixture(path, persons[0], person)
    return persons


def load_labels(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Everything a person has except pictures, under the names of the layout; every rule is checked.

    Raises:
        DataError: as `load_persons`.
    """
    with open_file(path) as file:
        refuse_unknown(path, [name], person_names(path, file))
        where = f"{path}, person {name}"
        parts = {
            part: stored if part in PICTURES else read_part(where, part, stored)
            for part, stored in stored_parts(path, file, name).items()
        }
        for fault in faults_of_person(where, parts, device_names(path, file, name)):
            raise fault
        return {part: _typed(part, array) for part, array in parts.items() if part not in PICTURES}


def read_labels(path: Path, file: Any, name: str, columns: Sequence[str], check: bool = True) -> dict[str, Any]:
    """A person's image, pose, gaze and `columns`, of an open file; pictures as open data sets, which are not read.

    Args:
        columns: as for `load_persons`.
        check: whether to check the rules of the layout; otherwise they are known to be kept.

    Raises:
        DataError: the person breaks a rule of the layout, or bytes are damaged.
    """
    where = f"{path}, person {name}"
    stored = stored_parts(path, file, name)
    wanted = [*MAIN_PARTS, *columns] if "gaze" in stored else [*MAIN_PARTS, "point", *columns]
    parts = {
        part: stored[part] if part in PICTURES else read_part(where, part, stored[part])
        for part in dict.fromkeys(wanted)
        if part in stored
    }
    if check:
        devices = device_names(path, file, name) if "device" in parts else ()
        # Who asks for one eye's crops alone is not told that the other's are missing.
        halves: dict[str, Any] = {part: stored[part] for part in ("left", "right") if part in stored}
        for fault in faults_of_person(where, {**halves, **parts} if halves.keys() & parts.keys() else parts, devices):
            raise fault
    return {part: array if part in PICTURES else _typed(part, array) for part, array in parts.items()}


def load_images(path: Path, name: str, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Some of a person's images, in the order of `rows`; the others are not read.

    Raises:
        DataError: as `load_persons`.
    """
    with open_file(path) as file:
        refuse_unknown(path, [name], person_names(path, file))
        where = f"{path}, person {name}"
        stored = stored_parts(path, file, name)
        for fault in faults_of_images(f"{where}, image", stored["image"]):
            raise fault
        return read_rows(where, stored["image"], rows)


def write_persons(path: Path, persons: Iterable[Person], image_of: ImageOf = "eye") -> None:
    """Write persons to a new file, one after the other, or leave `path` as it was.

    The file is written under a temporary name in the same folder and renamed at the end: nobody ever sees half of it.

    Args:
        path: where to write; an existing file is replaced.
        persons: may be a generator; one person at a time is held in memory.
        image_of: what the images show.

    Raises:
        DataError: a person breaks a rule of the layout, a name comes twice, there is no person, or the folder
            is missing or cannot be written.
    """
    refuse_place(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            file = h5py.File(temporary, "w")
        except OSError as error:
            raise DataError(f"{path}: the folder {path.parent} cannot be written", "choose another folder") from error
        try:
            with file:
                _write_all(path, file, persons)
                file.attrs["image_of"] = image_of
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


def refuse_place(path: Path) -> None:
    """Refuse a path at which no file can be made.

    Raises:
        DataError: the folder is missing, or `path` is itself a folder.
    """
    if not path.parent.is_dir():
        raise DataError(f"{path}: the folder {path.parent} does not exist", "create it first")
    if path.is_dir():
        raise DataError(f"{path} is a folder", "name the .h5 file to write")


def require_space(path: Path, size_bytes: int) -> None:
    """HDF5 crashes the process when the disk fills up, so that must not come to pass.

    Raises:
        DataError: the disk has no room for `size_bytes` more.
    """
    if shutil.disk_usage(path.parent).free < size_bytes + _SPARE_BYTES:
        raise DataError(f"{path}: the disk is nearly full", "free some space, or choose another folder")


def chunk_of_pictures(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many pictures of `shape`, (N, ...), are packed together: whole ones, at least one."""
    rows = max(1, _CHUNK_BYTES // math.prod(shape[1:]))
    return (min(rows, shape[0]), *shape[1:])


def _read_person(path: Path, file: Any, name: str, columns: Sequence[str]) -> Person:
    where = f"{path}, person {name}"
    parts = read_labels(path, file, name, columns)
    parts |= {part: read_part(where, part, parts[part]) for part in PICTURES if part in parts}
    devices = device_names(path, file, name) if "device" in parts else ()
    image, pose, gaze = parts.pop("image"), parts.pop("pose", None), parts.pop("gaze", None)
    return Person(name, image, pose, gaze, parts, devices)


def _typed(part: str, array: NDArray[Any]) -> NDArray[Any]:
    return array if part == "frame" else array.astype(STORED_AS[part], copy=False)


def _refuse_mixture(path: Path, first: Person, person: Person) -> None:
    """Persons that are loaded together feed one model."""
    if person.image.shape[1:] != first.image.shape[1:]:
        sizes = f"{person.image.shape[1:]}, but those of {first.name} {first.image.shape[1:]}"
        raise DataError(f"{path}, person {person.name}: images are {sizes}", "resize them, or leave persons out")
    for part in first.parts().keys() ^ person.parts().keys():
        has, lacks = (first, person) if part in first.parts() else (person, first)
        problem = f"{path}, person {lacks.name}: there is no data set '{part}', but {has.name} has one"
        raise DataError(problem, "complete it, or leave persons out")


def _write_all(path: Path, file: Any, persons: Iterable[Person]) -> None:
    file.attrs["privateyes_layout"] = LAYOUT_VERSION
    for person in persons:
        refuse_bad_name(str(path), person.name)
        if person.name in file:
            raise DataError(f"{path}: person {person.name} comes twice", "give every person a name of its own")
        parts = person.parts()
        for fault in faults_of_person(f"{path}, person {person.name}", parts, person.devices):
            raise fault
        require_space(path, sum(array.nbytes for array in parts.values()))
        group = file.create_group(person.name)
        if person.devices:
            group.attrs["devices"] = json.dumps(person.devices)
        for part, array in parts.items():
            if part in PICTURES:
                chunks = chunk_of_pictures(array.shape)
                group.create_dataset(part, data=array, chunks=chunks, compression="gzip", compression_opts=4)
            elif part == "frame":
                group.create_dataset(part, data=array.astype(object), dtype=h5py.string_dtype())
            else:
                group.create_dataset(part, data=array, dtype=STORED_AS[part])
    if not len(file):
        raise DataError(f"{path}: there is no person to write", "render or pass at least one")


def refuse_unknown(path: Path, wanted: Sequence[str], present: Sequence[str]) -> None:
    """Refuse names that a file does not hold, and names that come twice.

    Raises:
        DataError: there is one.
    """
    for index, name in enumerate(wanted):
        if name not in present:
            close = difflib.get_close_matches(name, present, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            shown = ", ".join(present[:20]) + (", ..." if len(present) > 20 else "")
            raise DataError(f"{path}: there is no person {name}", f"{hint}the file holds {shown}")
        if name in wanted[:index]:
            raise DataError(f"{path}: person {name} is asked for twice", "name every person once")
