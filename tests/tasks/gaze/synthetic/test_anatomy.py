from __future__ import annotations

from dataclasses import astuple

import numpy as np

from privateyes.tasks.gaze.synthetic.anatomy import draw_anatomy


def test_the_same_seed_and_index_give_the_same_person() -> None:
    assert draw_anatomy(3, 4) == draw_anatomy(3, 4)


def test_another_seed_or_another_index_gives_another_person() -> None:
    assert draw_anatomy(3, 4) != draw_anatomy(3, 5)
    assert draw_anatomy(3, 4) != draw_anatomy(4, 4)


def test_both_eyes_of_a_person_are_alike_but_not_equal() -> None:
    persons = [draw_anatomy(0, index) for index in range(40)]
    assert all(person.left != person.right for person in persons)
    left = np.array([astuple(person.left) for person in persons])
    right = np.array([astuple(person.right) for person in persons])
    within = np.abs(left - right).mean(axis=0)
    between = np.abs(left - np.roll(right, 1, axis=0)).mean(axis=0)
    assert np.all(within <= 0.65 * between)


def test_the_visual_axis_lies_toward_the_nose_and_differs_between_persons() -> None:
    yaw = np.degrees([draw_anatomy(1, index).left.kappa_yaw_rad for index in range(200)])
    pitch = np.degrees([draw_anatomy(1, index).left.kappa_pitch_rad for index in range(200)])
    assert np.all(yaw > 0)
    assert 4.0 < yaw.mean() < 4.6
    assert 0.8 < yaw.std() < 1.8
    assert 0.6 < pitch.std() < 1.6


def test_every_eye_fits_together() -> None:
    for index in range(200):
        person = draw_anatomy(2, index)
        for eye in (person.left, person.right):
            assert eye.iris_radius_mm < eye.cornea_radius_mm < eye.eyeball_radius_mm
            assert eye.pupil_radius_mm < 0.6 * eye.iris_radius_mm
            assert eye.inner_x_mm < -10 < 10 < eye.outer_x_mm
            assert eye.iris_albedo < eye.sclera_albedo
