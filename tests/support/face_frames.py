"""Camera frames of a face of known geometry: two drawn eyes that look at a known point, and where the landmarks are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from privateyes.tasks.gaze.camera import Camera
from privateyes.tasks.gaze.head_pose import HeadPose, eye_centres, mean_face
from privateyes.tasks.gaze.normalisation import VIRTUAL_CAMERAS, LabelConvention, VirtualCamera, normalise
from privateyes.tasks.gaze.predict.estimator import ModelFacts
from privateyes.tasks.gaze.preprocess import Pictures

SIZE = (960, 1280)
CAMERA = Camera(np.array([[1200.0, 0, 645], [0, 1204.0, 476], [0, 0, 1]]), (-0.05, 0.02, 0.001, -0.001, 0.0))
_EYE = VIRTUAL_CAMERAS["eye"]
# The drawn iris moves by that many pixels of a 36x60 view for a unit gaze vector.
REACH = 20.0
# Views are that much finer than 36x60, so that half a pixel is no more than 0.4 degrees.
FINE = 4
VIEW_SHAPE = (36 * FINE, 60 * FINE)
VIEW = VirtualCamera(_EYE.focal_px * FINE, _EYE.distance_mm, VIEW_SHAPE[1], VIEW_SHAPE[0])


@dataclass(frozen=True)
class FaceFrame:
    """A frame (960, 1280, 3) uint8, its landmarks (6, 2), the head, and where both eyes look, mm."""

    frame: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    head: HeadPose
    target_mm: NDArray[np.float64]


def face_frame(
    turn_deg: tuple[float, float, float] = (8.0, -12.0, 5.0),
    place_mm: tuple[float, float, float] = (20.0, -10.0, 450.0),
    target_mm: tuple[float, float, float] = (-80.0, 60.0, 0.0),
) -> FaceFrame:
    """Draw a face whose head is rolled, turned and nodding, at a place, looking at a target."""
    rotation = Rotation.from_euler("zyx", turn_deg, degrees=True).as_matrix()
    head = HeadPose(rotation, np.array(place_mm), 0.0)
    target = np.array(target_mm)
    grey = np.full(SIZE, 150.0)
    for centre in eye_centres(head, mean_face()):
        _draw_eye(grey, head, centre, target)
    frame = np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)
    return FaceFrame(frame, CAMERA.project(head.place(mean_face())), head, target)


def _draw_eye(grey: NDArray[np.float64], head: HeadPose, centre: NDArray[np.float64], target: Any) -> None:
    """Paint the frame with what its virtual camera shall see: a white ellipse and a dark iris where the gaze says."""
    plain = Camera(CAMERA.matrix)
    normalisation = normalise(plain, head.rotation, centre, VIEW)
    pitch, yaw = normalisation.gaze_towards(target, LabelConvention.ROTATION_ONLY)
    rows, columns = np.mgrid[: VIEW_SHAPE[0], : VIEW_SHAPE[1]].astype(np.float64)
    x, y = columns / FINE - _EYE.width_px / 2, rows / FINE - _EYE.height_px / 2
    view = np.where(np.hypot(x / 28, y / 16) < 1, 230.0, 150.0)
    iris_x, iris_y = -REACH * np.cos(pitch) * np.sin(yaw), -REACH * np.sin(pitch)
    view = np.where(np.hypot(x - iris_x, y - iris_y) < 5, 20.0, view)
    # Where each pixel around the eye lies in the view; few steps undo the small distortion.
    middle, reach = CAMERA.project(centre), 40 * CAMERA.matrix[0, 0] / centre[2]
    left, top = np.maximum(middle - reach, 0).astype(int)
    right, bottom = np.minimum(middle + reach, [SIZE[1], SIZE[0]]).astype(int)
    if right <= left or bottom <= top:
        return
    pixels = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1).astype(np.float64)
    ideal = pixels.copy()
    for _ in range(20):
        ideal += pixels - CAMERA.distort(ideal)
    seen = np.concatenate([ideal, np.ones((*ideal.shape[:2], 1))], axis=-1) @ normalisation.warp.T
    places = seen[..., :2] / seen[..., 2:]
    inside = (places >= 0).all(-1) & (places <= [VIEW_SHAPE[1] - 1, VIEW_SHAPE[0] - 1]).all(-1)
    painted = map_coordinates(view, places[..., ::-1].reshape(-1, 2).T, order=1, mode="nearest")
    window = grey[top:bottom, left:right]
    window[inside] = painted.reshape(inside.shape)[inside]


class IrisEstimator:
    """An `Estimator` that measures where the dark iris of a drawn eye is. It needs no head pose, but takes it."""

    def __init__(self, inputs: tuple[str, ...] = ("image", "pose"), dataset: str | None = None) -> None:
        self.facts = ModelFacts("iris", inputs, VIEW_SHAPE, None, "gaze", Pictures(), dataset, "a drawn iris")
        self.seen: list[Mapping[str, NDArray[Any]]] = []

    def estimate(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        self.seen.append(columns)
        dark = np.maximum(120.0 - columns["image"].astype(np.float64), 0.0)
        height, width = VIEW_SHAPE
        rows, across = np.mgrid[:height, :width]
        total = dark.sum((1, 2))
        # A virtual camera's axis meets the image half a pixel beside its middle, and mirrored on the other side of it.
        x = ((dark * across).sum((1, 2)) / total - (width - 1) / 2) / FINE
        y = ((dark * rows).sum((1, 2)) / total - height / 2) / FINE
        pitch = np.arcsin(np.clip(-y / REACH, -1, 1))
        yaw = np.arcsin(np.clip(-x / REACH / np.cos(pitch), -1, 1))
        return np.stack([pitch, yaw], axis=1).astype(np.float32)


class FixedLandmarker:
    """A `Landmarker` that knows the answers: frame bytes -> landmarks, None for any other frame."""

    def __init__(self, *frames: FaceFrame) -> None:
        self._known = {frame.frame.tobytes(): frame.landmarks for frame in frames}

    def landmarks(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        return self._known.get(frame.tobytes())
