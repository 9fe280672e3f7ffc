"""A head's place and direction from six points of a face and a camera, the first step of [Normalisation].

Six points are few and lie nearly in one plane, whose pose often has two solutions that look almost alike. The search
therefore starts from several directions and keeps the solution that reproduces the points best.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from privateyes.errors import DataError
from privateyes.tasks.gaze.camera import Camera

Floats = NDArray[np.float64]

LANDMARKS: Final = (
    "outer corner of the right eye",
    "inner corner of the right eye",
    "inner corner of the left eye",
    "outer corner of the left eye",
    "right corner of the mouth",
    "left corner of the mouth",
)
"""What the rows of the face model and of all landmarks are. Right is the person's: the image's left."""

# The mean face of [MPIIGaze], mm: origin between the eyes, x to the person's left, y down, z to the back of the head.
_FACE_MODEL_MM: Final = (
    (-45.0968, -0.4838, 2.3970),
    (-21.3129, 0.4838, -2.3970),
    (21.3129, 0.4838, -2.3970),
    (45.0968, -0.4838, 2.3970),
    (-26.2996, 68.5950, 0.0),
    (26.2996, 68.5950, 0.0),
)
# From the outer corner of one eye to that of the other, people have 80 to 100 mm; models in metres or inches do not.
_FACE_WIDTH_MM: Final = (40.0, 200.0)
_SMALLEST_FACE_PX: Final = 4.0
# Landmarks that no head could show: off by a quarter of the distance between the eyes' outer corners.
_LARGEST_MISFIT: Final = 0.25
_START_ANGLES: Final = (-0.5, 0.0, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class HeadPose:
    """Where a head is.

    Attributes:
        rotation: (3, 3) from the face model's frame to the camera's.
        translation_mm: (3,) the model's origin in the camera's frame.
        misfit_px: root mean square distance between the landmarks and the model's points as the camera sees them.
    """

    rotation: Floats = field(repr=False)
    translation_mm: Floats = field(repr=False)
    misfit_px: float

    def place(self, points_mm: ArrayLike) -> Floats:
        """Points (..., 3) of the face model in the camera's frame, mm."""
        return np.asarray(points_mm, dtype=np.float64) @ self.rotation.T + self.translation_mm


def mean_face() -> Floats:
    """(6, 3) the mean face, mm; rows as in `LANDMARKS`."""
    return np.array(_FACE_MODEL_MM)


def eye_centres(pose: HeadPose, face_mm: Floats) -> tuple[Floats, Floats]:
    """Both eyes' centres, (3,) mm in the camera's frame: the right one, at the image's left, then the left one.

    A centre is the middle between the corners.
    """
    placed = pose.place(face_mm)
    return placed[:2].mean(axis=0), placed[2:4].mean(axis=0)


def face_centre(pose: HeadPose, face_mm: Floats) -> Floats:
    """(3,) the middle of all six points in the camera's frame, mm, as in MPIIFaceGaze."""
    centre: Floats = pose.place(face_mm).mean(axis=0)
    return centre


