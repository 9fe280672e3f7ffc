"""Faces in camera frames: six landmarks each, found by whoever implements `Landmarker`.

`MediaPipeLandmarker` is a thin adapter to MediaPipe's face landmarker. Neither MediaPipe (an optional extra) nor its
model file (Google's, under its own licence) is part of this project, and nothing is downloaded.

MediaPipe 1.2's compiled library holds a usage logger that names a Google host. Whether it sends anything was
not looked into; where that matters, run it without a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError, UsageError

# Of the 478 points of MediaPipe's face mesh, those that are called so in `head_pose.LANDMARKS`.
MESH_POINTS: Final = (33, 133, 362, 263, 61, 291)
MODEL_PAGE: Final = "https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker#models"
HOW_TO_GET: Final = f"get face_landmarker.task from {MODEL_PAGE} and name it with --face-landmarker"


class Landmarker(Protocol):
    """Finds a face."""

    def landmarks(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """The landmarks (6, 2) of the clearest face, pixels (x, y), as in `head_pose.LANDMARKS`; None without a face.

        Args:
            frame: (H, W, 3) uint8 RGB.
        """
        ...


class MediaPipeLandmarker:
    """`Landmarker` by MediaPipe.

    Args:
        model: the file face_landmarker.task.

    Raises:
        DataError: the file is not there, or MediaPipe cannot use it.
        UsageError: MediaPipe is not installed.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise DataError(f"{model}: there is no such model file", HOW_TO_GET)
        self._mediapipe, tasks = _import_mediapipe()
        try:
            options = tasks.vision.FaceLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_path=str(model)), num_faces=1
            )
            self._landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
        except (ValueError, RuntimeError, OSError) as error:
            problem = f"{model} is no model that MediaPipe's face landmarker can use ({_first_line(error)})"
            raise DataError(problem, HOW_TO_GET) from error

    def landmarks(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """See `Landmarker`."""
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        faces = self._landmarker.detect(image).face_landmarks
        if not faces:
            return None
        shares = np.array([(faces[0][index].x, faces[0][index].y) for index in MESH_POINTS], dtype=np.float64)
        height, width = frame.shape[:2]
        # Shares of the picture's width and height, from its edge; pixels count from the middle of the first one.
        pixels: NDArray[np.float64] = shares * (width, height) - 0.5
        return pixels


def _import_mediapipe() -> tuple[Any, Any]:
    try:
        import mediapipe
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision  # noqa: F401 (makes tasks.vision)
    except ImportError as error:
        remedy = "install it with `pip install 'privateyes[camera]'`, or give normalised eye images"
        raise UsageError(f"camera frames need MediaPipe, which cannot be imported ({error})", remedy) from error
    return mediapipe, tasks


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
