from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.synthetic import render_person, render_persons
from privateyes.tasks.gaze.synthetic.scene import DAYS


def test_a_person_has_images_and_labels_of_the_documented_shapes() -> None:
    person = render_person(0, 3, 12)
    assert person.name == "r03"
    assert (person.image.shape, person.image.dtype) == ((12, 36, 60), np.uint8)
    assert (person.pose.shape, person.pose.dtype) == ((12, 2), np.float32)
    assert (person.gaze.shape, person.gaze.dtype) == ((12, 2), np.float32)


def test_rendering_is_deterministic() -> None:
    first, second = render_person(5, 1, 20), render_person(5, 1, 20)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.gaze, second.gaze)
    np.testing.assert_array_equal(first.pose, second.pose)


def test_fewer_images_are_the_first_of_more() -> None:
    few, many = render_person(5, 2, 11), render_person(5, 2, 40)
    np.testing.assert_array_equal(few.image, many.image[:11])
    np.testing.assert_array_equal(few.gaze, many.gaze[:11])
    np.testing.assert_array_equal(few.pose, many.pose[:11])


def test_other_seeds_and_other_persons_look_different() -> None:
    images = [render_person(seed, person, 2).image for seed, person in ((0, 0), (0, 1), (1, 0))]
    for i in range(3):
        for j in range(i):
            assert np.abs(images[i].astype(float) - images[j]).mean() > 8


def test_persons_come_one_by_one_with_names_in_order() -> None:
    persons = list(render_persons(7, 3, 4))
    assert [person.name for person in persons] == ["r00", "r01", "r02"]
    np.testing.assert_array_equal(persons[2].image, render_person(7, 2, 4).image)


def test_the_dark_of_the_eye_moves_with_the_label_in_finished_images() -> None:
    columns, rows = [], []
    for person in render_persons(11, 6, 120):
        x, y = _dark_centres(person.image)
        columns.append(np.corrcoef(x, person.gaze[:, 1])[0, 1])
        rows.append(np.corrcoef(y, person.gaze[:, 0])[0, 1])
    assert max(columns) < -0.1
    assert np.mean(columns) < -0.45
    assert np.mean(rows) < -0.2


def test_right_eyes_are_mirrored_so_the_iris_moves_the_same_way_in_both_halves() -> None:
    person = render_person(11, 0, 240)
    for side in (0, 1):
        x, _ = _dark_centres(person.image[side::2])
        assert np.corrcoef(x, person.gaze[side::2, 1])[0, 1] < -0.4


def test_the_images_are_neither_black_nor_washed_out() -> None:
    for person in render_persons(3, 6, 60):
        assert 70 < person.image.mean() < 160
        assert person.image.reshape(60, -1).std(axis=1).mean() > 20
        assert (person.image == 255).mean() < 0.05


def test_a_linear_classifier_recognises_persons_on_days_it_has_not_seen() -> None:
    persons = list(render_persons(2, 8, 160))
    day = (np.arange(160) // 2) % DAYS
    seen, unseen = day < DAYS // 2, day >= DAYS // 2
    train = [_appearance(person.image[seen]) for person in persons]
    test = [_appearance(person.image[unseen]) for person in persons]
    features = np.concatenate(train)
    targets = np.repeat(np.eye(len(persons)), [len(rows) for rows in train], axis=0)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - mean) / spread
    gram = scaled @ scaled.T + 300.0 * np.eye(len(scaled))
    weights = scaled.T @ np.linalg.solve(gram, targets - targets.mean(axis=0))
    right = [((rows - mean) / spread @ weights).argmax(axis=1) == i for i, rows in enumerate(test)]
    assert np.concatenate(right).mean() > 0.5  # chance is 0.125


def test_memory_stays_small_while_rendering_a_thousand_images() -> None:
    render_person(0, 0, 2)
    tracemalloc.start()
    render_person(0, 0, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"count": 0}, "count is 0"),
        ({"count": 2.5}, "count is 2.5"),
        ({"count": True}, "count is True"),
        ({"seed": -1}, "seed is -1"),
        ({"person": -1}, "person is -1"),
        ({"size": (36,)}, "size is (36,)"),
        ({"size": (4, 60)}, "size is (4, 60)"),
        ({"size": (36, 6000)}, "size is (36, 6000)"),
        ({"size": (36.0, 60)}, "size is (36.0, 60)"),
    ],
)
def test_impossible_requests_are_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    complete = {"seed": 0, "person": 0, "count": 1} | arguments
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        render_person(**complete)
    assert caught.value.remedy


@pytest.mark.parametrize("arguments", [(0, 0, 5), (0, 2, 0), (-1, 2, 5)])
def test_impossible_sets_are_refused_before_the_first_person(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError):
        render_persons(*arguments)


def _dark_centres(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre of the darkest pixels in the middle of each image."""
    middle = images[:, 8:30, 10:50].astype(float)
    threshold = np.quantile(middle, 0.12, axis=(1, 2), keepdims=True)
    weight = (middle < threshold).astype(float)
    rows, columns = np.mgrid[:22, :40]
    total = weight.sum(axis=(1, 2))
    return (weight * columns).sum(axis=(1, 2)) / total, (weight * rows).sum(axis=(1, 2)) / total


def _appearance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Images of half size with equal mean and spread, as rows."""
    small = images.reshape(len(images), 18, 2, 30, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    return (small - small.mean(axis=1, keepdims=True)) / small.std(axis=1, keepdims=True)
