"""The converter against reality: MPIIGaze's original files, rebuilt from its vectors, give the published angles.

The vectors of both eyes, the lists and the angles come from independent sources (the data's README). Images are made
up, except those of p00, which are stored mirrored and are mirrored back before they are written as original files.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpiigaze_files import day_path, write_day, write_list
from privateyes.tasks.gaze.check import check_file
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.prepare.conversion import Request, convert
from privateyes.tasks.gaze.prepare.converter import ConvertOptions
from privateyes.tasks.gaze.prepare.mpiifacegaze import suspicions
from privateyes.tasks.gaze.prepare.mpiigaze_day import gaze_angles
from privateyes.tasks.gaze.prepare.tally import Tally

PERSONS = tuple(f"p{number:02d}" for number in range(10))


class Silent:
    """An observer that does not care."""

    def person_started(self, person: str, number: int, total: int) -> None: ...
    def rows_read(self, rows: int) -> None: ...
    def person_finished(self, tally: Tally, resumed: bool) -> None: ...


@pytest.fixture(scope="module")
def real() -> Path:
    folder = os.environ.get("PRIVATEYES_DATA")
    if not folder:
        pytest.skip("PRIVATEYES_DATA does not name a folder with mpiigaze/")
    path = Path(folder) / "mpiigaze"
    if not (path / "MPIIGaze_eval_labels_both_eyes_p00-p09.npz").is_file():
        pytest.skip(f"{path} holds no labels of both eyes")
    return path


@pytest.fixture(scope="module")
def converted(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ten persons, rebuilt and converted; read only."""
    folder = tmp_path_factory.mktemp("mpiigaze")
    with np.load(real / "MPIIGaze_eval_labels_both_eyes_p00-p09.npz") as labels:
        for person in PERSONS:
            _rebuild(folder / "MPIIGaze", real, person, {key: labels[f"{person}_{key}"] for key in KEYS})
    convert(Request("mpiigaze", folder / "MPIIGaze", folder / "out.h5", ConvertOptions()), Silent())
    return folder / "out.h5"


KEYS = ("file", "is_left", "gaze_left", "gaze_right", "head_left", "head_right")


def _rebuild(source: Path, real: Path, person: str, labels: dict[str, np.ndarray]) -> None:
    """The person's original files: a frame has both eyes once, whichever of them the list names."""
    lists = real / "Evaluation Subset" / "sample list for eye image" / f"{person}.txt"
    write_list(source, person, lists.read_text().splitlines())
    images = _images_of_both_eyes(real, person, labels["is_left"])
    by_day: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, file in enumerate(labels["file"]):
        by_day[int(file[3:5])][file[6:]].append(row)
    for day, frames in by_day.items():
        eyes = {}
        for side in ("left", "right"):
            # The row in which the list names this very eye, for its image; the vectors are the same in each.
            rows = [next((r for r in found if labels["is_left"][r] == (side == "left")), found[0])
                    for found in frames.values()]  # fmt: skip
            eyes[side] = {
                "image": images[rows],
                "gaze": labels[f"gaze_{side}"][rows].astype(np.float64),
                "pose": labels[f"head_{side}"][rows].astype(np.float64),
            }
        write_day(day_path(source, person, day), eyes["left"], eyes["right"], list(frames))


def _images_of_both_eyes(real: Path, person: str, is_left: np.ndarray) -> np.ndarray:
    if person != "p00":
        return np.arange(len(is_left) * 4, dtype=np.uint32).view(np.uint8).reshape(-1, 4, 4).repeat(9, 1).repeat(15, 2)
    with h5py.File(real / "MPIIGaze_p00_36x60.h5") as file:
        images = file["p00/image"][()]
    images[~is_left] = images[~is_left, :, ::-1]
    return images


@pytest.mark.realdata
def test_angles_of_ten_persons_are_those_of_an_independent_source(real: Path, converted: Path) -> None:
    expected = load_persons(real / "MPIIGaze_crop9x15_p00-p09.h5")
    found = load_persons(converted)
    assert [person.name for person in found] == list(PERSONS)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == 3000
        assert ours.gaze == pytest.approx(theirs.gaze, abs=2e-6), ours.name
        assert ours.pose == pytest.approx(theirs.pose, abs=2e-6), ours.name


@pytest.mark.realdata
def test_rows_come_in_the_order_of_the_lists(real: Path, converted: Path) -> None:
    for person in load_persons(converted, columns=["frame", "eye", "day"]):
        lists = real / "Evaluation Subset" / "sample list for eye image" / f"{person.name}.txt"
        assert person.columns["frame"].tolist() == lists.read_text().splitlines()
        assert person.columns["eye"].tolist() == [0] * 1500 + [1] * 1500
        assert person.columns["day"].tolist() == [int(line[3:5]) for line in person.columns["frame"]]


@pytest.mark.realdata
def test_images_of_a_real_person_are_mirrored_as_published(real: Path, converted: Path) -> None:
    ours, theirs = load_persons(converted, ["p00"])[0], load_persons(real / "MPIIGaze_p00_36x60.h5")[0]
    np.testing.assert_array_equal(ours.image, theirs.image)
    assert not [finding for finding in check_file(converted).errors if finding.person == "p00"]


@pytest.mark.realdata
@pytest.mark.parametrize("person", PERSONS)
def test_true_labels_look_right_and_those_in_another_order_or_with_other_signs_do_not(real: Path, person: str) -> None:
    with np.load(real / "MPIIGaze_eval_labels_both_eyes_p00-p09.npz") as labels:
        is_left = labels[f"{person}_is_left"][:, None]
        gaze = np.where(is_left, labels[f"{person}_gaze_left"], labels[f"{person}_gaze_right"]).astype(np.float64)
    assert list(suspicions(gaze_angles(gaze))) == []
    for changed in (gaze[:, [1, 0, 2]], gaze * [1, -1, 1], gaze * [-1, -1, 1]):
        assert len(list(suspicions(gaze_angles(changed)))) == 1
