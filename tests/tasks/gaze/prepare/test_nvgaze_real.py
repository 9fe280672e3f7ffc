from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from originals import REAL_PREAMBLE, encode, read_person, write_real
from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import nvgaze_labels as labels
from privateyes.tasks.gaze.prepare import nvgaze_real, pictures
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.nvgaze import NVGaze
from privateyes.tasks.gaze.prepare.tally import Tally

SIZE = (12, 16)


def _eye(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, SIZE, dtype=np.uint8)


def _source(tmp_path: Path, rows: Sequence[str], preamble: Sequence[str] = REAL_PREAMBLE) -> Path:
    """SOURCE with 01.csv and 01/0.png .. 9.png, picture i made of seed i."""
    write_real(tmp_path, "01", rows, {f"{seed}.png": encode(_eye(seed)) for seed in range(10)}, preamble)
    return tmp_path


def _converter(source: Path, **options: Any) -> NVGaze:
    return NVGaze(source, ConvertOptions(size=SIZE, **options))


def test_fourteen_lines_are_skipped_and_rows_become_image_gaze_eye_and_frame(tmp_path: Path) -> None:
    assert len(REAL_PREAMBLE) == 14
    source = _source(tmp_path, ["0.png,L,0.1,0.2", "1.png,L,-0.1,-0.05"])
    columns, tally = read_person(_converter(source), "p01")
    assert set(columns) == {"image", "gaze", "eye", "frame"}
    np.testing.assert_array_equal(columns["image"], [_eye(0), _eye(1)])
    assert columns["frame"].tolist() == ["01/0.png", "01/1.png"]
    np.testing.assert_allclose(columns["gaze"][:, 1], [0.1, -0.1], atol=1e-7)
    np.testing.assert_allclose(columns["gaze"][:, 0], np.arctan(np.tan([0.2, -0.05]) * np.cos([0.1, -0.1])), atol=1e-7)
    assert (tally.skipped, tally.warnings) == ([], [])


def test_right_eyes_are_mirrored_together_with_their_yaw(tmp_path: Path) -> None:
    columns, _ = read_person(_converter(_source(tmp_path, ["0.png,L,0.1,0.2", "0.PNG,R,0.1,0.2"])), "p01")
    assert len(columns["image"]) == 1  # names of files are told apart by their case
    columns, _ = read_person(_converter(_source(tmp_path, ["0.png,R,0.1,0.2"])), "p01")
    np.testing.assert_array_equal(columns["image"][0], _eye(0)[:, ::-1])
    assert columns["gaze"][0, 1] == pytest.approx(-0.1)
    assert columns["gaze"][0, 0] > 0
    assert columns["eye"].tolist() == [1]


def test_colour_pictures_become_grey(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"])
    (source / "01" / "0.png").write_bytes(encode(np.repeat(_eye(0)[..., None], 3, axis=2)))
    columns, _ = read_person(_converter(source), "p01")
    np.testing.assert_array_equal(columns["image"][0], _eye(0))


def test_a_line_that_names_the_columns_rules_where_they_are_and_where_data_begin(tmp_path: Path) -> None:
    preamble = [*(["# header"] * 11), "gaze_y,imagefile,gaze_x,eye"]
    source = _source(tmp_path, ["0.2,0.png,0.1,L", "0.1,1.png,0.1,R"], preamble)
    columns, tally = read_person(_converter(source), "p01")
    assert columns["frame"].tolist() == ["01/0.png", "01/1.png"]
    assert columns["gaze"][0, 1] == pytest.approx(0.1)
    assert not tally.skipped


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("imagefile,gaze_x,gaze_y", r"01\.csv, line 14: there is no column for the eye"),
        ("eye,gaze_x,gaze_y", "there is no column for the image"),
        ("imagefile,name,eye,gaze_x,gaze_y", "two columns could be the image"),
        ("imagefile,eye,gaze_x,gaze_y,Gaze X", "two columns could be the gazex"),
    ],
)
def test_a_header_that_lacks_a_column_or_has_one_twice_stops(tmp_path: Path, header: str, message: str) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"], [*REAL_PREAMBLE[:13], header])
    with pytest.raises(DataError, match=message):
        read_person(_converter(source), "p01")


