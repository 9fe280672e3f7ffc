from __future__ import annotations

import numpy as np

from privateyes.tasks.gaze.angles import angular_error_deg, vectors_from_angles
from privateyes.tasks.gaze.synthetic.axes import eye_in_head_angles, head_rotation, optical_axis, rotate

RNG = np.random.default_rng
FORWARD = np.array([0.0, 0.0, -1.0])


def random_angles(seed: int, count: int = 50) -> np.ndarray:
    return RNG(seed).uniform(-0.5, 0.5, (count, 2))


def test_a_rotated_head_faces_where_its_pose_says() -> None:
    pose = random_angles(0)
    facing = rotate(head_rotation(pose), np.tile(FORWARD, (50, 1)))
    np.testing.assert_allclose(facing, vectors_from_angles(pose), atol=1e-12)


def test_roll_turns_the_head_but_not_where_it_faces() -> None:
    pose, roll = random_angles(1), RNG(2).uniform(-0.3, 0.3, 50)
    facing = rotate(head_rotation(pose, roll), np.tile(FORWARD, (50, 1)))
    np.testing.assert_allclose(facing, vectors_from_angles(pose), atol=1e-12)
    assert not np.allclose(head_rotation(pose, roll), head_rotation(pose))


def test_head_rotations_are_proper_rotations() -> None:
    rotation = head_rotation(random_angles(3), RNG(4).uniform(-0.3, 0.3, 50))
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)


def test_an_eye_that_looks_along_the_face_has_the_gaze_of_the_head() -> None:
    pose = random_angles(5)
    np.testing.assert_allclose(eye_in_head_angles(pose, head_rotation(pose)), 0.0, atol=1e-12)


def test_without_kappa_the_optical_axis_is_the_gaze() -> None:
    gaze, rotation = random_angles(6), head_rotation(random_angles(7))
    np.testing.assert_allclose(optical_axis(gaze, rotation, np.zeros(2)), vectors_from_angles(gaze), atol=1e-12)


def test_kappa_is_taken_off_the_gaze_in_the_head() -> None:
    gaze, kappa = random_angles(8), np.radians([0.6, 4.3])
    upright = head_rotation(np.zeros((50, 2)))
    np.testing.assert_allclose(optical_axis(gaze, upright, kappa), vectors_from_angles(gaze - kappa), atol=1e-12)


def test_a_right_eye_is_the_mirror_image_of_a_left_one() -> None:
    flip = np.array([1.0, -1.0])
    gaze, pose, roll = random_angles(9), random_angles(10), RNG(11).uniform(-0.1, 0.1, 50)
    kappa = np.radians([0.6, 4.3])
    left = optical_axis(gaze, head_rotation(pose, roll), kappa)
    right = optical_axis(gaze * flip, head_rotation(pose * flip, -roll), kappa * flip)
    np.testing.assert_allclose(right, left * [-1.0, 1.0, 1.0], atol=1e-12)
    assert angular_error_deg(gaze, gaze).max() == 0.0
