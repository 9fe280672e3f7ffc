from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from privateyes.errors import DataError
from privateyes.tasks.gaze.camera import Camera
from privateyes.tasks.gaze.head_pose import (
    LANDMARKS,
    HeadPose,
    estimate_head_pose,
    eye_centres,
    face_centre,
    mean_face,
)

CAMERA = Camera(np.array([[950.0, 0, 640], [0, 955.0, 360], [0, 0, 1]]), (-0.1, 0.2, 0.001, -0.002, -0.1))
GOLDEN_CAMERA = Camera(
    np.array([[994.73532636, 0, 624.66344095], [0, 998.16646784, 364.08742557], [0, 0, 1]]),
    (-0.16321888, 0.66783406, -0.00121854, -0.00303158, -1.02159927),
)
FRONTAL = CAMERA.project(mean_face() + np.array([0.0, 0.0, 600.0]))


@pytest.fixture
def golden(data_folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((data_folder / "mpiigaze/normalization_golden.json").read_text())
    return content


angles = st.floats(-35, 35)


@given(angles, angles, angles, st.floats(-150, 150), st.floats(-100, 100), st.floats(350, 900))
@settings(max_examples=40)
def test_a_head_is_found_where_it_is(roll: float, turn: float, nod: float, x: float, y: float, distance: float) -> None:
    rotation = Rotation.from_euler("zyx", [roll, turn, nod], degrees=True).as_matrix()
    place = np.array([x, y, distance])
    pose = estimate_head_pose(CAMERA.project(mean_face() @ rotation.T + place), CAMERA)
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-5)
    np.testing.assert_allclose(pose.translation_mm, place, rtol=1e-5, atol=1e-2)
    assert pose.misfit_px < 1e-5


def test_landmarks_that_are_a_pixel_off_move_the_head_a_little() -> None:
    noise = np.random.default_rng(1).normal(0, 0.5, (6, 2))
    pose = estimate_head_pose(FRONTAL + noise, CAMERA)
    assert 0.05 < pose.misfit_px < 1.0
    np.testing.assert_allclose(pose.translation_mm, [0, 0, 600], atol=30)
    assert np.degrees(Rotation.from_matrix(pose.rotation).magnitude()) < 15


def test_ignoring_the_distortion_would_move_the_head() -> None:
    """The twin of the first test: distortion is really taken into account."""
    plain = Camera(CAMERA.matrix)
    corner = mean_face() + np.array([200.0, 150.0, 600.0])
    right, wrong = (estimate_head_pose(CAMERA.project(corner), camera) for camera in (CAMERA, plain))
    np.testing.assert_allclose(right.translation_mm, [200, 150, 600], rtol=1e-5)
    assert np.abs(wrong.translation_mm - [200, 150, 600]).max() > 3


def test_the_persons_own_face_model_may_be_given() -> None:
    narrow = mean_face() * [0.9, 1.0, 1.0]
    seen = CAMERA.project(narrow + np.array([10.0, 20.0, 500.0]))
    np.testing.assert_allclose(estimate_head_pose(seen, CAMERA, narrow).translation_mm, [10, 20, 500], rtol=1e-4)
    assert estimate_head_pose(seen, CAMERA).misfit_px > 0.5


def test_centres_are_the_middles_of_their_corners() -> None:
    pose = HeadPose(np.eye(3), np.array([0.0, 0.0, 500.0]), 0.0)
    right, left = eye_centres(pose, mean_face())
    np.testing.assert_allclose(right, [-33.20485, 0.0, 500.0])
    np.testing.assert_allclose(left, [33.20485, 0.0, 500.0])
    np.testing.assert_allclose(face_centre(pose, mean_face()), [0, 68.595 / 3, 500.0], atol=1e-3)


def test_the_right_eye_is_at_the_images_left() -> None:
    assert LANDMARKS[0].endswith("right eye")
    assert FRONTAL[0, 0] < FRONTAL[3, 0]


@pytest.mark.realdata
def test_the_published_example_is_reproduced(golden: dict[str, Any]) -> None:
    """To the accuracy of the published solution, which stopped within 1e-4 rad and 1e-2 mm of its minimum."""
    pose = estimate_head_pose(golden["landmarks"], GOLDEN_CAMERA)
    np.testing.assert_allclose(Rotation.from_matrix(pose.rotation).as_rotvec(), golden["rvec"], atol=1e-4)
    np.testing.assert_allclose(pose.translation_mm, golden["tvec_mm"], atol=1e-2)
    for centre, eye in zip(eye_centres(pose, mean_face()), golden["eyes"], strict=True):
        np.testing.assert_allclose(centre, eye["centre_mm"], atol=1e-2)


@pytest.mark.realdata
def test_no_solution_is_better_than_the_one_found(golden: dict[str, Any]) -> None:
    theirs = HeadPose(Rotation.from_rotvec(golden["rvec"]).as_matrix(), np.array(golden["tvec_mm"]), 0.0)
    misses = GOLDEN_CAMERA.project(theirs.place(mean_face())) - golden["landmarks"]
    published = float(np.sqrt(np.mean(np.sum(misses**2, axis=1))))
    found = estimate_head_pose(golden["landmarks"], GOLDEN_CAMERA).misfit_px
    assert found <= published
    assert found == pytest.approx(published, rel=1e-6)


BAD_LANDMARKS = {
    "five points": (FRONTAL[:5], r"the shape \(5, 2\)"),
    "three coordinates": (np.zeros((6, 3)), r"the shape \(6, 3\)"),
    "NaN": (np.where(np.eye(6, 2, dtype=bool), np.nan, FRONTAL), "NaN or infinity"),
    "shares of the image": (FRONTAL / [1280, 720], "pixels and not shares"),
    "one place": (np.full((6, 2), 300.0), "lie within 0 pixels"),
    "a line": (np.stack([np.arange(6) * 40.0, np.arange(6) * 20.0 + 100], axis=1), "on a line"),
    "mouth first": (FRONTAL[[4, 5, 0, 1, 2, 3]], "the landmarks look like no face|no head in front"),
    "eyes crossed": (FRONTAL[[2, 3, 0, 1, 5, 4]], "the landmarks look like no face|no head in front"),
    "mirrored order": (FRONTAL[[3, 2, 1, 0, 5, 4]], "the landmarks look like no face|no head in front"),
}


@pytest.mark.parametrize("case", BAD_LANDMARKS)
def test_landmarks_that_show_no_head_are_refused(case: str) -> None:
    landmarks, message = BAD_LANDMARKS[case]
    with pytest.raises(DataError, match=message):
        estimate_head_pose(landmarks, CAMERA)


@pytest.mark.parametrize("unit", [0.001, 0.1, 10.0], ids=["metres", "centimetres", "tenths of a mm"])
def test_a_face_model_in_other_units_is_refused(unit: float) -> None:
    with pytest.raises(DataError, match="from outer corner to outer corner; give it in mm"):
        estimate_head_pose(FRONTAL, CAMERA, mean_face() * unit)


def test_a_face_model_whose_points_are_columns_is_refused() -> None:
    with pytest.raises(DataError, match=r"the face model has the shape \(3, 6\)"):
        estimate_head_pose(FRONTAL, CAMERA, mean_face().T)
