"""Arrows and pictures of the sample eyes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from privateyes.experiments.report.files import read_samples
from privateyes.experiments.report.schema import Samples
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE
from privateyes.tasks.gaze.page import eyes


def decoded(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        return np.asarray(picture)


def samples(people: list[str], predicted: np.ndarray | None = None) -> Samples:
    true = np.zeros((len(people), 2))
    images = np.full((len(people), 36, 60), 90, dtype=np.uint8)
    return Samples(images, tuple(people), true, {"private": true if predicted is None else predicted})


@pytest.mark.parametrize(
    ("pitch", "yaw", "expected"),
    [(0.0, 0.0, (0, 0)), (0.3, 0.0, (0, -1)), (-0.3, 0.0, (0, 1)), (0.0, 0.3, (-1, 0)), (0.0, -0.3, (1, 0))],
)
def test_an_arrow_points_up_for_positive_pitch_and_left_for_positive_yaw(
    pitch: float, yaw: float, expected: tuple[int, int]
) -> None:
    dx, dy = eyes.arrow(np.array([pitch, yaw]))
    assert (round(dx / math.sin(0.3)), round(dy / math.sin(0.3))) == expected


def test_a_picture_survives_being_written_as_png() -> None:
    image = np.random.default_rng(3).integers(0, 256, (36, 60), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(eyes.png_bytes(image)), image)


def test_a_large_picture_is_averaged_down_and_a_small_one_left_alone() -> None:
    large = np.repeat(np.repeat(np.arange(100, dtype=np.uint8).reshape(10, 10), 45, axis=0), 45, axis=1)
    assert max(eyes.shrink(large, 160).shape) <= 160
    small = np.zeros((36, 60), dtype=np.uint8)
    assert eyes.shrink(small, 160) is small


def test_the_longest_arrow_stays_inside_its_picture() -> None:
    gazes = np.deg2rad([[20.0, 5.0], [-3.0, 24.0]])
    length = eyes.arrow_length(gazes, (36, 60))
    assert all(abs(length * eyes.arrow(gaze)[0]) <= 150 and abs(length * eyes.arrow(gaze)[1]) <= 90 for gaze in gazes)


def test_gazes_straight_ahead_do_not_make_arrows_of_endless_length() -> None:
    assert math.isfinite(eyes.arrow_length(np.zeros((3, 2)), (36, 60)))


def test_eyes_are_taken_in_turn_for_each_person_and_shown_by_person() -> None:
    people = ["a"] * 20 + ["b"] * 2 + ["c"] * 20
    assert [eye.person for eye in eyes.sample_eyes(samples(people), ANGULAR_ERROR)] == ["a"] * 5 + ["b"] * 2 + ["c"] * 5


def test_the_error_under_an_eye_is_the_angle_between_prediction_and_truth() -> None:
    (eye,) = eyes.sample_eyes(samples(["a"], np.deg2rad([[0.0, 7.5]])), ANGULAR_ERROR)
    assert [(method.key, error) for method, error in eye.errors] == [("private", "7.5°")]


def test_a_point_of_gaze_has_no_arrow_and_its_error_is_a_distance() -> None:
    shown = samples(["a"], np.array([[3.0, 4.0]]))
    (eye,) = eyes.sample_eyes(shown, DISTANCE)
    assert [(method.key, error) for method, error in eye.errors] == [("private", "5.0 cm")]
    assert "looking at the point (0.0, 0.0) cm" in eye.drawing
    assert "shaft" not in eye.drawing
    assert "tip" not in eye.drawing
    assert eyes.legend(shown, DISTANCE) == []
    (angle,) = eyes.sample_eyes(samples(["a"], np.deg2rad([[3.0, 4.0]])), ANGULAR_ERROR)
    assert "tip" in angle.drawing


def test_a_drawing_tells_direction_and_errors_in_words(run_maker: Callable[..., Path]) -> None:
    first = eyes.sample_eyes(read_samples(run_maker() / "samples.npz"), ANGULAR_ERROR)[0]
    assert 'role="img"' in first.drawing
    assert "Picture of r07, looking" in first.drawing
    assert "Errors: centralised" in first.drawing


def test_a_name_from_the_file_is_escaped_in_the_drawing() -> None:
    (eye,) = eyes.sample_eyes(samples(["<script>alert(1)</script>"]), ANGULAR_ERROR)
    assert "<script>" not in eye.drawing
