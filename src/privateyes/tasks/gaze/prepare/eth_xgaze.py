"""ETH-XGaze: normalised faces under extreme head poses and gazes, one HDF5 file for each person [ETH-XGaze].

    SOURCE/train/subject0003.h5                  80 persons, about 1.5 GB each (xgaze_224; xgaze_448 has larger faces)
        face_patch      (N, 224, 224, 3) uint8   blue, green, red
        face_gaze       (N, 2)                   (pitch, yaw), radians
        face_head_pose  (N, 2)                   head (pitch, yaw), radians
        frame_index     (N, 1)                   cam_index       (N, 1)
    SOURCE/test/, SOURCE/test_person_specific/   the same without face_gaze: its labels are not public
    SOURCE/train_test_split.json                 names of the files of each part

The authors' program for normalisation writes gaze as (asin(-y), atan2(-x, -z)), which is this project's convention, and
the head's z-axis as (asin z_y, atan2(z_x, z_z)), which is that of MPIIGaze: no sign changes. The labels follow the
modified normalisation (rotation only). What comes out: RGB faces, gaze, pose, device (cam_index as it is recorded) and
frame. Test persons come out under the name of their folder and their own, if their file has labels; else they are named
and skipped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.layout import LARGEST_ANGLE_RAD
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.converter import (
    BLOCK_ROWS,
    Block,
    ConvertOptions,
    packed_error,
    refuse_options_of_others,
    still_packed,
    stop_or_skip,
)
from privateyes.tasks.gaze.prepare.tally import Tally

FOLDERS: Final = ("train", "test", "test_person_specific")
SPLIT_FILE: Final = "train_test_split.json"
CAMERAS: Final = 64
_FILE: Final = re.compile(r"(subject[0-9]{4})\.h5")
_PACKED: Final = re.compile(r"subject[0-9]{4}(?:\.h5)?")
_BLOCK_BYTES: Final = 32 << 20
_LARGEST_CHUNK_BYTES: Final = 256 << 20
# The whole data set has a million; a damaged header may speak of any number.
_LARGEST_ROWS: Final = 10_000_000
# What h5py raises for files and chunks that are damaged.
_DAMAGE: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_COPY: Final = "copy it again"

NO_LABELS: Final = "file has no labels"
UNREADABLE: Final = "row cannot be read"
BLACK: Final = "image is black"
NO_NUMBER: Final = "gaze or head pose is no number"
OUT_OF_RANGE: Final = "gaze or head pose is beyond 90 degrees"
BAD_INDEX: Final = "camera or frame has an impossible index"
TWICE: Final = "frame of a camera is there twice"


class EthXGaze:
    """Converts the preprocessed release, block by block.

    Args:
        source: the folder that holds train/.
        options: `size` brings faces to another size.

    Raises:
        UsageError: an option of another data set is given.
    """

    dataset: Final = "eth-xgaze"
    image_of: Final[Literal["face"]] = "face"

    def __init__(self, source: Path, options: ConvertOptions) -> None:
        if options.split is not None:
            raise UsageError("ETH-XGaze's other parts have no public labels", "leave the split out: train is converted")
        if options.largest_blink is not None:
            raise UsageError("ETH-XGaze records no blinks", "leave the limit on blinks out")
        refuse_options_of_others("ETH-XGaze", options, {"size"})
        self._source = source
        self._options = options

    def persons(self) -> Sequence[str]:
        """subject0003 for train/subject0003.h5, test_subject0001 for test/subject0001.h5, ...; sorted.

        Raises:
            DataError: there is no train/subjectNNNN.h5, or train_test_split.json is damaged.
        """
        names = [f"{_prefix(path.parent.name)}{path.stem}" for path in self._files()]
        if not any(name.startswith("subject") for name in names):
            problem = f"{self._source}: there is no train/subject0000.h5 or the like"
            if any(_FILE.fullmatch(path.name) for path in _entries(self._source)):
                raise DataError(problem, "name the folder above the files: it holds train/ and test/")
            raise DataError(problem, "name the unpacked folder of the preprocessed release (xgaze_224 or xgaze_448)")
        return sorted({*names, *self._listed(), *self._packed()})

    def devices(self, person: str) -> Sequence[str]:
        """Camera 0, 1, ... up to the largest index in the file; none if the file is damaged, which `blocks` reports."""
        try:
            with _open(self._path(person)) as file:
                cameras = _small(self._path(person), file, "cam_index")
        except DataError:
            return []
        fine = cameras[(cameras >= 0) & (cameras < CAMERAS)]
        return [f"camera {index}" for index in range(int(fine.max()) + 1)] if len(fine) else []

    def source_files(self, person: str) -> Sequence[Path]:
        """The person's file."""
        path = self._path(person)
        return [path] if os.path.exists(path) else []

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """See `Converter.blocks`."""
        path = self._path(person)
        try:
            if person in self._packed() and not os.path.exists(path):
                raise packed_error(self._packed()[person])
            with _open(path) as file:
                if "face_gaze" not in file:
                    if path.parent.name == "train":
                        raise DataError(f"{path}: there is no data set face_gaze", _COPY)
                    tally.skip(NO_LABELS, f"{path.parent.name}/{path.name}: labels of test persons are not public")
                    return
                patches = _patches(path, file)
                yield from _Rows(path, patches, _labels(path, file, len(patches)), self._options.size).blocks(tally)
        except DataError as error:
            stop_or_skip(error, self._options, tally)

    def _files(self) -> list[Path]:
        folders = [self._source / name for name in FOLDERS if os.path.isdir(self._source / name)]
        return [path for folder in folders for path in _entries(folder) if _FILE.fullmatch(path.name)]

    def _packed(self) -> dict[str, Path]:
        """Person -> archive that nobody unpacked."""
        return {
            f"{_prefix(folder)}{name.removesuffix('.h5')}": path
            for folder in FOLDERS
            for name, path in still_packed(self._source / folder, _PACKED).items()
            if not os.path.exists(self._source / folder / f"{name.removesuffix('.h5')}.h5")
        }

    def _listed(self) -> list[str]:
        """Training persons that train_test_split.json names, whether their files are there or not."""
        path = self._source / SPLIT_FILE
        if not os.path.exists(path):
            return []
        try:
            listed = json.loads(path.read_bytes().decode("utf-8-sig"))["train"]
            matches = [_FILE.fullmatch(name) for name in listed]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: no JSON object with a list 'train'", "copy it again, or remove it") from error
        if None in matches:
            wrong = listed[matches.index(None)]
            raise DataError(f"{path}: {wrong!r} is no name such as subject0000.h5", "copy it again, or remove it")
        return [match[1] for match in matches if match]

    def _path(self, person: str) -> Path:
        folder = next(name for name in reversed(FOLDERS) if person.startswith(_prefix(name)))
        return self._source / folder / f"{person.removeprefix(_prefix(folder))}.h5"


