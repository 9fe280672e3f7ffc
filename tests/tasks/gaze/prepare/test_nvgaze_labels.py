from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.angles import vectors_from_angles
from privateyes.tasks.gaze.prepare import nvgaze_labels as labels


def test_projection_angles_describe_the_direction_tan_x_tan_y_1() -> None:
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(-1.2, 1.2, (50, 2)):
        # Person's right is the image's left and up is up: in the camera's frame (x right, y down, z away from it).
        direction = np.array([-np.tan(x), -np.tan(y), -1.0])
        found = vectors_from_angles(labels.pitch_yaw(x, y, eye=0))
        np.testing.assert_allclose(found, direction / np.linalg.norm(direction), atol=1e-6)


def test_signs_to_the_persons_right_is_positive_yaw_and_up_is_positive_pitch() -> None:
    pitch, yaw = labels.pitch_yaw(np.deg2rad(20.0), np.deg2rad(10.0), eye=0)
    assert np.rad2deg(yaw) == pytest.approx(20.0, abs=1e-4)
    assert 9.3 < np.rad2deg(pitch) < 9.5  # tan(pitch) = tan(10 degrees) cos(20 degrees)
    assert labels.pitch_yaw(0.0, -0.2, eye=0)[0] == pytest.approx(-0.2)


def test_a_right_eye_is_mirrored_so_its_yaw_changes_sign_and_its_pitch_does_not() -> None:
    left, right = labels.pitch_yaw(0.3, 0.2, eye=0), labels.pitch_yaw(0.3, 0.2, eye=1)
    assert right[1] == -left[1]
    assert right[0] == left[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.25", 0.25),
        (" -1.5 ", -1.5),
        ("1e-3", 1e-3),
        ("", labels.NO_NUMBER),
        ("left", labels.NO_NUMBER),
        ("nan", labels.NO_NUMBER),
        ("inf", labels.NO_NUMBER),
        ("1,5", labels.NO_NUMBER),
        ("1.5708", labels.OUT_OF_RANGE),
        ("-12", labels.OUT_OF_RANGE),
    ],
)
def test_an_angle_is_a_number_below_90_degrees(text: str, expected: float | str) -> None:
    assert labels.parse_angle(text, 1.0) == expected


def test_degrees_become_radians() -> None:
    assert labels.parse_angle("30", np.deg2rad(1.0)) == pytest.approx(np.pi / 6)
    assert labels.parse_angle("90", np.deg2rad(1.0)) == labels.OUT_OF_RANGE


@pytest.mark.parametrize(("text", "eye"), [("L", 0), ("left", 0), (" R ", 1), ("Right", 1), ("0", None), ("", None)])
def test_eyes_are_named_by_letter_or_word(text: str, eye: int | None) -> None:
    assert labels.parse_eye(text) == eye


@pytest.mark.parametrize(
    "name", ["../a.png", "a/b.png", "..", ".", "", "C:a.png", "a\\b.png", "a\0.png", "/a", "ä" * 128]
)
def test_a_path_is_no_plain_name(name: str) -> None:
    assert not labels.is_plain_name(name)


def test_a_plain_name_may_hold_dots_and_spaces() -> None:
    assert labels.is_plain_name("type_img frame..000001.png")


def test_rows_come_with_their_line_and_without_spaces(tmp_path: Path) -> None:
    path = tmp_path / "01.csv"
    path.write_bytes(b'\xef\xbb\xbfa, b ,c\r\n\r\n"x,y",2,3\n,,\nlast,1,2')
    assert list(labels.read_rows(path)) == [(1, ["a", "b", "c"]), (3, ["x,y", "2", "3"]), (5, ["last", "1", "2"])]


def test_a_lost_quotation_mark_swallows_no_other_row(tmp_path: Path) -> None:
    path = tmp_path / "01.csv"
    path.write_text('"a,1,2\nb,3,4\nc,5,6\n')
    assert [cells[0] for _, cells in labels.read_rows(path)] == ["a,1,2", "b", "c"]


def test_a_list_that_is_missing_or_no_utf_8_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"01\.csv: there is no such file"):
        list(labels.read_rows(tmp_path / "01.csv"))
    (tmp_path / "02.csv").write_bytes(b"a,b\n" * 5000 + b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"02\.csv: no UTF-8 text"):
        list(labels.read_rows(tmp_path / "02.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        list(labels.read_rows(tmp_path))


def test_a_pair_needs_two_finite_numbers() -> None:
    assert labels.pair_of(["a", "1", "2"], (1, 2)) == (1.0, 2.0)
    assert labels.pair_of(["a", "1"], (1, 2)) is None
    assert labels.pair_of(["a", "1", "b"], (1, 2)) is None
    assert labels.pair_of(["a", "1", "nan"], (1, 2)) is None


def test_labels_in_another_unit_are_refused_as_a_whole() -> None:
    path = Path("01.csv")
    degrees = np.random.default_rng(0).uniform(-20, 20, (100, 2))
    labels.refuse_other_unit(path, degrees, "deg")
    labels.refuse_other_unit(path, np.deg2rad(degrees), "rad")
    with pytest.raises(DataError, match=r"01\.csv: most gaze angles are 90 degrees or more if they are in rad"):
        labels.refuse_other_unit(path, degrees, "rad")
    with pytest.raises(DataError, match=r"01\.csv: no gaze angle reaches 1\.6 degrees, so they may be radians"):
        labels.refuse_other_unit(path, np.deg2rad(degrees), "deg")
    with pytest.raises(DataError, match="most gaze angles are 90 degrees or more if they are in deg"):
        labels.refuse_other_unit(path, degrees * 50, "deg")


def test_a_few_labels_are_not_judged_by_their_size() -> None:
    labels.refuse_other_unit(Path("01.csv"), np.full((19, 2), 0.1), "deg")
    labels.refuse_other_unit(Path("01.csv"), np.zeros((0, 2)), "rad")
