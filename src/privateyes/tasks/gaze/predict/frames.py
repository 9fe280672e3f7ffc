"""Camera frames: from a frame to what an estimator takes, and from what it says back to the camera.

Landmarks give the head's pose; for each eye (or for the face) a virtual camera that looks straight at it sees the view
that estimators are trained on [Normalisation]. The estimated gaze is then turned back into the camera's frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.camera import Camera
from privateyes.tasks.gaze.head_pose import HeadPose, estimate_head_pose, eye_centres, face_centre, mean_face
from privateyes.tasks.gaze.normalisation import (
    VIRTUAL_CAMERAS,
    LabelConvention,
    Normalisation,
    VirtualCamera,
    normalise,
)

Floats = NDArray[np.float64]
Part = Literal["right", "left", "face"]

_EYE: Final = VIRTUAL_CAMERAS["eye"]
# Smaller images of the same proportions are crops of such a view, not the view made smaller.
_SMALLEST_EYE: Final = (18, 30)
_EYE_PROPORTION: Final = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a virtual camera sees of one eye, or of the face.

    Attributes:
        part: which eye it is (the person's own right or left), or the face.
        picture: (h, w[, 3]) uint8, mirrored if it shows a right eye.
        pose: head (pitch, yaw), radians, mirrored if `picture` is.
        normalisation: from the camera to the virtual one.
    """

    part: Part
    picture: NDArray[np.uint8] = field(repr=False)
    pose: tuple[float, float]
    normalisation: Normalisation

    def gaze_in_camera(self, pitch_yaw: NDArray[np.floating], convention: LabelConvention) -> Floats:
        """A unit vector (3,) in the camera's frame, from the estimator's (pitch, yaw) in radians for `picture`."""
        return self.normalisation.gaze_in_camera(self.unmirrored(pitch_yaw), convention)

    def unmirrored(self, pitch_yaw: ArrayLike) -> Floats:
        """(pitch, yaw) of `picture` as those of what the virtual camera saw."""
        mirror = np.array([1.0, -1.0 if self.part == "right" else 1.0])
        unmirrored: Floats = np.asarray(pitch_yaw, dtype=np.float64) * mirror
        return unmirrored


def choose_virtual_camera(image_shape: tuple[int, ...], text: str | None, dataset: str | None = None) -> VirtualCamera:
    """The virtual camera for an estimator that takes such images.

    Args:
        image_shape: (height, width[, 3]).
        text: a name in `VIRTUAL_CAMERAS`, or ``FOCAL_PX,DISTANCE_MM``; None to conclude it from the shape: eyes of
            3 to 5, scaled as MPIIGaze's 36x60, or square faces of 224 or 448 pixels.
        dataset: what the estimator learned from, where that is known.

    Raises:
        ConfigError: nothing can be concluded, or the text fits neither form, or not the shape.
    """
    height, width = image_shape[:2]
    remedy = f"say --virtual-camera with one of {', '.join(VIRTUAL_CAMERAS)}, or FOCAL_PX,DISTANCE_MM"
    if text is None:
        if height >= _SMALLEST_EYE[0] and abs(height / width - _EYE_PROPORTION) < 0.01:
            return VirtualCamera(_EYE.focal_px * width / _EYE.width_px, _EYE.distance_mm, width, height)
        for name in ("eth-xgaze",) if dataset == "eth-xgaze" else ("face", "face-448"):
            known = VIRTUAL_CAMERAS[name]
            if (known.height_px, known.width_px) == (height, width):
                return known
        raise ConfigError(f"no virtual camera is known for {height}x{width} images", remedy)
    if text in VIRTUAL_CAMERAS:
        known = VIRTUAL_CAMERAS[text]
        if (known.height_px, known.width_px) != (height, width):
            problem = f"--virtual-camera {text} gives {known.height_px}x{known.width_px} images"
            raise ConfigError(problem, f"the model takes {height}x{width}: {remedy}")
        return known
    try:
        focal, distance = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--virtual-camera {text}", remedy) from error
    if not (20 <= focal <= 1e5 and 100 <= distance <= 1e5):
        raise ConfigError(f"--virtual-camera {text}", f"{remedy}, such as 960,600")
    return VirtualCamera(focal, distance, width, height)


def shows_face(virtual: VirtualCamera) -> bool:
    """Whether a view is of the whole face: those are about square, and views of eyes are wider than high."""
    return virtual.height_px > 0.8 * virtual.width_px


def find_views(
    frame: NDArray[np.uint8], landmarks_px: NDArray[np.float64], camera: Camera, virtual: VirtualCamera
) -> tuple[HeadPose, list[View]]:
    """The head's pose, and the views that an estimator is to be shown.

    Args:
        frame: (H, W) or (H, W, 3) uint8.
        landmarks_px: (6, 2), see `head_pose.LANDMARKS`.
        camera: took the frame.
        virtual: see `choose_virtual_camera`.

    Raises:
        DataError: the landmarks show no head, or a view lies outside the frame.
    """
    face = mean_face()
    head = estimate_head_pose(landmarks_px, camera, face)
    if shows_face(virtual):
        return head, [_view("face", frame, head, face_centre(head, face), camera, virtual)]
    right, left = eye_centres(head, face)
    return head, [
        _view("right", frame, head, right, camera, virtual),
        _view("left", frame, head, left, camera, virtual),
    ]


def _view(
    part: Part, frame: NDArray[np.uint8], head: HeadPose, centre: Floats, camera: Camera, virtual: VirtualCamera
) -> View:
    normalisation = normalise(camera, head.rotation, centre, virtual)
    picture = normalisation.warp_image(frame)
    pitch, yaw = normalisation.head_angles(head.rotation)
    if part == "right":  # estimators know left eyes, and right ones that look like them
        return View(part, np.ascontiguousarray(picture[:, ::-1]), (float(pitch), -float(yaw)), normalisation)
    return View(part, picture, (float(pitch), float(yaw)), normalisation)
