"""Rotations between the camera, the head and the eye, and the step from the visual to the optical axis.

Angles are (pitch, yaw) in radians with the conventions of ``privateyes.tasks.gaze.angles``: a direction is
(-cos p sin y, -sin p, -cos p cos y), so pitch > 0 looks up and yaw > 0 toward the image's left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.angles import angles_from_vectors, vectors_from_angles

Floats = NDArray[np.float64]


def head_rotation(pose: Floats, roll: Floats | None = None) -> Floats:
    """The rotation from the head frame to the camera frame.

    Args:
        pose: (N, 2) head (pitch, yaw), radians.
        roll: (N,) turn about the facing direction, radians; it leaves the facing direction, and so the label, alone.

    Returns:
        (N, 3, 3) float64. ``head_rotation(pose) @ (0, 0, -1)`` is the facing direction of ``pose``.
    """
    pitch, yaw = pose[:, 0], pose[:, 1]
    cos_p, sin_p, cos_y, sin_y = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    zero, one = np.zeros_like(pitch), np.ones_like(pitch)
    about_x = np.stack([one, zero, zero, zero, cos_p, sin_p, zero, -sin_p, cos_p], axis=-1).reshape(-1, 3, 3)
    about_y = np.stack([cos_y, zero, sin_y, zero, one, zero, -sin_y, zero, cos_y], axis=-1).reshape(-1, 3, 3)
    rotation: Floats = about_y @ about_x
    if roll is None:
        return rotation
    cos_r, sin_r = np.cos(roll), np.sin(roll)
    about_z = np.stack([cos_r, -sin_r, zero, sin_r, cos_r, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)
    rolled: Floats = rotation @ about_z
    return rolled


def rotate(rotation: Floats, vectors: Floats) -> Floats:
    """Rotate (N, 3) vectors by (N, 3, 3) rotations."""
    rotated: Floats = np.einsum("nij,nj->ni", rotation, vectors)
    return rotated


def eye_in_head_angles(gaze: Floats, rotation: Floats) -> Floats:
    """The visual axis in the head frame: (N, 2) angles from (N, 2) gaze in the camera frame and (N, 3, 3) rotations."""
    return np.asarray(angles_from_vectors(rotate(rotation.transpose(0, 2, 1), vectors_from_angles(gaze))))


def optical_axis(gaze: Floats, rotation: Floats, kappa: Floats) -> Floats:
    """The direction of the drawn eyeball for a labelled gaze.

    Args:
        gaze: (N, 2) labelled visual axis in the camera frame, radians.
        rotation: (N, 3, 3) head to camera.
        kappa: (2,) or (N, 2), visual minus optical axis in the head frame, (pitch, yaw), radians.

    Returns:
        (N, 3) float64 unit vectors in the camera frame.
    """
    return rotate(rotation, vectors_from_angles(eye_in_head_angles(gaze, rotation) - kappa))