class _Rows:
    """One open file.

    Args:
        path: for messages.
        patches: the data set face_patch.
        numbers: gaze (N, 2), pose (N, 2), frame (N,), camera (N,).
        size: (height, width) of the faces that come out, or None for theirs.
    """

    def __init__(
        self, path: Path, patches: Any, numbers: Mapping[str, NDArray[Any]], size: tuple[int, int] | None
    ) -> None:
        self._path = path
        self._patches = patches
        self._numbers = numbers
        self._size = size
        self._seen: set[tuple[int, int]] = set()

    def blocks(self, tally: Tally) -> Iterator[Block]:
        """Blocks of at most 32 MB of the file's pixels, and at most `BLOCK_ROWS` rows."""
        row_bytes = int(np.prod(self._patches.shape[1:]))
        step = max(1, min(BLOCK_ROWS, _BLOCK_BYTES // row_bytes))
        for start in range(0, len(self._patches), step):
            rows, pixels = self._read(start, min(start + step, len(self._patches)), tally)
            fine = [index for index, row in enumerate(rows) if self._is_fine(row, pixels[index], tally)]
            if fine:
                tally.use(len(fine))
                yield self._block([rows[index] for index in fine], pixels[fine])

    def _read(self, start: int, stop: int, tally: Tally) -> tuple[list[int], NDArray[np.uint8]]:
        """Rows that can be read, and their pixels. A damaged block is read row by row."""
        try:
            return list(range(start, stop)), self._patches[start:stop]
        except _DAMAGE:
            rows, pixels = [], []
            for row in range(start, stop):
                try:
                    pixels.append(self._patches[row])
                except _DAMAGE as error:
                    tally.skip(UNREADABLE, f"{self._what(row)}: {error}")
                else:
                    rows.append(row)
            empty = np.empty((0, *self._patches.shape[1:]), dtype=np.uint8)
            return rows, np.stack(pixels) if pixels else empty

    def _is_fine(self, row: int, pixels: NDArray[np.uint8], tally: Tally) -> bool:
        reason = self._fault(row, pixels)
        if reason is not None:
            tally.skip(reason, self._what(row))
        return reason is None

    def _fault(self, row: int, pixels: NDArray[np.uint8]) -> str | None:
        if not pixels.any():  # the authors' program leaves such rows at the end of what it writes
            return BLACK
        angles = np.concatenate([self._numbers["gaze"][row], self._numbers["pose"][row]])
        if not np.isfinite(angles).all():
            return NO_NUMBER
        if (np.abs(angles) > LARGEST_ANGLE_RAD).any():
            return OUT_OF_RANGE
        frame, camera = int(self._numbers["frame"][row]), int(self._numbers["camera"][row])
        if frame < 0 or not 0 <= camera < CAMERAS:
            return BAD_INDEX
        if (frame, camera) in self._seen:
            return TWICE
        self._seen.add((frame, camera))
        return None

    def _block(self, rows: list[int], pixels: NDArray[np.uint8]) -> Block:
        faces = pixels[..., ::-1]  # blue, green, red -> red, green, blue
        return {
            "image": np.stack([pictures.resized(np.ascontiguousarray(face), self._size) for face in faces]),
            "gaze": self._numbers["gaze"][rows].astype(np.float32),
            "pose": self._numbers["pose"][rows].astype(np.float32),
            "device": self._numbers["camera"][rows].astype(np.uint16),
            "frame": np.array([self._name(row) for row in rows]),
        }

    def _name(self, row: int) -> str:
        return f"frame{int(self._numbers['frame'][row]):04d} camera {int(self._numbers['camera'][row])}"

    def _what(self, row: int) -> str:
        return f"{self._path.parent.name}/{self._path.name}, row {row}"


def _prefix(folder: str) -> str:
    return "" if folder == "train" else f"{folder}_"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror})", "name the unpacked release") from error


