from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.dataset import Person, write_persons
from privateyes.tasks.gaze.label_rows import kept_rows, read_label_rows
from privateyes.tasks.gaze.task import GazeTask


@pytest.mark.parametrize("limit", [None, 7, 24, 99])
def test_rows_are_those_that_the_task_trains_on(eyes: Path, limit: int | None) -> None:
    task = GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15), image_limit=limit)
    rows = read_label_rows(eyes, image_limit=limit)
    assert rows.target == "gaze"
    for name, person in rows.persons.items():
        np.testing.assert_array_equal(person.labels, task.examples(name).targets.numpy())


def test_columns_come_with_the_rows_that_are_kept(tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    path = make_eyes(tmp_path / "eyes.h5", persons=2, images=10)
    with h5py.File(path, "r+") as file:
        file["p00/day"] = np.arange(10, dtype=np.uint16)
        file["p00/eye"] = np.array([0, 1] * 5, dtype=np.uint8)
        file["p00/device"] = np.array([1] * 10, dtype=np.uint16)
        file["p00"].attrs["devices"] = '["phone", "tablet"]'
    first, second = read_label_rows(path, image_limit=5).persons.values()
    assert first.day is not None
    assert first.day.tolist() == kept_rows(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert first.eye is not None
    assert first.eye.tolist() == [0] * 5
    assert first.device_names == ("phone", "tablet")
    assert second.day is second.eye is second.device is None


def test_points_are_used_where_they_are_asked_for_or_somebody_has_no_gaze(tmp_path: Path) -> None:
    image, gaze = np.zeros((3, 9, 15), dtype=np.uint8), np.zeros((3, 2), dtype=np.float32)
    point = np.full((3, 2), 4.0, dtype=np.float32)
    both = Person("a", image, gaze=gaze, columns={"point": point})
    write_persons(tmp_path / "both.h5", [both])
    assert read_label_rows(tmp_path / "both.h5").target == "gaze"
    assert read_label_rows(tmp_path / "both.h5", label="point").persons["a"].labels[0, 0] == 4.0
    write_persons(tmp_path / "mixed.h5", [both, Person("b", image, columns={"point": point})])
    assert read_label_rows(tmp_path / "mixed.h5").target == "point"
    with pytest.raises(DataError, match="person b has no gaze"):
        read_label_rows(tmp_path / "mixed.h5", label="gaze")


def test_faults_of_labels_are_refused(tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with pytest.raises(DataError, match="there is no person p77"):
        read_label_rows(path, ["p77"])
    with h5py.File(path, "r+") as file:
        file["p01/day"] = np.arange(3, dtype=np.uint16)
    with pytest.raises(DataError, match=r"person p01: the data sets differ in length"):
        read_label_rows(path)
    assert len(read_label_rows(path, ["p00"]).persons["p00"]) == 24
