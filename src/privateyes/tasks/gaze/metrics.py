"""How good predicted gazes are, and the words that go with angles and with points."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privateyes.tasks.gaze.angles import angular_error_deg
from privateyes.training.metric import Metric


def mean_angular_error_deg(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean angle between predicted and true gaze directions, the field's usual measure.

    Args:
        predicted: (N, 2) (pitch, yaw), radians, N >= 1.
        true: the same.

    Returns:
        Degrees, in [0, 180].
    """
    return float(np.mean(angular_error_deg(predicted, true)))


def mean_distance_cm(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean distance between predicted and true points of gaze, the measure of [GazeCapture].

    Args:
        predicted: (N, 2) (x, y) in the camera's plane, cm, N >= 1.
        true: the same.

    Returns:
        Centimetres, at least 0.
    """
    return float(np.mean(distance_cm(predicted, true)))


def distance_cm(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Distances between points (..., 2) in cm: (...) float64."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return np.asarray(np.hypot(difference[..., 0], difference[..., 1]), dtype=np.float64)


ANGULAR_ERROR: Final = Metric(
    key="deg",
    name="error",
    plural="errors",
    measure="angular error",
    sign="°",
    word="degrees",
    mean="mean gaze",
    of=mean_angular_error_deg,
)
DISTANCE: Final = Metric(
    key="cm",
    name="error",
    plural="errors",
    measure="distance",
    sign=" cm",
    word="cm",
    mean="mean point",
    of=mean_distance_cm,
)
_OF_LABELS: Final[Mapping[str, Metric]] = MappingProxyType({"gaze": ANGULAR_ERROR, "point": DISTANCE})
_COORDINATES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({"gaze": ("pitch", "yaw"), "point": ("x", "y")})


def metric_of_label(label: str) -> Metric:
    """How good answers of a label are, "gaze" or "point"; in memory, angles are in radians."""
    return _OF_LABELS[label]


def coordinates_of(label: str) -> tuple[str, str]:
    """The names of a label's two numbers."""
    return _COORDINATES[label]
