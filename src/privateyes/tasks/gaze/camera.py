"""A camera: intrinsics, lens distortion, and where they come from.

The frame is x right, y down, z away from the camera, in mm; pixels count from the centre of the upper left one. The
lens model is the usual one of calibration tools [Brown 1971]: for x, y = X/Z, Y/Z and r2 = x^2 + y^2,

    x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3) + 2 p1 x y + p2 (r2 + 2 x^2)
    y' = y (1 + k1 r2 + k2 r2^2 + k3 r2^3) + p1 (r2 + 2 y^2) + 2 p2 x y

with coefficients in the order k1, k2, p1, p2, k3.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privateyes.errors import DataError

Floats = NDArray[np.float64]

_COEFFICIENTS: Final = (0, 4, 5)
# No lens has a focal length below this many pixels; one in millimetres has.
_SHORTEST_FOCAL_PX: Final = 20.0
# A laptop's camera sees about this much across; the assumption where nobody says anything else.
ASSUMED_VIEW_DEG: Final = 60.0
_HOW_TO_WRITE: Final = (
    "give camera_matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels and distortion = [k1, k2, p1, p2, k3]"
)


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """Intrinsics of a camera.

    Args:
        matrix: (3, 3) [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels.
        distortion: k1, k2, p1, p2 and k3; none, four or five of them.

    Raises:
        DataError: a shape is another, a value is not finite, or the focal length cannot be in pixels.
    """

    matrix: Floats = field(repr=False)
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or not np.isfinite(self.matrix).all():
            raise DataError(f"camera_matrix has the shape {self.matrix.shape}, or NaN", _HOW_TO_WRITE)
        fx, fy = self.matrix[0, 0], self.matrix[1, 1]
        others = self.matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
        if not np.array_equal(others, [0, 0, 0, 0, 1]):
            raise DataError(f"camera_matrix = {self.matrix.tolist()} is no matrix of intrinsics", _HOW_TO_WRITE)
        if min(fx, fy) < _SHORTEST_FOCAL_PX:
            problem = f"the camera's focal length is ({fx:g}, {fy:g}), too short for pixels"
            raise DataError(problem, "divide millimetres by the size of a pixel, or calibrate the camera")
        if len(self.distortion) not in _COEFFICIENTS or not np.isfinite(self.distortion).all():
            problem = f"distortion = {list(self.distortion)} has {len(self.distortion)} coefficients, or NaN"
            raise DataError(problem, "give k1, k2, p1, p2 and k3, or leave it out for a lens without distortion")

    def refuse_other_frame(self, height: int, width: int) -> None:
        """Refuse a frame that this camera cannot have taken, since its axis does not meet it.

        Raises:
            DataError: the principal point is not in the middle half of the frame.
        """
        across, along = self.matrix[:2, 2]
        if not (width / 4 <= across <= width * 3 / 4 and height / 4 <= along <= height * 3 / 4):
            where = f"the camera's axis at ({across:.0f}, {along:.0f})"
            problem = f"{where} is far from the middle of a {width}x{height} frame"
            raise DataError(problem, "give the camera's matrix for frames of this size")

    def project(self, points_mm: ArrayLike) -> Floats:
        """Where points appear in the image.

        Args:
            points_mm: (..., 3) in the camera's frame, z > 0.

        Returns:
            (..., 2) pixels.
        """
        points = np.asarray(points_mm, dtype=np.float64)
        return self._pixels(self._distorted(points[..., :2] / points[..., 2:]))

    def distort(self, ideal_px: ArrayLike) -> Floats:
        """From where a lens without distortion would show something, (..., 2) pixels, to where this one does."""
        return self._pixels(self._distorted(self.slopes(ideal_px)))

    def slopes(self, pixels: ArrayLike) -> Floats:
        """X/Z and Y/Z of the rays through pixels (..., 2) of a lens without distortion."""
        across_along: Floats = (np.asarray(pixels, dtype=np.float64) - self.matrix[:2, 2]) / self._focal_px
        return across_along

    def _pixels(self, slopes: Floats) -> Floats:
        return slopes * self._focal_px + self.matrix[:2, 2]

    @property
    def _focal_px(self) -> Floats:
        return np.diagonal(self.matrix)[:2]

    def _distorted(self, slopes: Floats) -> Floats:
        if not self.distortion:
            return slopes
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0)[:5]
        x, y = slopes[..., 0], slopes[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        across = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        along = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([across, along], axis=-1)


def assumed_camera(height: int, width: int) -> Camera:
    """A camera without distortion that sees `ASSUMED_VIEW_DEG` across the longer side and looks through the centre.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
    """
    focal = max(height, width) / 2 / math.tan(math.radians(ASSUMED_VIEW_DEG / 2))
    matrix = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return Camera(matrix)


def load_camera(path: Path) -> Camera:
    """Read a camera from a .toml or .json file with the keys `camera_matrix` and, where there is one, `distortion`.

    Raises:
        DataError: the file cannot be read, or a key is missing, unknown or impossible.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:  # both decoders' errors are ValueErrors
        raise DataError(f"{path} cannot be read as a camera ({error})", _HOW_TO_WRITE) from error
    try:
        return _camera_from(tree)
    except DataError as error:
        raise DataError(f"{path}: {error.problem}", error.remedy) from error


def _camera_from(tree: Any) -> Camera:
    if not isinstance(tree, Mapping) or "camera_matrix" not in tree:
        raise DataError("there is no camera_matrix", _HOW_TO_WRITE)
    unknown = sorted(set(tree) - {"camera_matrix", "distortion"})
    if unknown:
        raise DataError(f"{unknown[0]} is not a known key", _HOW_TO_WRITE)
    matrix, distortion = (_numbers(key, tree.get(key, [])) for key in ("camera_matrix", "distortion"))
    # Calibration tools write the coefficients as one row of a matrix.
    return Camera(matrix, tuple(float(value) for value in distortion.ravel()))


def _numbers(key: str, value: Any) -> Floats:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{key} = {value!r} does not hold numbers only", _HOW_TO_WRITE) from error