def test_data_where_the_preamble_should_be_stop_and_are_not_lost(tmp_path: Path) -> None:
    source = _source(tmp_path, [f"{index}.png,L,0.1,0.2" for index in range(10)] * 2, preamble=())
    with pytest.raises(DataError, match=r"01\.csv: line 1 looks like data, but the first 14 lines are the preamble"):
        read_person(_converter(source), "p01")


def test_numbers_in_the_preamble_are_no_data(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"], ["resolution,px,640,480", *REAL_PREAMBLE[1:]])
    columns, _ = read_person(_converter(source), "p01")
    assert len(columns["image"]) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1.png,L,0.1", labels.TOO_FEW),
        ("1.png,L,,0.1", labels.NO_NUMBER),
        ("1.png,L,0.1,nan", labels.NO_NUMBER),
        ("1.png,L,2.0,0.1", labels.OUT_OF_RANGE),
        ("1.png,L,0.1,-1.6", labels.OUT_OF_RANGE),
        ("1.png,both,0.1,0.1", labels.BAD_EYE),
        ("0.png,L,0.1,0.1", labels.TWICE),
        ("../01/1.png,L,0.1,0.1", labels.BAD_NAME),
        ("/etc/passwd,L,0.1,0.1", labels.BAD_NAME),
        ("..\\1.png,L,0.1,0.1", labels.BAD_NAME),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2", row, "2.png,L,0.1,0.2"])
    columns, tally = read_person(_converter(source), "p01")
    assert columns["frame"].tolist() == ["01/0.png", "01/2.png"]
    assert [tuple(skip) for skip in tally.skipped] == [(reason, f"01.csv, line 16: {row}")]


def test_images_that_are_missing_corrupt_or_of_another_size_are_named(tmp_path: Path) -> None:
    source = _source(tmp_path, [f"{index}.png,L,0.1,0.2" for index in range(5)])
    (source / "01" / "1.png").unlink()
    (source / "01" / "2.png").write_bytes(encode(_eye(2))[:60])
    (source / "01" / "3.png").write_bytes(encode(np.zeros((13, 16), dtype=np.uint8)))
    columns, tally = read_person(_converter(source), "p01")
    assert columns["frame"].tolist() == ["01/0.png", "01/4.png"]
    assert tally.by_reason() == {labels.MISSING: 1, labels.UNREADABLE: 1, labels.OTHER_SIZE: 1}
    assert tally.skipped[0].what == "01/1.png"
    assert tally.skipped[2].what == "01/3.png: 16x13"


def test_the_first_2999_lines_are_used_unless_all_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nvgaze_real.EVALUATED == 2999
    monkeypatch.setattr(nvgaze_real, "EVALUATED", 3)
    rows = ["0.png,L,0.1,0.2", "1.png,L,9,9", *(f"{index}.png,L,0.1,0.2" for index in range(2, 7))]
    columns, tally = read_person(_converter(_source(tmp_path, rows)), "p01")
    assert columns["frame"].tolist() == ["01/0.png", "01/2.png"]  # a line that cannot be used counts as one of the 3
    assert tally.warnings == ["01.csv: the first 3 of 7 rows are used; the subset 'all' takes all"]
    columns, tally = read_person(_converter(tmp_path, subset="all"), "p01")
    assert len(columns["image"]) == 6
    assert tally.warnings == []


def test_a_list_in_degrees_is_taken_for_one_with_a_warning(tmp_path: Path) -> None:
    gaze = [(5.0 + 2 * index, -12.0) for index in range(8)] + [(0.4, 0.3), (95.0, 0.0)]
    source = _source(tmp_path, [f"{index}.png,L,{x},{y}" for index, (x, y) in enumerate(gaze)])
    columns, tally = read_person(_converter(source), "p01")
    expected = [labels.pitch_yaw(np.deg2rad(x), np.deg2rad(y), 0) for x, y in gaze[:9]]
    np.testing.assert_allclose(columns["gaze"], expected, rtol=1e-6)
    assert tally.by_reason() == {labels.OUT_OF_RANGE: 1}
    assert len(tally.warnings) == 1
    assert "gaze angles are taken for degrees" in tally.warnings[0]


@pytest.mark.parametrize("good", [1, 3, 8])
def test_some_rows_out_of_range_make_no_list_in_degrees(tmp_path: Path, good: int) -> None:
    rows = [*(f"{index}.png,L,0.1,0.2" for index in range(good)), "8.png,L,9,9", "9.png,L,-20,0.1"]
    columns, tally = read_person(_converter(_source(tmp_path, rows)), "p01")
    assert (columns["gaze"][:, 1] == np.float32(0.1)).all()
    assert tally.by_reason() == {labels.OUT_OF_RANGE: 2}
    assert not any("degrees, since" in warning for warning in tally.warnings)


def test_labels_in_no_known_unit_stop_and_are_not_skipped_one_by_one(tmp_path: Path) -> None:
    rows = [f"{index}.png,L,{index + 500},-12" for index in range(10)] * 3
    with pytest.raises(DataError, match="most gaze angles are 90 degrees or more if they are in rad"):
        read_person(_converter(_source(tmp_path, rows)), "p01")
    columns, tally = read_person(_converter(tmp_path, skip_damaged=True), "p01")
    assert columns == {}
    assert tally.by_reason() == {DAMAGED: 1}


def test_labels_far_wider_than_the_papers_field_are_worth_a_warning(tmp_path: Path) -> None:
    _, tally = read_person(_converter(_source(tmp_path, [f"{i}.png,L,0.8,0.1" for i in range(10)])), "p01")
    assert len(tally.warnings) == 1
    assert "labels may be twice the angle" in tally.warnings[0]


def test_a_list_without_folder_a_folder_without_list_and_an_empty_list_stop(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"])
    (source / "02.csv").write_text("\n" * 20)
    (source / "03").mkdir()
    (source / "04").mkdir()
    (source / "04.csv").write_text("\n".join(REAL_PREAMBLE) + "\n")
    converter = _converter(source)
    assert list(converter.persons()) == ["p01", "p02", "p03", "p04"]
    for person, message in (
        ("p02", r"02: the folder of the images that 02\.csv lists is missing"),
        ("p03", r"03\.csv: there is no such file"),
        ("p04", r"04\.csv: there is no row below the preamble"),
    ):
        with pytest.raises(DataError, match=message):
            list(converter.blocks(person, Tally()))


def test_a_list_that_is_no_utf_8_stops_before_the_first_image(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"] * 3)
    with (source / "01.csv").open("ab") as file:
        file.write(b"1.png,L,0.1,\xe9\n")
    with pytest.raises(DataError, match=r"01\.csv: no UTF-8 text"):
        next(_converter(source).blocks("p01", Tally()))


def test_a_person_who_is_still_packed_is_named(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2"])
    (source / "02.zip").write_bytes(b"x")
    converter = _converter(source)
    assert converter.persons() == ["p01", "p02"]
    with pytest.raises(DataError, match=r"02\.zip is still packed; unpack it"):
        read_person(converter, "p02")


def test_a_folder_of_archives_only_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "02.tar.gz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"neither 01\.csv with 01/ nor .*; unpack the archives first"):
        _converter(tmp_path).persons()


def test_an_image_that_wants_to_be_turned_is_skipped(tmp_path: Path) -> None:
    source = _source(tmp_path, ["0.png,L,0.1,0.2", "1.png,L,0.1,0.2"])
    exif = Image.Exif()
    exif[0x0112] = 6
    (source / "01" / "1.png").write_bytes(encode(_eye(1), exif=exif))
    _, tally = read_person(_converter(source), "p01")
    assert tally.skipped == [(pictures.TURNED, "01/1.png")]


@pytest.mark.parametrize(("separator", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_list_with_other_separators_is_refused_by_their_name(tmp_path: Path, separator: str, named: str) -> None:
    rows = [separator.join([f"{index}.png", "L", "0,1", "0,2"]) for index in range(3)]
    with pytest.raises(
        DataError, match=rf"01\.csv: the columns are separated by {named} .*; save the list with commas"
    ):
        read_person(_converter(_source(tmp_path, rows)), "p01")


def test_other_separators_within_the_preamble_are_no_fault(tmp_path: Path) -> None:
    preamble = ["a;b;c;d;e", *REAL_PREAMBLE[1:]]
    _, tally = read_person(_converter(_source(tmp_path, ["0.png,L,0.1,0.2"], preamble)), "p01")
    assert tally.used == 1
