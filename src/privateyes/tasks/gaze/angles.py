"""Gaze angles and gaze vectors: conversions, and the angle between two gazes.

The frame is the normalised camera's: x right, y down, z away from the camera. A person who looks into the camera looks
along (0, 0, -1). Pitch is positive upwards, yaw is positive towards the image's left. Conventions: [MPIIGaze],
[Normalisation].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def vectors_from_angles(pitch_yaw: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors g = (-cos p sin y, -sin p, -cos p cos y).

    Args:
        pitch_yaw: (..., 2) angles (p, y) = (pitch, yaw), radians.

    Returns:
        (..., 3) unit vectors, float64.
    """
    angles = np.asarray(pitch_yaw, dtype=np.float64)
    pitch, yaw = angles[..., 0], angles[..., 1]
    cos_pitch = np.cos(pitch)
    return np.stack([-cos_pitch * np.sin(yaw), -np.sin(pitch), -cos_pitch * np.cos(yaw)], axis=-1)


def angles_from_vectors(vectors: ArrayLike) -> NDArray[np.float64]:
    """Angles of gaze vectors: the inverse of `vectors_from_angles` for |pitch| <= pi/2 and |yaw| <= pi.

    The published formula is pitch = asin(-g_y) for unit vectors. Near the poles asin loses half of the digits and is
    undefined for a component that rounding left just outside [-1, 1]; atan2 has neither fault and needs no unit length.

    Args:
        vectors: (..., 3) vectors of any length above 0.

    Returns:
        (..., 2) (pitch, yaw), radians, float64. Pitch is in [-pi/2, pi/2], yaw in [-pi, pi].
    """
    gaze = np.asarray(vectors, dtype=np.float64)
    x, y, z = gaze[..., 0], gaze[..., 1], gaze[..., 2]
    return np.stack([np.arctan2(-y, np.hypot(x, z)), np.arctan2(-x, -z)], axis=-1)


def angular_error_deg(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Angle between two gaze directions.

    It is atan2(|a x b|, a . b). The common acos(a . b) is NaN where rounding makes the product of identical gazes
    exceed 1, and it cannot tell angles below about 1e-6 degrees apart.

    Args:
        first: (..., 2) (pitch, yaw), radians.
        second: the same, of a shape that broadcasts with `first`.

    Returns:
        (...) angles in degrees, in [0, 180], float64; exactly 0 for identical gazes, never NaN for finite ones.
    """
    a, b = vectors_from_angles(first), vectors_from_angles(second)
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    cosine = np.sum(a * b, axis=-1)
    return np.asarray(np.rad2deg(np.arctan2(sine, cosine)), dtype=np.float64)
