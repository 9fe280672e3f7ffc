from __future__ import annotations

import math
from pathlib import Path

import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.predict.poses import Attributes, parse_eye, parse_pose


def _table(folder: Path, text: str) -> str:
    path = folder / "poses.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_is_known_without_the_option(tmp_path: Path) -> None:
    assert parse_pose(None).of(tmp_path / "a.png", tmp_path) == Attributes()


@pytest.mark.parametrize("text", ["-5,10", " -5 , 10.0 "])
def test_one_pose_in_degrees_is_every_pictures(text: str, tmp_path: Path) -> None:
    known = parse_pose(text).of(tmp_path / "a.png", tmp_path)
    assert known.pose == pytest.approx((math.radians(-5), math.radians(10)))
    assert known.eye is None


def test_a_table_knows_pictures_by_path_or_name_and_maybe_the_eye(tmp_path: Path) -> None:
    text = "\ufeffimage,pitch_deg,yaw_deg,eye\na.png,1,2,\nsub/b.png,3,4,right\nb.png,5,6,left\n"
    source = parse_pose(_table(tmp_path, text))
    assert source.of(tmp_path / "a.png", tmp_path) == Attributes((math.radians(1), math.radians(2)))
    assert source.of(tmp_path / "x/a.png", tmp_path).pose == pytest.approx((math.radians(1), math.radians(2)))
    assert source.of(tmp_path / "sub/b.png", tmp_path) == Attributes((math.radians(3), math.radians(4)), "right")
    assert source.of(tmp_path / "b.png", tmp_path).eye == "left"
    assert source.of(tmp_path / "c.png", tmp_path) == Attributes()


@pytest.mark.parametrize("text", ["", "5", "1,2,3", "a,b", "1;2"])
def test_what_is_neither_a_pose_nor_a_table_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give PITCH,YAW in degrees"):
        parse_pose(text)


@pytest.mark.parametrize("text", ["91,0", "0,-120", "nan,0", "0,inf"])
def test_impossible_angles_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="--pose: a head's"):
        parse_pose(text)


BAD_TABLES = {
    "no column": ("image,pitch,yaw\na,1,2\n", "there is no column pitch_deg"),
    "empty": ("", "there is no column image"),
    "text": ("image,pitch_deg,yaw_deg\na.png,up,2\n", "line 2: could not convert"),
    "missing value": ("image,pitch_deg,yaw_deg\na.png,1\n", "line 2: a head's yaw of nan"),
    "radians times": ("image,pitch_deg,yaw_deg\na.png,1,200\n", "line 2: a head's yaw of 200 degrees"),
    "twice": ("image,pitch_deg,yaw_deg\na.png,1,2\na.png,1,2\n", "line 3: a.png comes twice"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_with_faults_are_refused_by_file_and_line(case: str, tmp_path: Path) -> None:
    text, message = BAD_TABLES[case]
    with pytest.raises(DataError, match=message) as refused:
        parse_pose(_table(tmp_path, text))
    assert "poses.csv" in refused.value.problem


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        parse_pose(str(tmp_path / "none.csv"))
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="cannot be read as a table"):
        parse_pose(str(tmp_path / "x.csv"))


def test_an_eye_is_left_or_right(tmp_path: Path) -> None:
    assert [parse_eye("--eye", text) for text in (None, "left", "right")] == [None, "left", "right"]
    with pytest.raises(ConfigError, match="--eye: eye = both; say left or right"):
        parse_eye("--eye", "both")
    with pytest.raises(ConfigError, match="line 2: eye = r"):
        parse_pose(_table(tmp_path, "image,pitch_deg,yaw_deg,eye\na.png,1,2,r\n"))


def test_a_table_with_semicolons_is_refused_by_their_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"separated by semicolons \(;\) and not by commas; save the table with commas"):
        parse_pose(_table(tmp_path, "image;pitch_deg;yaw_deg\na.png;1;2\n"))
