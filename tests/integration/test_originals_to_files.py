"""Whole conversions of GazeCapture, NVGaze and ETH-XGaze: every row is in the file or in the list of skips."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from originals import (
    Recording,
    encode,
    photograph,
    synthetic_row,
    write_real,
    write_synthetic,
    write_xgaze,
    xgaze_columns,
)
from privateyes.tasks.gaze.dataset import list_persons, load_persons
from privateyes.tasks.gaze.prepare.conversion import Request, convert
from privateyes.tasks.gaze.prepare.converter import ConvertOptions
from privateyes.tasks.gaze.prepare.tally import Tally


class _Silent:
    def person_started(self, person: str, number: int, total: int) -> None: ...
    def rows_read(self, rows: int) -> None: ...
    def person_finished(self, tally: Tally, resumed: bool) -> None: ...


def _gazecapture(source: Path) -> int:
    for name, split, device in (("00002", "train", "iPhone 6"), ("00010", "test", "iPad Air")):
        recording = Recording(6, device, split)
        recording.tables["faceGrid.json"]["IsValid"][1] = 0
        recording.pictures["00004.jpg"] = recording.pictures["00004.jpg"][:300]
        recording.write(source / name)
    return 12


def _nvgaze(source: Path) -> int:
    images = {f"{index}.png": encode(photograph(12, 16, index)) for index in range(5)}
    rows = [f"{index}.png,{'LR'[index % 2]},0.1,-0.1" for index in range(5)]
    write_real(source, "01", [*rows, "0.png,L,0.1,0.1", "9.png,L,0.1,0.1", "1.png,L,7,0"], images)
    return 8


def _nvgaze_synthetic(source: Path) -> int:
    rows = [synthetic_row(index, 10.0, 5.0, blink=index / 5) for index in range(6)]
    images = {row["image_L_0"]: encode(photograph(12, 16, index)) for index, row in enumerate(rows[:5])}
    for package in (1, 2):
        write_synthetic(source / f"nvgaze_male_01_public_50K_{package}", rows, images)
    return 12


def _eth_xgaze(source: Path) -> int:
    columns = xgaze_columns(7, size=16)
    columns["face_gaze"][3] = np.nan
    write_xgaze(source / "train/subject0003.h5", columns)
    del columns["face_gaze"]
    write_xgaze(source / "test/subject0001.h5", columns)
    return 7 + 1  # a test person without labels is one thing that is skipped


@pytest.mark.parametrize(
    ("dataset", "make"),
    [
        ("gazecapture", _gazecapture),
        ("nvgaze", _nvgaze),
        ("nvgaze", _nvgaze_synthetic),
        ("eth-xgaze", _eth_xgaze),
    ],
)
def test_every_row_of_the_source_is_in_the_file_or_named(tmp_path: Path, dataset: str, make: object) -> None:
    source = tmp_path / "source"
    source.mkdir()
    total = make(source)  # type: ignore[operator]
    out = tmp_path / "out.h5"
    conversion = convert(Request(dataset, source, out, ConvertOptions()), _Silent())
    persons = load_persons(out)
    manifest = json.loads(conversion.manifest.read_text())
    with conversion.skipped.open(newline="") as file:
        skipped = list(csv.DictReader(file))
    assert skipped
    assert sum(len(person) for person in persons) + len(skipped) == total
    assert manifest["used"] == sum(len(person) for person in persons)
    assert manifest["skipped"] == len(skipped)
    assert all(row["reason"] and row["what"] for row in skipped)


def test_a_gazecapture_file_keeps_the_published_split_and_the_devices(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    _gazecapture(source)
    out = tmp_path / "out.h5"
    convert(Request("gazecapture", source, out, ConvertOptions(size=(32, 32))), _Silent())
    with h5py.File(out) as file:
        assert {name: file[name].attrs["split"] for name in file} == {"00002": "train", "00010": "test"}
        assert json.loads(file["00010"].attrs["devices"]) == ["iPad Air"]
    person = load_persons(out, ["00010"], columns=("point", "left", "right", "grid", "device", "frame"))[0]
    assert person.gaze is None
    assert person.pose is None
    assert person.columns["left"].shape == (4, 32, 32, 3)
    assert person.columns["point"].shape == (4, 2)

    test_only = tmp_path / "test.h5"
    convert(Request("gazecapture", source, test_only, ConvertOptions(split="test", size=(8, 8))), _Silent())
    assert list_persons(test_only) == ["00010"]
