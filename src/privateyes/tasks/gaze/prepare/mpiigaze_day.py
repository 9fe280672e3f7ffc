"""One recording day of MPIIGaze's normalised part: `dayYY.mat`, read and checked [MPIIGaze].

    data.left, data.right    image (N, 36, 60) uint8, gaze (N, 3) unit vectors, pose (N, 3) rotation vectors, radians
    filenames                N names such as "0069.jpg"

The files are of MATLAB's format 5. Readers that squeeze arrays lose the first axis of a day with one sample, and so do
files that such a reader's user saved again: all seven arrays are wrapped again then. Right eyes are as recorded here,
not mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from privateyes.errors import DataError
from privateyes.tasks.gaze.angles import angles_from_vectors
from privateyes.tasks.gaze.prepare.matlab5 import Value, read_mat

SIDES: Final = ("left", "right")
NOT_FINITE: Final = "gaze or head pose is not a number"
NO_UNIT_VECTOR: Final = "gaze is no unit vector"
LOOKS_AWAY: Final = "gaze points away from the camera"
TURNED_AWAY: Final = "head is turned away from the camera"
OVER_HALF_A_TURN: Final = "head's rotation vector is longer than half a turn, as one in degrees is"
# float32 vectors deviate by 1e-7; other units or other data by far more.
_UNIT_TOLERANCE: Final = 1e-3
_AGAIN: Final = "unpack or copy it again"


@dataclass(frozen=True, slots=True)
class EyeDay:
    """One eye on one day, N samples.

    Attributes:
        image: (N, H, W) uint8, as recorded.
        gaze: (N, 3) float64.
        head: (N, 3) float64, rotation vectors.
    """

    image: NDArray[np.uint8] = field(repr=False)
    gaze: NDArray[np.float64] = field(repr=False)
    head: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Day:
    """One recording day.

    Attributes:
        names: names of the N frames.
        eyes: "left" and "right".
    """

    names: tuple[str, ...]
    eyes: dict[str, EyeDay]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width) of the images."""
        return self.eyes["left"].image.shape[1:]


def read_day(path: Path) -> Day:
    """Read and check a day's file.

    Raises:
        DataError: the file is missing, damaged, of another format or order, or its arrays do not fit together.
    """
    content = _load(path)
    names = _names(path, content["filenames"])
    count = len(names)
    eyes = {side: _eye(path, side, content["data"], count) for side in SIDES}
    if eyes["left"].image.shape != eyes["right"].image.shape:
        shapes = " and ".join(str(eyes[side].image.shape[1:]) for side in SIDES)
        raise DataError(f"{path}: images of the left and of the right eye differ in size ({shapes})", _AGAIN)
    for side, eye in eyes.items():
        _refuse_other_vectors(path, side, eye)
    return Day(names, eyes)


def gaze_angles(gaze: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) (pitch, yaw), radians, of unit vectors: pitch = asin(-y), yaw = atan2(-x, -z)."""
    return angles_from_vectors(gaze)


def head_angles(head: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) (pitch, yaw), radians, of rotation vectors.

    With z the third column of the rotation's matrix, pitch = asin(z_y) and yaw = atan2(z_x, z_z).
    """
    axis = _facing(head)
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    return np.stack([np.arctan2(y, np.hypot(x, z)), np.arctan2(x, z)], axis=-1)


def fault_of_labels(gaze: NDArray[np.float64], head: NDArray[np.float64]) -> str | None:
    """Why a sample's labels are unusable, None if they are fine.

    Args:
        gaze: (3,) gaze vector.
        head: (3,) rotation vector.
    """
    if not (np.isfinite(gaze).all() and np.isfinite(head).all()):
        return NOT_FINITE
    if abs(float(_lengths(gaze)) - 1.0) > _UNIT_TOLERANCE:
        return NO_UNIT_VECTOR
    if gaze[2] >= 0:
        return LOOKS_AWAY
    if _lengths(head) > np.pi:
        return OVER_HALF_A_TURN
    if _facing(head[None])[0, 2] <= 0:
        return TURNED_AWAY
    return None


