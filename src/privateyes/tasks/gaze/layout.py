"""The rules of a gaze file's layout, version 2: one HDF5 group for each person, every data set with the same N rows.

    image        (N, H, W) or (N, H, W, 3) uint8    the eye or the face, grey or RGB; right eyes mirrored to look left
    gaze         (N, 2) float32   (pitch, yaw), radians                                    gaze or point or both
    point        (N, 2) float32   point of gaze (x, y) in the camera's plane, cm           gaze or point or both
    pose         (N, 2) float32   head (pitch, yaw), radians                               optional
    left, right  (N, h, w) or (N, h, w, 3) uint8    crops of both eyes                     optional, both or none
    grid         (N, 4) int16     face grid x, y, w, h in cells of 25x25, counted from 1   optional
    eye          (N,) uint8       0 left, 1 right                                          optional
    day          (N,) uint16      recording day or session                                 optional
    device       (N,) uint16      index into the group's attribute `devices`, a JSON list  optional
    frame        (N,) UTF-8 text  where the row came from                                  optional

Version 1 knew image, pose and gaze only, and so do the common MPIIGaze.h5 files; both follow the same rules. The
normative page is docs/data.md. Nothing here reads a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

LAYOUT_VERSION: Final = "2"
KNOWN_VERSIONS: Final = ("1", "2")
# What every reader gets; the other columns come on request.
MAIN_PARTS: Final = ("image", "pose", "gaze")
COLUMNS: Final = ("point", "left", "right", "grid", "eye", "day", "device", "frame")
PICTURES: Final = ("image", "left", "right")
TARGETS: Final = ("gaze", "point")
# How each data set is stored; `frame` is text and stands for itself.
STORED_AS: Final[Mapping[str, type[np.generic]]] = MappingProxyType(
    {
        "image": np.uint8,
        "gaze": np.float32,
        "point": np.float32,
        "pose": np.float32,
        "left": np.uint8,
        "right": np.uint8,
        "grid": np.int16,
        "eye": np.uint8,
        "day": np.uint16,
        "device": np.uint16,
    }
)
# An eye that looks further away from the camera than this shows no pupil; in degrees nearly every label is beyond.
LARGEST_ANGLE_RAD: Final = np.pi / 2
# Nobody reads a telephone or a monitor a metre beside its camera; in millimetres most labels are beyond.
LARGEST_POINT_CM: Final = 100.0
GRID_CELLS: Final = 25
LONGEST_FRAME: Final = 255
# Names become folder names of a run, so they must be harmless there.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
_NAME_REMEDY: Final = "use letters, digits, '-', '_' and '.', at most 64, beginning with a letter, digit or '_'"


def refuse_bad_name(where: str, name: str) -> None:
    """Names of persons become names of folders.

    Raises:
        DataError: `name` could leave a folder, or is no plain name.
    """
    if not _NAME.fullmatch(name):
        raise DataError(f"{where}: {name!r} cannot be a person's name", _NAME_REMEDY)


def faults_of_person(where: str, parts: Mapping[str, Any], devices: tuple[str, ...] = ()) -> Iterator[DataError]:
    """Every way in which a person's arrays break the layout; nothing is yielded for good data.

    Args:
        where: names the file and the person in the messages.
        parts: the arrays under their names, as they stand in the file; pictures may be open HDF5 data sets, of which
            only the shape and the type are looked at.
        devices: names of the devices; empty where the file has none.
    """
    if "image" not in parts:
        yield DataError(f"{where}: there is no data set 'image'", "a person's group needs image, and gaze or point")
    if not any(target in parts for target in TARGETS):
        remedy = "a person's group needs gaze (pitch, yaw) in radians, or point (x, y) in cm"
        yield DataError(f"{where}: there is no data set 'gaze' and none called 'point'", remedy)
    if ("left" in parts) != ("right" in parts):
        there, absent = ("left", "right") if "left" in parts else ("right", "left")
        yield DataError(f"{where}: there is '{there}' without '{absent}'", "store crops of both eyes, or of none")
    for part, array in parts.items():
        yield from _faults_of_part(f"{where}, {part}", part, array)
    yield from _faults_across(where, parts, devices)


def devices_from_text(where: str, text: object) -> tuple[str, ...]:
    """The names of a person's devices, from the group's attribute `devices`.

    Raises:
        DataError: the attribute is no JSON list of different names.
    """
    try:
        names = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        names = None
    named = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if names is None or not named or len(set(names)) != len(names):
        remedy = 'store a JSON list of different names, such as ["iPhone 6"]'
        raise DataError(f"{where}: the attribute 'devices' is no list of names", remedy)
    return tuple(names)


def _faults_of_part(where: str, part: str, array: Any) -> Iterator[DataError]:
    if part in PICTURES:
        yield from faults_of_images(where, array)
    elif part in ("gaze", "pose"):
        yield from _faults_of_angles(where, array)
    elif part == "point":
        yield from _faults_of_points(where, array)
    elif part == "grid":
        yield from _faults_of_grids(where, array)
    elif part == "eye":
        yield from _faults_of_numbers(where, array, 1, "store 0 for a left and 1 for a right eye")
    elif part in ("day", "device"):
        yield from _faults_of_numbers(where, array, 2**16 - 1, f"number the {part}s from 0")
    elif part == "frame":
        yield from _faults_of_frames(where, array)


def _faults_across(where: str, parts: Mapping[str, Any], devices: tuple[str, ...]) -> Iterator[DataError]:
    """What no single data set shows."""
    lengths = {part: array.shape[0] for part, array in parts.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{part} {length}" for part, length in lengths.items())
        problem = f"{where}: the data sets differ in length ({counted})"
        yield DataError(problem, "give every image one row in every data set")
    if "left" in parts and "right" in parts and parts["left"].shape[1:] != parts["right"].shape[1:]:
        sizes = f"{parts['left'].shape[1:]} and {parts['right'].shape[1:]}"
        yield DataError(f"{where}: crops of the left and of the right eye differ in size ({sizes})", "use one size")
    device = parts.get("device")
    if devices and device is not None and np.issubdtype(device.dtype, np.integer) and device.size:
        beyond = int(device.max())
        if beyond >= len(devices):
            problem = f"{where}, device: there is a device {beyond}, but only {len(devices)} names"
            yield DataError(problem, "name every device in the attribute 'devices'")


def faults_of_images(where: str, image: Any) -> Iterator[DataError]:
    """What is wrong with pictures: an array, or an open HDF5 data set of which shape and type are looked at."""
    convert = "store images as uint8, 0 to 255"
    if image.dtype != np.uint8:
        row = _first_row_not_finite(image)
        if row is not None:
            yield DataError(f"{where}: row {row} holds NaN or infinity", f"remove the row, then {convert}")
        yield DataError(f"{where}: values are {image.dtype} and not uint8", convert)
    if image.ndim != 3 and (image.ndim != 4 or image.shape[3] != 3):
        problem = f"{where}: the shape is {image.shape} and not (rows, height, width) or (rows, height, width, 3)"
        yield DataError(problem, "store one grey channel, or red, green and blue last")
    elif image.shape[0] == 0:
        yield DataError(f"{where}: there is no row", "remove the person or record images")
    elif 0 in image.shape:
        yield DataError(f"{where}: the shape is {image.shape}: no pixels", "store images of at least one pixel")


def _faults_of_pairs(where: str, array: NDArray[Any], store: str, three: str) -> Iterator[DataError]:
    """Faults of any (N, 2) floating-point labels; `store` says what belongs there, `three` what (N, 3) may be."""
    if array.dtype not in (np.float32, np.float64):
        yield DataError(f"{where}: values are {array.dtype} and not float32", f"store {store} as float32")
    elif array.ndim != 2 or array.shape[1] != 2:
        yield DataError(f"{where}: the shape is {array.shape} and not (rows, 2)", f"store {store}; {three}")
    else:
        row = _first_row_not_finite(array)
        if row is not None:
            problem = f"{where}: row {row} holds NaN or infinity"
            yield DataError(problem, "remove the row from all data sets of the person")


def _faults_of_angles(where: str, angles: NDArray[Any]) -> Iterator[DataError]:
    faults = list(_faults_of_pairs(where, angles, "(pitch, yaw) in radians", "turn 3-d vectors into angles first"))
    yield from faults
    row = None if _no_pairs(angles) else _first_row_beyond(angles, LARGEST_ANGLE_RAD)
    if row is not None:
        pitch, yaw = angles[row]
        problem = f"{where}: row {row} is ({pitch:.4g}, {yaw:.4g}): more than 90 degrees if these were radians"
        yield DataError(problem, "labels in degrees must be converted to radians (numpy.deg2rad)")


def _faults_of_points(where: str, points: NDArray[Any]) -> Iterator[DataError]:
    yield from _faults_of_pairs(where, points, "(x, y) in cm", "leave out the distance from the camera's plane")
    row = None if _no_pairs(points) else _first_row_beyond(points, LARGEST_POINT_CM)
    if row is not None:
        x, y = points[row]
        problem = f"{where}: row {row} is ({x:.4g}, {y:.4g}): more than a metre beside the camera if this were cm"
        yield DataError(problem, "store centimetres from the camera: no millimetres, no pixels")


def _faults_of_grids(where: str, grid: NDArray[Any]) -> Iterator[DataError]:
    remedy = "store x, y, width and height in cells, counted from 1, as int16"
    if not np.issubdtype(grid.dtype, np.integer):
        yield DataError(f"{where}: values are {grid.dtype} and not int16", remedy)
    elif grid.ndim != 2 or grid.shape[1] != 4:
        yield DataError(f"{where}: the shape is {grid.shape} and not (rows, 4)", remedy)
    else:
        wide = np.clip(grid, -(2**31), 2**31 - 1).astype(np.int64)
        start, size = wide[:, :2], wide[:, 2:]
        outside = (size < 1) | (start > GRID_CELLS) | (start + size - 1 < 1) | (start < -(2**15)) | (size >= 2**15)
        rows = np.flatnonzero(outside.any(axis=1))
        if len(rows):
            box = ", ".join(str(value) for value in grid[rows[0]])
            problem = f"{where}: row {rows[0]} is ({box}): no part of {GRID_CELLS}x{GRID_CELLS} cells"
            yield DataError(problem, remedy)


def _faults_of_numbers(where: str, numbers: NDArray[Any], largest: int, remedy: str) -> Iterator[DataError]:
    if not np.issubdtype(numbers.dtype, np.integer):
        yield DataError(f"{where}: values are {numbers.dtype} and not whole numbers", remedy)
    elif numbers.ndim != 1:
        yield DataError(f"{where}: the shape is {numbers.shape} and not (rows,)", remedy)
    else:
        beyond = np.flatnonzero((numbers < 0) | (numbers > largest))
        if len(beyond):
            problem = f"{where}: row {beyond[0]} is {numbers[beyond[0]]}, not within 0 and {largest}"
            yield DataError(problem, remedy)


def _faults_of_frames(where: str, frames: NDArray[Any]) -> Iterator[DataError]:
    remedy = "store UTF-8 text that says where the row came from"
    if frames.dtype.kind != "U":
        yield DataError(f"{where}: values are {frames.dtype} and not text", remedy)
    elif frames.ndim != 1:
        yield DataError(f"{where}: the shape is {frames.shape} and not (rows,)", remedy)
    elif frames.dtype.itemsize > 4 * LONGEST_FRAME:
        problem = f"{where}: there is a text of more than {LONGEST_FRAME} characters"
        yield DataError(problem, remedy)


def _no_pairs(array: NDArray[Any]) -> bool:
    return array.dtype not in (np.float32, np.float64) or array.ndim != 2 or array.shape[1] != 2


def _first_row_beyond(pairs: NDArray[Any], largest: float) -> int | None:
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(((np.abs(pairs) > largest) & np.isfinite(pairs)).any(axis=1))
    return int(beyond[0]) if len(beyond) else None


def _first_row_not_finite(array: Any) -> int | None:
    if array.size == 0 or array.ndim == 0 or not np.issubdtype(array.dtype, np.inexact):
        return None
    bad = ~np.isfinite(array[()]).reshape(len(array), -1).all(axis=1)
    return int(np.argmax(bad)) if bad.any() else None
