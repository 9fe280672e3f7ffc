from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import privateyes
from privateyes.experiments.tasks import metric_of
from privateyes.tasks.gaze.metrics import (
    coordinates_of,
    distance_cm,
    mean_angular_error_deg,
    mean_distance_cm,
    metric_of_label,
)


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


@pytest.mark.parametrize(("key", "written"), [("deg", "4.57°"), ("cm", "4.57 cm")])
def test_a_number_is_written_with_its_unit(key: str, written: str) -> None:
    assert metric_of({"unit": key}).written(4.5678) == written
    assert metric_of({"unit": metric_of({"unit": key}).key}).written(4.5678, 3).startswith("4.568")


def test_records_of_earlier_versions_are_in_degrees() -> None:
    assert metric_of({"mean_error": 1.0}).key == "deg"


@pytest.mark.parametrize(
    ("label", "key", "coordinates"), [("gaze", "deg", ("pitch", "yaw")), ("point", "cm", ("x", "y"))]
)
def test_a_label_has_a_unit_and_names_for_its_two_numbers(label: str, key: str, coordinates: tuple[str, str]) -> None:
    assert (metric_of_label(label).key, coordinates_of(label)) == (key, coordinates)


def test_the_signs_are_written_down_in_one_place_only() -> None:
    package = Path(privateyes.__file__).parent
    sources = [path for ending in ("py", "j2") for path in package.rglob(f"*.{ending}")]
    copies = [path.name for path in sources if any(sign in path.read_text() for sign in ('"°"', '" cm"'))]
    assert copies == ["metrics.py"]
