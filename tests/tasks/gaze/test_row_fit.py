from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.orientation import evidence_rows
from privateyes.tasks.gaze.row_fit import Fit, RowFit, row_fit_of

FILES = [
    "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5",
    "mpiigaze/MPIIGaze_p00_36x60.h5",
    "synthetic_eyes/synthetic_eyes_s00-s13.h5",
]


def _fit(image: np.ndarray, gaze: np.ndarray, limit: int = 2000) -> RowFit:
    rows = evidence_rows(len(image), limit)
    return row_fit_of(image[rows], gaze, rows)


def _shuffled(gaze: np.ndarray) -> np.ndarray:
    return gaze[np.random.default_rng(0).permutation(len(gaze))]


@pytest.mark.parametrize("size", [(9, 15), (36, 60), (72, 120)])
def test_right_labels_fit_the_images_of_their_rows(draw_person: Callable[..., Person], size: tuple[int, int]) -> None:
    person = draw_person(count=250, size=size)
    assert _fit(person.image, person.gaze).fit is Fit.OWN


@pytest.mark.parametrize("size", [(9, 15), (36, 60)])
@pytest.mark.parametrize("shift", [-3, -1, 1, 2])
def test_a_shift_is_found_with_its_direction(
    draw_person: Callable[..., Person], size: tuple[int, int], shift: int
) -> None:
    person = draw_person(count=250, size=size)
    found = _fit(person.image, np.roll(person.gaze, shift, axis=0))
    assert (found.fit, found.shift) == (Fit.SHIFTED, shift)


def test_a_shift_is_found_where_only_some_rows_are_looked_at(draw_person: Callable[..., Person]) -> None:
    person = draw_person(count=1000)
    assert _fit(person.image, np.roll(person.gaze, 1, axis=0), limit=150).fit is Fit.SHIFTED


def test_a_shift_is_found_in_a_recording_whose_rows_resemble_their_neighbours(
    draw_person: Callable[..., Person],
) -> None:
    person = draw_person(count=400)
    order = np.argsort(person.gaze[:, 1] + np.random.default_rng(0).normal(0, 0.05, 400))
    image, gaze = person.image[order], person.gaze[order]
    assert _fit(image, gaze).fit is Fit.OWN
    assert _fit(image, np.roll(gaze, 1, axis=0)).shift == 1


@pytest.mark.parametrize("size", [(9, 15), (36, 60)])
def test_shuffled_labels_fit_nothing(draw_person: Callable[..., Person], size: tuple[int, int]) -> None:
    person = draw_person(count=250, size=size)
    found = _fit(person.image, _shuffled(person.gaze))
    assert (found.fit, found.shift) == (Fit.NONE, 0)


def test_labels_that_are_wrong_in_another_way_still_fit_their_rows(draw_person: Callable[..., Person]) -> None:
    person = draw_person(count=250)
    for change in (person.gaze[:, ::-1], -person.gaze, person.gaze * [1, -1], np.deg2rad(person.gaze)):
        assert _fit(person.image, change).fit is Fit.OWN


def test_few_shuffled_labels_are_not_judged(draw_person: Callable[..., Person]) -> None:
    person = draw_person(count=150)
    assert _fit(person.image, _shuffled(person.gaze)).fit is Fit.UNKNOWN


@pytest.mark.parametrize(
    ("image", "gaze"),
    [
        (np.random.default_rng(0).integers(0, 255, (40, 36, 60)), np.random.default_rng(0).normal(0, 0.1, (40, 2))),
        (np.random.default_rng(0).integers(0, 255, (300, 2, 60)), np.random.default_rng(0).normal(0, 0.1, (300, 2))),
        (np.random.default_rng(0).integers(0, 255, (300, 36, 60)), np.full((300, 2), 0.1)),
        (np.random.default_rng(0).integers(0, 255, (300, 36, 60)), np.full((300, 2), np.nan)),
    ],
    ids=["forty rows", "two pixels high", "constant labels", "labels that are no numbers"],
)
def test_nothing_is_told_where_little_is_there(image: np.ndarray, gaze: np.ndarray) -> None:
    assert _fit(image.astype(np.uint8), gaze).fit is Fit.UNKNOWN


def test_images_that_are_all_the_same_fit_nothing_and_raise_nothing() -> None:
    gaze = np.random.default_rng(0).normal(0, 0.1, (300, 2))
    assert _fit(np.full((300, 36, 60), 9, dtype=np.uint8), gaze).fit is Fit.NONE


@pytest.mark.realdata
@pytest.mark.parametrize("file", FILES)
def test_shifted_and_shuffled_labels_are_found_for_every_real_person(data_folder: Path, file: str) -> None:
    for person in load_persons(data_folder / file):
        assert _fit(person.image, person.gaze).fit is Fit.OWN, person.name
        for shift in (-1, 1):
            found = _fit(person.image, np.roll(person.gaze, shift, axis=0))
            assert (found.fit, found.shift) == (Fit.SHIFTED, shift), person.name
        assert _fit(person.image, _shuffled(person.gaze)).fit is Fit.NONE, person.name


@pytest.mark.realdata
@pytest.mark.parametrize("file", FILES)
def test_four_hundred_rows_are_enough_for_shuffled_labels_and_for_most_shifts(data_folder: Path, file: str) -> None:
    persons = load_persons(data_folder / file)
    shifts = [_fit(person.image, np.roll(person.gaze, 1, axis=0), limit=400) for person in persons]
    assert sum(found.fit is Fit.SHIFTED for found in shifts) >= 0.9 * len(persons)
    for person in persons:
        assert _fit(person.image, person.gaze, limit=400).fit is Fit.OWN, person.name
        assert _fit(person.image, _shuffled(person.gaze), limit=400).fit is Fit.NONE, person.name


@pytest.mark.realdata
@pytest.mark.parametrize("rows", [200, 700])
@pytest.mark.parametrize("file", FILES)
def test_right_labels_are_never_doubted_on_parts_of_a_recording(data_folder: Path, file: str, rows: int) -> None:
    for person in load_persons(data_folder / file):
        for start in range(0, len(person) - rows + 1, max(rows, 300)):
            part = slice(start, start + rows)
            found = _fit(person.image[part], person.gaze[part]).fit
            assert found in {Fit.OWN, Fit.UNKNOWN}, (person.name, start)
