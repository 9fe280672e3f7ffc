from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.orientation import Orientation, Verdict, orientation_of

RIGHT, WRONG, SUSPECT, UNKNOWN = Verdict.RIGHT, Verdict.WRONG, Verdict.SUSPECT, Verdict.UNKNOWN

# What is done to right labels -> verdicts on (order, yaw sign, pitch sign).
MISTAKES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[Verdict, Verdict, Verdict]]] = {
    "none": (lambda gaze: gaze, (RIGHT, RIGHT, RIGHT)),
    "swapped": (lambda gaze: gaze[:, ::-1], (WRONG, RIGHT, RIGHT)),
    "yaw negated": (lambda gaze: gaze * [1, -1], (RIGHT, WRONG, RIGHT)),
    "pitch negated": (lambda gaze: gaze * [-1, 1], (RIGHT, RIGHT, WRONG)),
    "both negated": (lambda gaze: -gaze, (RIGHT, WRONG, WRONG)),
    "swapped and both negated": (lambda gaze: -gaze[:, ::-1], (WRONG, WRONG, WRONG)),
}
FULL_SIZE = ["mpiigaze/MPIIGaze_p00_36x60.h5", "synthetic_eyes/synthetic_eyes_s00-s13.h5"]


def _verdicts(orientation: Orientation) -> tuple[Verdict, Verdict, Verdict]:
    return orientation.order, orientation.yaw_sign, orientation.pitch_sign


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("size", [(36, 60), (24, 40), (72, 120)])
def test_every_mistake_is_recognised_on_drawn_eyes(
    draw_person: Callable[..., Person], mistake: str, size: tuple[int, int]
) -> None:
    change, expected = MISTAKES[mistake]
    person = draw_person(size=size)
    assert _verdicts(orientation_of(person.image, change(person.gaze))) == expected


def test_rows_may_stand_in_any_order(draw_person: Callable[..., Person]) -> None:
    person = draw_person()
    order = np.argsort(person.gaze[:, 0])
    assert _verdicts(orientation_of(person.image[order], person.gaze[order])) == (RIGHT, RIGHT, RIGHT)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_told_from_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (300, 36, 60)).astype(np.uint8)
    assert _verdicts(orientation_of(image, rng.normal(0, 0.1, (300, 2)))) == (UNKNOWN, UNKNOWN, UNKNOWN)


def test_nothing_is_told_from_labels_of_other_images(draw_person: Callable[..., Person]) -> None:
    person = draw_person()
    assert _verdicts(orientation_of(person.image, person.gaze[::-1])) == (UNKNOWN, UNKNOWN, UNKNOWN)


@pytest.mark.parametrize(
    ("image", "gaze"),
    [
        (np.full((100, 36, 60), 9), np.random.default_rng(0).normal(0, 0.1, (100, 2))),
        (np.random.default_rng(0).integers(0, 255, (100, 36, 60)), np.full((100, 2), 0.1)),
        (np.random.default_rng(0).integers(0, 255, (3, 36, 60)), np.random.default_rng(0).normal(0, 0.1, (3, 2))),
        (np.random.default_rng(0).integers(0, 255, (100, 2, 60)), np.random.default_rng(0).normal(0, 0.1, (100, 2))),
    ],
    ids=["constant images", "constant labels", "three rows", "two pixels high"],
)
def test_nothing_is_told_where_nothing_varies_or_little_is_there(image: np.ndarray, gaze: np.ndarray) -> None:
    assert _verdicts(orientation_of(image.astype(np.uint8), gaze)) == (UNKNOWN, UNKNOWN, UNKNOWN)


@pytest.mark.realdata
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("file", FULL_SIZE)
def test_every_mistake_is_recognised_on_every_full_size_person(data_folder: Path, file: str, mistake: str) -> None:
    change, expected = MISTAKES[mistake]
    for person in load_persons(data_folder / file):
        assert _verdicts(orientation_of(person.image, change(person.gaze))) == expected, person.name


@pytest.mark.realdata
@pytest.mark.parametrize("mistake", MISTAKES)
def test_on_iris_crops_yaw_is_told_for_nearly_all_and_pitch_for_nobody(data_folder: Path, mistake: str) -> None:
    change, (order, yaw_sign, _) = MISTAKES[mistake]
    persons = load_persons(data_folder / "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5")
    results = [_verdicts(orientation_of(person.image, change(person.gaze))) for person in persons]
    told = [result for result in results if result[0] is not UNKNOWN]
    assert len(told) >= 9
    assert all(result[2] is UNKNOWN for result in results)
    # Evidence from crops is weaker: what is wrong may be only suspect, but what is right is never called wrong.
    for expected, column in ((order, 0), (yaw_sign, 1)):
        allowed = {RIGHT} if expected is RIGHT else {WRONG, SUSPECT}
        assert {result[column] for result in told} <= allowed


@pytest.mark.realdata
@pytest.mark.parametrize("rows", [60, 200, 700])
@pytest.mark.parametrize("file", [*FULL_SIZE, "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5"])
def test_right_labels_are_never_called_wrong_on_parts_of_a_recording(data_folder: Path, file: str, rows: int) -> None:
    for person in load_persons(data_folder / file):
        for start in range(0, len(person) - rows + 1, max(rows, 300)):
            part = slice(start, start + rows)
            verdicts = _verdicts(orientation_of(person.image[part], person.gaze[part]))
            assert set(verdicts) <= {RIGHT, UNKNOWN}, (person.name, start)
