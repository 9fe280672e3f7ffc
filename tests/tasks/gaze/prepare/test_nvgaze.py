from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from originals import encode, read_person, synthetic_row, write_real, write_synthetic
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare.converter import ConvertOptions
from privateyes.tasks.gaze.prepare.nvgaze import NVGaze

PACKAGE = "nvgaze_male_02_public_50K_1"


def _real(source: Path, shape: tuple[int, int] = (480, 640)) -> None:
    image = np.full(shape, 90, dtype=np.uint8)
    write_real(source, "01", ["a.jpg,L,0.1,0.1"], {"a.jpg": encode(image, "JPEG")})


def _synthetic(source: Path) -> None:
    row = synthetic_row(0, 10.0, 5.0)
    images = {row["image_L_0"]: encode(np.full((960, 1280), 90, dtype=np.uint8))}
    write_synthetic(source / PACKAGE, [row], images)


def _converter(source: Path, **options: Any) -> NVGaze:
    return NVGaze(source, ConvertOptions(**options))


def test_each_flavour_is_known_by_its_files(tmp_path: Path) -> None:
    _real(tmp_path / "real")
    _synthetic(tmp_path / "synthetic")
    assert list(_converter(tmp_path / "real").persons()) == ["p01"]
    assert list(_converter(tmp_path / "synthetic").persons()) == ["male_02"]


def test_both_flavours_are_brought_to_one_size_and_to_the_users_if_there_is_one(tmp_path: Path) -> None:
    _real(tmp_path / "real")
    _synthetic(tmp_path / "synthetic")
    for source, person in (("real", "p01"), ("synthetic", "male_02")):
        assert read_person(_converter(tmp_path / source), person)[0]["image"].shape == (1, 127, 127)
        columns, _ = read_person(_converter(tmp_path / source, size=(64, 48)), person)
        assert columns["image"].shape == (1, 64, 48)


def test_there_is_no_device_and_no_pose(tmp_path: Path) -> None:
    _real(tmp_path)
    assert list(_converter(tmp_path).devices("p01")) == []
    assert not {"pose", "device"} & set(read_person(_converter(tmp_path), "p01")[0])


def test_source_files_are_lists_folders_and_archives(tmp_path: Path) -> None:
    _real(tmp_path / "real")
    _synthetic(tmp_path / "synthetic")
    assert [path.name for path in _converter(tmp_path / "real").source_files("p01")] == ["01.csv", "01"]
    names = [path.name for path in _converter(tmp_path / "synthetic").source_files("male_02")]
    assert names == ["footage_description.csv", "footage_image_data.zip"]


def test_a_source_with_neither_or_both_flavours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither 01\.csv with 01/ nor a folder such as nvgaze_female_01_public_50K_1"):
        _converter(tmp_path).persons()
    _real(tmp_path)
    _synthetic(tmp_path)
    with pytest.raises(DataError, match=r"real recordings .* and synthetic packages .* in one.*two folders"):
        _converter(tmp_path).persons()
    with pytest.raises(DataError, match="cannot be listed"):
        _converter(tmp_path / "01.csv").persons()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no published split"):
        _converter(tmp_path, split="train")
    for blink in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="the limit on blinks"):
            _converter(tmp_path, largest_blink=blink)
    _real(tmp_path)
    with pytest.raises(UsageError, match="real lists say nothing about blinks"):
        _converter(tmp_path, largest_blink=0.5).persons()