def _load(path: Path) -> dict[str, Value]:
    content = read_mat(path, ("data", "filenames"))
    for variable in ("data", "filenames"):
        if variable not in content:
            raise DataError(f"{path}: there is no variable '{variable}'", _AGAIN)
    return content


def _names(path: Path, filenames: Value) -> tuple[str, ...]:
    # No cell at all is an empty array of numbers.
    empty = isinstance(filenames, np.ndarray) and not filenames.size
    names = [filenames] if isinstance(filenames, str) else [] if empty else filenames
    texts = [name.strip() for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not isinstance(names, list) or len(texts) != len(names):
        raise DataError(f"{path}: 'filenames' is no list of names", _AGAIN)
    return tuple(texts)


def _eye(path: Path, side: str, data: Value, count: int) -> EyeDay:
    where = f"{path}, data.{side}"
    eye = data.get(side) if isinstance(data, dict) else None
    image, gaze, head = (_array(where, eye, field) for field in ("image", "gaze", "pose"))
    if count == 0 and not (image.size or gaze.size or head.size):
        return EyeDay(np.empty((0, 0, 0), np.uint8), np.empty((0, 3)), np.empty((0, 3)))
    if image.dtype != np.uint8:
        raise DataError(f"{where}.image: values are {image.dtype} and not uint8", _AGAIN)
    if count == 1 and image.ndim == 2 and gaze.size == head.size == 3:
        image, gaze, head = image[None], gaze.reshape(1, 3), head.reshape(1, 3)
    if image.ndim != 3 or len(image) != count:
        problem = f"{where}.image: the shape is {image.shape} where {count} names call for ({count}, height, width)"
        raise DataError(problem, _AGAIN)
    for name, labels in (("gaze", gaze), ("pose", head)):
        if labels.shape != (count, 3) or not np.issubdtype(labels.dtype, np.floating):
            problem = f"{where}.{name}: {labels.dtype} of shape {labels.shape}, not ({count}, 3) numbers"
            raise DataError(problem, "3-d vectors are expected, one in each row, not angles: use the original files")
    return EyeDay(image, gaze.astype(np.float64), head.astype(np.float64))


def _array(where: str, eye: Value | None, field: str) -> NDArray[Any]:
    array = eye.get(field) if isinstance(eye, dict) else None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{where}.{field}: there is no array of numbers", _AGAIN)
    return array


def _refuse_other_vectors(path: Path, side: str, eye: EyeDay) -> None:
    """One odd row is skipped; if most rows are odd, the file holds something else."""
    heads = _lengths(eye.head[np.isfinite(eye.head).all(axis=1)])
    if len(heads) and np.median(heads) > np.pi:
        problem = (
            f"{path}, data.{side}.pose: most rotation vectors are longer than half a turn if they were radians (the "
            f"median is {np.median(heads):.4g}): they look like degrees"
        )
        raise DataError(problem, "store them in radians (numpy.deg2rad), or use the original files")
    finite = np.isfinite(eye.gaze).all(axis=1)
    gaze = eye.gaze[finite]
    if not len(gaze):
        return
    lengths = _lengths(gaze)
    if np.median(np.abs(lengths - 1.0)) > _UNIT_TOLERANCE:
        problem = f"{path}, data.{side}.gaze: vectors have a length of {np.median(lengths):.4g} and not of 1"
        raise DataError(problem, "unit vectors (x, y, z) are expected: use the original files")
    if np.median(gaze[:, 2]) >= 0:
        problem = f"{path}, data.{side}.gaze: most vectors point away from the camera (z > 0)"
        raise DataError(problem, "another sign or another order than (x, y, z): use the original files")


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) lengths of (..., 3) vectors; infinite where they are beyond all numbers."""
    with np.errstate(over="ignore"):
        return np.asarray(np.linalg.norm(vectors, axis=-1))


def _facing(head: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) third columns of the rotations' matrices: where the heads' z-axes point."""
    axes: NDArray[np.float64] = Rotation.from_rotvec(head).as_matrix()[:, :, 2]
    return axes
