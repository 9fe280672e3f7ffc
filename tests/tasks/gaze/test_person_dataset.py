from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from privateyes.errors import DataError
from privateyes.tasks.gaze import person_dataset
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.reader import FileReader
from privateyes.tasks.gaze.task import GazeTask

SIZES = [
    (Pictures(), (48, 48, 3), (36, 36, 3)),
    (Pictures(grey=True, resize=(30, 41), equalise=True), (30, 41), (30, 41)),
    (Pictures(resize=(60, 52)), (60, 52, 3), (60, 52, 3)),
]


@pytest.fixture(params=SIZES, ids=["as they are", "shrunk", "enlarged"])
def task(request: pytest.FixtureRequest, faces: Path) -> GazeTask:
    pictures, face, eye = request.param
    return GazeTask(faces, "itracker", face, eye_shape=eye, label="point", pictures=pictures)


@pytest.mark.parametrize("rows", [[5], [23, 0, 7, 7], list(range(24))[::-1]])
def test_rows_are_the_same_however_many_are_read_at_a_time(
    task: GazeTask, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = task.examples("00001")
    whole = dataset.rows(slice(None))
    monkeypatch.setattr(person_dataset, "_BLOCK_BYTES", 3 * 48 * 48 * 3)
    for one, all_of in zip(dataset.rows(torch.tensor(rows)).inputs, whole.inputs, strict=True):
        assert torch.equal(one, all_of[rows])
    for block, all_of in zip(dataset.rows(slice(3, 20)).inputs, whole.inputs, strict=True):
        assert torch.equal(block, all_of[3:20])
    assert torch.equal(dataset.rows(torch.tensor(rows)).targets, dataset.targets[rows])


def test_the_memory_that_it_would_take_is_known_without_reading(
    task: GazeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = task.examples("00001").rows(slice(None)).nbytes
    monkeypatch.setattr(FileReader, "pictures", None)
    dataset = replace(task).examples("00001")
    assert dataset.nbytes == expected
    assert len(dataset) == len(dataset.targets) == 24


def test_with_a_limit_no_other_rows_are_read(task: GazeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    pictures = FileReader.pictures

    def noting(self: FileReader, person: str, part: str, rows: np.ndarray) -> np.ndarray:
        read.extend(rows.tolist())
        return pictures(self, person, part, rows)

    monkeypatch.setattr(FileReader, "pictures", noting)
    dataset = replace(task, image_limit=5).examples("00001")
    assert read == []
    dataset.rows(torch.tensor([4, 1]))
    assert read == [19, 4] * 3
    read.clear()
    dataset.rows(slice(None))
    assert read == [0, 4, 9, 14, 19] * 3


def test_an_index_out_of_bounds_is_refused_before_anything_is_read(
    task: GazeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileReader, "pictures", None)
    with pytest.raises(IndexError):
        task.examples("00001").rows(torch.tensor([24]))


def test_damaged_pictures_are_refused_when_they_are_read_and_name_the_person(task: GazeTask, tmp_path: Path) -> None:
    import h5py

    content = bytearray(task.path.read_bytes())
    with h5py.File(task.path) as file:
        chunk = file["00001/left"].id.get_chunk_info(0)
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    damaged = tmp_path / "faces.h5"
    damaged.write_bytes(content)
    dataset = replace(task, path=damaged).examples("00001")
    with pytest.raises(DataError, match="person 00001, left: the data cannot be read"):
        dataset.rows(slice(None))
    assert len(replace(task, path=damaged).examples("00002").rows(slice(None))) == 24
