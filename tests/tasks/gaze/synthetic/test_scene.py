from __future__ import annotations

import numpy as np
import pytest

from privateyes.tasks.gaze.angles import angles_from_vectors
from privateyes.tasks.gaze.synthetic.anatomy import draw_anatomy
from privateyes.tasks.gaze.synthetic.axes import optical_axis, rotate
from privateyes.tasks.gaze.synthetic.scene import Scene, draw_scene, open_lids


def scene_of(person: int, count: int = 600) -> Scene:
    return draw_scene(0, person, draw_anatomy(0, person), count)


def test_the_first_rows_do_not_depend_on_how_many_are_drawn() -> None:
    few, many = scene_of(0, 30), scene_of(0, 100)
    np.testing.assert_array_equal(few.frames, many.frames[:30])
    np.testing.assert_array_equal(few.gaze, many.gaze[:30])
    np.testing.assert_array_equal(few.pose, many.pose[:30])


def test_the_drawn_axis_is_the_label_without_the_persons_kappa() -> None:
    anatomy = draw_anatomy(0, 2)
    scene = draw_scene(0, 2, anatomy, 40)
    kappa = np.array([[eye.kappa_pitch_rad, eye.kappa_yaw_rad] for eye in (anatomy.left, anatomy.right)])
    expected = optical_axis(scene.gaze, scene.rotation, kappa[scene.frames["side"]])
    np.testing.assert_allclose(scene.optical, expected, atol=1e-12)


def test_labels_are_spread_like_those_of_people_at_a_laptop() -> None:
    scenes = [scene_of(person) for person in range(12)]
    pitch_mean = np.degrees([scene.gaze[:, 0].mean() for scene in scenes])
    pitch_sd = np.degrees([scene.gaze[:, 0].std() for scene in scenes])
    yaw_sd = np.degrees([scene.gaze[:, 1].std() for scene in scenes])
    assert -9 < pitch_mean.mean() < -4
    assert 3.5 < pitch_sd.mean() < 6
    assert 8 < yaw_sd.mean() < 11
    assert np.all(pitch_mean < 0)


def test_a_persons_sideways_bias_has_opposite_signs_in_the_two_eyes() -> None:
    left, right = [], []
    for person in range(40):
        scene = scene_of(person, 400)
        left.append(scene.gaze[0::2, 1].mean())
        right.append(scene.gaze[1::2, 1].mean())
    assert np.corrcoef(left, right)[0, 1] < -0.3


def test_the_eye_stays_within_its_range_in_the_head() -> None:
    for person in range(10):
        scene = scene_of(person)
        in_head = np.degrees(angles_from_vectors(rotate(scene.rotation.transpose(0, 2, 1), scene.optical)))
        assert np.abs(in_head[:, 0]).max() < 30
        assert np.abs(in_head[:, 1]).max() < 36


def test_the_upper_lid_follows_the_eye_and_never_closes_it() -> None:
    scene = scene_of(3, 9)
    frames = scene.frames.copy()
    in_head = np.stack([np.radians(np.linspace(-30, 20, 9)), np.zeros(9)], axis=-1)
    open_lids(frames, scene.eyes, in_head, np.zeros((9, 2)), np.ones(9))
    for side in (0, 1):
        assert np.all(np.diff(frames["upper"][frames["side"] == side]) > 0)
    assert np.all(frames["upper"] + frames["lower"] > 2.0)
    assert np.all(frames["crease"] > frames["upper"])


def test_days_differ_in_light_more_than_samples_of_one_day() -> None:
    frames = scene_of(4).frames[0::2]
    by_day = frames["light_x"].reshape(-1, 10)
    assert by_day.std(axis=0).mean() < 0.4 * by_day.mean(axis=0).std()


@pytest.mark.parametrize("person", range(5))
def test_every_number_is_finite(person: int) -> None:
    frames = scene_of(person).frames
    for name in frames.dtype.names or ():
        assert np.all(np.isfinite(frames[name])), name