def _open(path: Path) -> Any:
    """Open a person's file for reading; an `h5py.File`.

    Raises:
        DataError: the file is missing, cut short or no HDF5 file.
    """
    if not os.path.isfile(path):
        listed = f", although {SPLIT_FILE} names it" if path.parent.name == "train" else ""
        raise DataError(f"{path}: there is no such file{listed}", "copy it again")
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise DataError(f"{path}: the file may not be read", "change its permissions") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: no HDF5 file, or cut short ({error})", _COPY) from error


def _dataset(path: Path, file: Any, name: str) -> Any:
    """A data set whose content lies in this very file.

    Raises:
        DataError: it is missing, or is something else, or refers to another file.
    """
    try:
        link = file.get(name, getlink=True)
        found = file[name] if isinstance(link, h5py.HardLink) else None
    except _DAMAGE as error:
        raise DataError(f"{path}: {name} cannot be read ({error})", _COPY) from error
    if link is None:
        raise DataError(f"{path}: there is no data set {name}", _COPY)
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise DataError(f"{path}: {name} is no data set of this file", _COPY)
    return found


def _patches(path: Path, file: Any) -> Any:
    patches = _dataset(path, file, "face_patch")
    if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[3] != 3 or 0 in patches.shape[1:]:
        problem = f"{path}: face_patch is {patches.dtype} {patches.shape}, not uint8 (rows, height, width, 3)"
        raise DataError(problem, "name the preprocessed release (xgaze_224 or xgaze_448)")
    if np.prod(patches.shape[1:], dtype=object) > _BLOCK_BYTES:
        raise DataError(f"{path}: a face of {patches.shape[1]}x{patches.shape[2]} pixels is too large", _COPY)
    if patches.chunks and np.prod(patches.chunks, dtype=object) > _LARGEST_CHUNK_BYTES:
        # One row cannot be read without inflating its chunk.
        raise DataError(f"{path}: face_patch is stored in chunks of {patches.chunks}", "repack it in chunks of one row")
    if not 0 < len(patches) <= _LARGEST_ROWS:
        raise DataError(f"{path}: there is no row" if not len(patches) else f"{path}: {len(patches)} rows", _COPY)
    return patches


def _labels(path: Path, file: Any, rows: int) -> Mapping[str, NDArray[Any]]:
    """Gaze, pose, frame and camera of all rows.

    Raises:
        DataError: one is missing, damaged, of another shape, or in degrees.
    """
    numbers = {
        "gaze": _small(path, file, "face_gaze", 2),
        "pose": _small(path, file, "face_head_pose", 2),
        "frame": _small(path, file, "frame_index"),
        "camera": _small(path, file, "cam_index"),
    }
    for name, array in numbers.items():
        if len(array) != rows:
            raise DataError(f"{path}: {rows} faces, but {len(array)} rows of the {name}", _COPY)
    largest = np.abs(numbers["gaze"]).max(axis=1)
    if np.median(largest) > LARGEST_ANGLE_RAD:
        problem = f"{path}: most rows of face_gaze are beyond 90 degrees if they are radians"
        raise DataError(problem, "the file is no original: restore its labels")
    return numbers


def _small(path: Path, file: Any, name: str, width: int = 1) -> NDArray[Any]:
    """A data set of numbers as (N, width) float64, or as (N,) int64 if `width` is 1.

    Raises:
        DataError: it is missing, damaged, or of another shape or type.
    """
    found = _dataset(path, file, name)
    kinds = "iu" if width == 1 else "f"
    shapes = ((1,), ()) if width == 1 else ((width,),)
    if found.dtype.kind not in kinds or found.ndim == 0 or found.shape[1:] not in shapes or len(found) > _LARGEST_ROWS:
        what = "whole numbers (rows, 1)" if width == 1 else f"numbers (rows, {width})"
        raise DataError(f"{path}: {name} is {found.dtype} {found.shape}, not {what}", _COPY)
    try:
        array = np.asarray(found[()])
    except _DAMAGE as error:
        raise DataError(f"{path}: {name} cannot be read ({error})", _COPY) from error
    return array.reshape(-1).astype(np.int64) if width == 1 else array.astype(np.float64)
