"""MPIIFaceGaze, normalised: faces of the same 15 persons as in MPIIGaze's evaluation subset [FullFace].

    SOURCE/p00.mat     MATLAB 7.3, which is HDF5; about 1.8 GB each
        Data/data      (3000, 3, 448, 448)   blue, green, red, 0 to 255; one image is (channel, row, column)
        Data/label     (3000, 4 or more)     gaze (pitch, yaw), head (pitch, yaw), radians, then landmarks in pixels

The authors reversed the channels, flipped the images sideways and turned them by 90 degrees, for Caffe; the last two
make a transposition, and so does the change from MATLAB's order of axes to HDF5's. What is read here is upright.

What comes out: RGB faces, gaze, pose and frame ("row 0", ...). Nothing is mirrored. The labels follow the modified
normalisation (rotation only), so that they are not comparable with MPIIGaze's to the degree.

Other normalised copies are about whose labels have both signs flipped or their order swapped. People look down at
laptops, and sideways more widely than up and down; where labels look otherwise they are kept as they are, and a warning
says so: mean pitch above 2 degrees suggests flipped signs; a first column around 0 that varies more than a second one
below -4 degrees suggests swapped columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
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

SIZE: Final = (448, 448)
_FILE: Final = re.compile(r"(p[0-9]{2})\.mat")
_PACKED: Final = re.compile(r"p[0-9]{2}(?:\.mat)?")
_BLOCK_BYTES: Final = 16 << 20
# What h5py raises for files and chunks that are damaged.
_DAMAGE: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)
_ORIGINAL: Final = "use the files of the original download (MPIIFaceGaze, normalised), unpacked again"
_UPWARD_MEAN_DEG: Final = 2.0
_DOWNWARD_MEAN_DEG: Final = -4.0

NOT_FINITE: Final = "gaze or head pose is not a number"
OUT_OF_RANGE: Final = "gaze or head pose is beyond 90 degrees"
NO_PICTURE: Final = "image has values that are no grey levels"


class MPIIFaceGaze:
    """Converts the normalised faces, block by block.

    Args:
        source: the folder with p00.mat, p01.mat, ..., or one that holds this folder only.
        options: `size` brings faces to another size; 448x448 take 27 GB.

    Raises:
        UsageError: an option of another data set is given.
    """

    dataset: Final = "mpiifacegaze"
    image_of: Final[Literal["face"]] = "face"

    def __init__(self, source: Path, options: ConvertOptions) -> None:
        refuse_options_of_others("MPIIFaceGaze", options, {"size"})
        self._source = source
        self._options = options

    def persons(self) -> Sequence[str]:
        """See `Converter.persons`."""
        names = sorted(self._files())
        if not names:
            if self._source.is_dir() and any(self._source.glob("p[0-9][0-9]/p[0-9][0-9].txt")):
                problem = f"{self._source} holds MPIIFaceGaze as it was recorded (p00/p00.txt)"
                raise DataError(problem, "download its normalised part too: p00.mat, p01.mat, ...")
            problem = f"{self._source} holds no file such as p00.mat, so that it is not MPIIFaceGaze"
            raise DataError(problem, "name the folder of the unpacked normalised part, with p00.mat to p14.mat")
        return sorted({*names, *self._packed()})

    def devices(self, person: str) -> Sequence[str]:  # noqa: ARG002
        """None: everyone used one laptop."""
        return ()

    def source_files(self, person: str) -> Sequence[Path]:
        """The person's file."""
        files = self._files()
        return [files[person]] if person in files else []

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """See `Converter.blocks`."""
        path = self._files().get(person)
        if path is None:
            stop_or_skip(packed_error(self._packed()[person]), self._options, tally)
            return
        try:
            with _opened(path) as file:
                faces = _faces(path, file)
                labels = _labels(path, file, len(faces))
                self._refuse_other_size(path, faces)
                for warning in suspicions(labels[:, :2]):
                    tally.warn(f"{person}: {warning}")
                yield from self._rows(path, faces, labels, tally)
        except DataError as error:
            stop_or_skip(error, self._options, tally)

    def _rows(self, path: Path, faces: Any, labels: NDArray[np.float64], tally: Tally) -> Iterator[Block]:
        step = max(1, min(BLOCK_ROWS, _BLOCK_BYTES // int(np.prod(faces.shape[1:]) * faces.dtype.itemsize)))
        for start in range(0, len(labels), step):
            try:
                block = np.asarray(faces[start : start + step])
            except _DAMAGE as error:
                problem = f"{path}: rows from {start} cannot be read ({error})"
                raise DataError(problem, "the file is damaged: unpack or copy it again") from error
            _refuse_fractions(path, block)
            kept = []
            for offset, face in enumerate(block):
                fault = _fault_of(face, labels[start + offset])
                if fault is None:
                    kept.append(offset)
                else:
                    tally.skip(fault, f"{path.name} row {start + offset}")
            if kept:
                rows = np.array(kept)
                tally.use(len(rows))
                yield {
                    "image": np.stack([self._as_rgb(block[row]) for row in rows]),
                    "gaze": labels[start + rows, :2].astype(np.float32),
                    "pose": labels[start + rows, 2:4].astype(np.float32),
                    "frame": np.array([f"row {start + row}" for row in rows]),
                }

    def _as_rgb(self, face: NDArray[Any]) -> NDArray[np.uint8]:
        """(3, H, W) blue, green, red -> (h, w, 3) red, green, blue."""
        if face.dtype != np.uint8:
            face = np.rint(face).astype(np.uint8)
        return pictures.resized(np.ascontiguousarray(face[::-1].transpose(1, 2, 0)), self._options.size)

    def _refuse_other_size(self, path: Path, faces: Any) -> None:
        if faces.shape[2:] != SIZE and self._options.size is None:
            theirs, ours = (f"{height}x{width}" for height, width in (faces.shape[2:], SIZE))
            remedy = "use the original files, or bring all images to one size with --size"
            raise DataError(f"{path}: images are {theirs} and not {ours}", remedy)

    def _packed(self) -> dict[str, Path]:
        """Person -> archive, beside the files of the others."""
        files = self._files()
        folder = next(iter(files.values())).parent
        packed = still_packed(folder, _PACKED)
        return {person: path for name, path in packed.items() if (person := name.removesuffix(".mat")) not in files}

    def _files(self) -> dict[str, Path]:
        """Person -> file, from SOURCE or, if there are none, from the only folder in it that has some."""
        if not self._source.is_dir():
            return {}
        inner = [path for path in self._source.iterdir() if path.is_dir()]
        candidates = [found for found in map(_files_of, [self._source, *inner]) if found]
        return candidates[0] if len(candidates) == 1 or (candidates and _files_of(self._source)) else {}


def suspicions(gaze: NDArray[np.float64]) -> Iterator[str]:
    """What looks wrong about a person's labels as a whole; the module's docstring names the rules.

    Args:
        gaze: (N, 2) what should be (pitch, yaw), radians.
    """
    # NaN compares as false.
    degrees = np.rad2deg(gaze[(np.abs(gaze) <= LARGEST_ANGLE_RAD).all(axis=1)])
    if not len(degrees):
        return
    mean, spread = degrees.mean(axis=0), degrees.std(axis=0)
    if mean[0] > _UPWARD_MEAN_DEG:
        yield f"labels look sign-flipped: the mean pitch is {mean[0]:+.1f} degrees, upwards; they are kept as they are"
    elif mean[1] < _DOWNWARD_MEAN_DEG and abs(mean[0]) < abs(mean[1]) / 2 and spread[0] > spread[1]:
        yield (
            f"labels look swapped: means are {mean[0]:+.1f} and {mean[1]:+.1f} degrees, and the first column varies "
            f"more ({spread[0]:.1f}) than the second ({spread[1]:.1f}); they are kept as they are"
        )


def _files_of(folder: Path) -> dict[str, Path]:
    found = ((_FILE.fullmatch(path.name), path) for path in folder.iterdir() if path.is_file())
    return {match[1]: path for match, path in found if match}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as error:
        problem = f"{path}: no file of MATLAB 7.3, or cut short ({error})"
        raise DataError(problem, "unpack or copy it again; files of older formats are another data set") from error
    with file:
        yield file


def _dataset(path: Path, file: Any, name: str) -> Any:
    try:
        found = file[name]
        # h5py reads a type when it is asked for, and a damaged one is an error then.
        fine = isinstance(found, h5py.Dataset) and found.dtype.kind in "uif" and found.shape is not None
    except _DAMAGE as error:
        raise DataError(f"{path}: there is no data set '{name}' that can be read", _ORIGINAL) from error
    if not fine:
        raise DataError(f"{path}: '{name}' is no array of numbers", _ORIGINAL)
    return found


def _faces(path: Path, file: Any) -> Any:
    faces = _dataset(path, file, "Data/data")
    if faces.ndim != 4 or faces.shape[1] != 3 or 0 in faces.shape:
        raise DataError(f"{path}: 'Data/data' has the shape {faces.shape} and not (rows, 3, height, width)", _ORIGINAL)
    return faces


def _labels(path: Path, file: Any, count: int) -> NDArray[np.float64]:
    """(N, 4) gaze and head (pitch, yaw), radians."""
    stored = _dataset(path, file, "Data/label")
    if stored.ndim != 2 or stored.shape[1] < 4:
        raise DataError(f"{path}: 'Data/label' has the shape {stored.shape} and not (rows, 4 or more)", _ORIGINAL)
    if len(stored) != count:
        raise DataError(f"{path}: {count} images and {len(stored)} labels", _ORIGINAL)
    try:
        labels = np.asarray(stored[:, :4], dtype=np.float64)
    except _DAMAGE as error:
        raise DataError(f"{path}: the labels cannot be read ({error})", "unpack or copy it again") from error
    beyond = (np.abs(labels) > LARGEST_ANGLE_RAD).any(axis=1)
    if 2 * int(beyond.sum()) > len(labels):
        first = ", ".join(f"{value:.4g}" for value in labels[np.flatnonzero(beyond)[0]])
        problem = f"{path}: most labels are beyond 90 degrees if they were radians (the first is {first})"
        raise DataError(problem, f"degrees, or other columns than gaze and head (pitch, yaw): {_ORIGINAL}")
    return labels


def _fault_of(face: NDArray[Any], label: NDArray[np.float64]) -> str | None:
    if not np.isfinite(label).all():
        return NOT_FINITE
    if (np.abs(label) > LARGEST_ANGLE_RAD).any():
        return OUT_OF_RANGE
    # NaN compares as false.
    if face.dtype != np.uint8 and not (face.min() >= 0 and face.max() <= 255):
        return NO_PICTURE
    return None


def _refuse_fractions(path: Path, block: NDArray[Any]) -> None:
    """Images that were scaled to 0..1 would all come out black."""
    if block.dtype.kind == "f" and 0 < float(np.nanmax(block, initial=0)) <= 1:
        raise DataError(f"{path}: images hold values of 0 to 1 and not of 0 to 255", _ORIGINAL)
