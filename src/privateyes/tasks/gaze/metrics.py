"""How good predicted gazes are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from privateyes.tasks.gaze.angles import angular_error_deg


def mean_angular_error_deg(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean angle between predicted and true gaze directions, the field's usual measure.

    Args:
        predicted: (N, 2) (pitch, yaw), radians, N >= 1.
        true: the same.

    Returns:
        Degrees, in [0, 180].
    """
    return float(np.mean(angular_error_deg(predicted, true)))
