from __future__ import annotations

import numpy as np
import pytest

from privateyes.tasks.gaze.metrics import mean_angular_error_deg


def test_perfect_predictions_have_no_error() -> None:
    gaze = np.random.default_rng(0).normal(0, 0.2, (50, 2)).astype(np.float32)
    assert mean_angular_error_deg(gaze, gaze) == 0.0


def test_mean_is_taken_over_angles_on_the_sphere() -> None:
    true = np.zeros((2, 2))
    predicted = np.deg2rad([[10.0, 0.0], [0.0, -20.0]])
    assert mean_angular_error_deg(predicted, true) == pytest.approx(15.0)