def estimate_head_pose(landmarks_px: ArrayLike, camera: Camera, face_mm: Floats | None = None) -> HeadPose:
    """Find the head's pose that reproduces the landmarks best, in the least squares of pixels.

    Args:
        landmarks_px: (6, 2) pixels (x, y) in the image as the camera took it; rows as in `LANDMARKS`.
        camera: intrinsics; distortion is taken into account.
        face_mm: (6, 3) the person's own face model, mm; the mean face by default.

    Raises:
        DataError: shapes or units are wrong, the landmarks lie on a line or within a few pixels, or no head in front
            of the camera shows such landmarks.
    """
    face = mean_face() if face_mm is None else np.asarray(face_mm, dtype=np.float64)
    _check_face(face)
    landmarks = np.asarray(landmarks_px, dtype=np.float64)
    _check_landmarks(landmarks)

    def misfit(pose: Floats) -> Floats:
        placed = face @ Rotation.from_rotvec(pose[:3]).as_matrix().T + pose[3:]
        # Behind the camera there is no image; the search is shown such points just in front of it.
        placed[:, 2] = np.maximum(placed[:, 2], 1.0)
        residuals: Floats = (camera.project(placed) - landmarks).ravel()
        return residuals

    found = [
        least_squares(misfit, start, method="lm", x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14)
        for start in _starts(landmarks, camera, face)
    ]
    in_front = [result for result in found if _all_in_front(result.x, face)]
    if not in_front:
        raise DataError("no head in front of the camera shows these landmarks", "check their order and the camera")
    best = min(in_front, key=lambda result: float(result.cost)).x
    error_px = float(np.sqrt(np.mean(np.sum(misfit(best).reshape(-1, 2) ** 2, axis=1))))
    size_px = float(np.linalg.norm(landmarks[0] - landmarks[3]))
    if error_px > _LARGEST_MISFIT * size_px:
        problem = f"the landmarks look like no face: the best head misses them by {error_px:.1f} pixels"
        raise DataError(problem, f"give them in this order: {', '.join(LANDMARKS)}")
    return HeadPose(Rotation.from_rotvec(best[:3]).as_matrix(), best[3:], error_px)


def _starts(landmarks: Floats, camera: Camera, face: Floats) -> list[Floats]:
    """Poses (6,) to start from: rolled as the mouth lies to the eyes, as far as the size says, turned and nodding."""
    slopes = camera.slopes(landmarks)  # near enough: distortion is for the search itself
    down = slopes[4:].mean(axis=0) - slopes[:4].mean(axis=0)
    roll = np.arctan2(-down[0], down[1])
    spread = np.sqrt(np.mean(np.sum((slopes - slopes.mean(axis=0)) ** 2, axis=1)))
    depth = np.sqrt(np.mean(np.sum((face - face.mean(axis=0)) ** 2, axis=1))) / spread
    centre = np.append(slopes.mean(axis=0), 1.0) * depth
    starts = []
    for nod, turn in itertools.product(_START_ANGLES, repeat=2):
        rotation = Rotation.from_euler("zyx", [roll, turn, nod])
        starts.append(np.concatenate([rotation.as_rotvec(), centre - rotation.apply(face.mean(axis=0))]))
    return starts


def _all_in_front(pose: Floats, face: Floats) -> bool:
    placed = face @ Rotation.from_rotvec(pose[:3]).as_matrix().T + pose[3:]
    facing = Rotation.from_rotvec(pose[:3]).as_matrix()[2, 2]
    return bool((placed[:, 2] > 1.0).all() and facing > 0)


def _check_face(face: Floats) -> None:
    if face.shape != (6, 3) or not np.isfinite(face).all():
        problem = f"the face model has the shape {face.shape}, or NaN"
        raise DataError(problem, "give six points (x, y, z) in mm, one row each")
    width = float(np.linalg.norm(face[0] - face[3]))
    if not _FACE_WIDTH_MM[0] <= width <= _FACE_WIDTH_MM[1]:
        problem = f"the face model's eyes are {width:g} apart from outer corner to outer corner"
        raise DataError(problem, "give it in mm, with the points as rows")


def _check_landmarks(landmarks: Floats) -> None:
    if landmarks.shape != (6, 2):
        remedy = f"give six points (x, y) in pixels: {', '.join(LANDMARKS)}"
        raise DataError(f"the landmarks have the shape {landmarks.shape} and not (6, 2)", remedy)
    if not np.isfinite(landmarks).all():
        raise DataError("the landmarks hold NaN or infinity", "leave this image out")
    # The two axes of the cloud of points: its length and its width.
    length, width = np.linalg.svd(landmarks - landmarks.mean(axis=0), compute_uv=False)
    if length < _SMALLEST_FACE_PX:
        problem = f"the landmarks lie within {length:.2g} pixels"
        raise DataError(problem, "give pixels and not shares of the image, and a face that is large enough")
    if width < 0.05 * length:
        raise DataError("the landmarks lie on a line, from which no head pose follows", "leave this image out")
