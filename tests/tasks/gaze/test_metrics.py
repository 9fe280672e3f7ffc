from __future__ import annotations

import numpy as np
import pytest

from privateyes.tasks.gaze.metrics import distance_cm, mean_angular_error_deg, mean_distance_cm


def test_perfect_predictions_have_no_error() -> None:
    gaze = np.random.default_rng(0).normal(0, 0.2, (50, 2)).astype(np.float32)
    assert mean_angular_error_deg(gaze, gaze) == 0.0


def test_mean_is_taken_over_angles_on_the_sphere() -> None:
    true = np.zeros((2, 2))
    predicted = np.deg2rad([[10.0, 0.0], [0.0, -20.0]])
    assert mean_angular_error_deg(predicted, true) == pytest.approx(15.0)


def test_points_are_judged_by_their_mean_distance() -> None:
    true = np.array([[1.0, 1.0], [0.0, 0.0]], dtype=np.float32)
    predicted = np.array([[4.0, 5.0], [0.0, -1.0]], dtype=np.float32)
    assert distance_cm(predicted, true).tolist() == [5.0, 1.0]
    assert mean_distance_cm(predicted, true) == 3.0
    assert mean_distance_cm(true, true) == 0.0
