from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from originals import Recording, encode, photograph, read_person
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare import gazecapture, pictures, rows
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.gazecapture import GazeCapture
from privateyes.tasks.gaze.prepare.tally import Tally


def _converter(source: Path, **options: Any) -> GazeCapture:
    return GazeCapture(source, ConvertOptions(**options))


def _write(source: Path, recording: Recording, name: str = "00002") -> GazeCapture:
    recording.write(source / name)
    return _converter(source)


def test_a_recording_becomes_crops_grid_point_device_and_frame(tmp_path: Path) -> None:
    columns, tally = read_person(_write(tmp_path, Recording(3)), "00002")
    assert set(columns) == {"image", "left", "right", "grid", "point", "device", "frame"}
    for part in ("image", "left", "right"):
        assert columns[part].shape == (3, 224, 224, 3)
        assert columns[part].dtype == np.uint8
    assert columns["frame"].tolist() == [f"00002/frames/{index:05d}.jpg" for index in range(3)]
    assert columns["grid"].tolist() == [[6, 10, 13, 13]] * 3
    assert columns["device"].tolist() == [0, 0, 0]
    assert (tally.used, tally.skipped, tally.warnings) == (3, [], [])
    assert tally.attributes == {"split": "train"}


def test_the_point_is_xcam_ycam_in_centimetres_with_their_signs(tmp_path: Path) -> None:
    columns, _ = read_person(_write(tmp_path, Recording(2)), "00002")
    np.testing.assert_array_equal(columns["point"], np.array([[1.064, -6.0055], [2.064, -7.0055]], dtype=np.float32))


def test_boxes_are_cut_as_the_releases_own_program_cuts_them(tmp_path: Path) -> None:
    recording = Recording(1)
    pixels = photograph(64, 48, seed=7)
    recording.pictures["00000.jpg"] = encode(pixels)  # lossless, whatever the name says
    for column, value in {"X": 9.9, "Y": 19.9, "W": 11.9, "H": 11.9}.items():
        recording.tables["appleFace.json"][column] = [value]
    for eye, x in (("appleLeftEye.json", 8.7), ("appleRightEye.json", 1.7)):
        for column, value in {"X": x, "Y": 4.7, "W": 12.2, "H": 12.2}.items():
            recording.tables[eye][column] = [value]
    recording.write(tmp_path / "00002")
    columns, _ = read_person(_converter(tmp_path, size=(12, 12)), "00002")
    # Fractions are cut off; the face begins a pixel earlier, in both directions, and is one larger.
    np.testing.assert_array_equal(columns["image"][0], pixels[18 : 18 + 12, 8 : 8 + 12])
    # An eye's corner is relative to the grown face, and begins one pixel higher.
    np.testing.assert_array_equal(columns["left"][0], pixels[18 + 3 : 18 + 15, 8 + 8 : 8 + 20])
    np.testing.assert_array_equal(columns["right"][0], pixels[18 + 3 : 18 + 15, 8 + 1 : 8 + 13])


def test_the_face_is_one_pixel_larger_than_its_box(tmp_path: Path) -> None:
    recording = Recording(1)
    pixels = photograph(64, 48, seed=8)
    recording.pictures["00000.jpg"] = encode(pixels)
    for column, value in {"X": 10, "Y": 20, "W": 14, "H": 15}.items():
        recording.tables["appleFace.json"][column] = [value]
    recording.write(tmp_path / "00002")
    columns, _ = read_person(_converter(tmp_path, size=(16, 15)), "00002")
    np.testing.assert_array_equal(columns["image"][0], pixels[19:35, 9:24])


def test_left_is_the_persons_left_eye_on_the_images_right_side(tmp_path: Path) -> None:
    recording = Recording(1)
    pixels = np.zeros((64, 48, 3), dtype=np.uint8)
    pixels[:, :20] = (200, 0, 0)
    pixels[:, 20:] = (0, 0, 200)
    recording.pictures["00000.jpg"] = encode(pixels, "JPEG", quality=95, subsampling=0)
    columns, _ = read_person(_write(tmp_path, recording), "00002")
    assert columns["left"][0, 112, 112, 2] > 180
    assert columns["right"][0, 112, 112, 0] > 180


def test_what_lies_outside_of_the_frame_is_black(tmp_path: Path) -> None:
    recording = Recording(1)
    recording.pictures["00000.jpg"] = encode(np.full((64, 48, 3), 200, dtype=np.uint8))
    recording.tables["appleFace.json"].update(X=[-9.0], Y=[-9.0], W=[19.0], H=[19.0])
    recording.tables["appleLeftEye.json"].update(X=[14.0], Y=[15.0], W=[4.0], H=[4.0])
    recording.tables["appleRightEye.json"].update(X=[8.0], Y=[10.0], W=[4.0], H=[4.0])
    recording.write(tmp_path / "00002")
    columns, _ = read_person(_converter(tmp_path, size=(20, 20)), "00002")
    assert not columns["image"][0, :10].any()
    assert not columns["image"][0, :, :10].any()
    assert (columns["image"][0, 10:, 10:] == 200).all()


def test_outside_is_black_whatever_the_colours_of_the_file_are(tmp_path: Path) -> None:
    recording = Recording(3)
    recording.tables["appleFace.json"].update(X=[-9.0] * 3)
    recording.tables["appleRightEye.json"].update(X=[11.0] * 3)
    light = Image.new("RGB", (48, 64), (204, 204, 204))  # a colour of the usual palette
    for name, kind, mode in (("00000.jpg", "JPEG", "CMYK"), ("00001.jpg", "JPEG", "L"), ("00002.jpg", "PNG", "P")):
        file = io.BytesIO()
        light.convert(mode).save(file, kind)
        recording.pictures[name] = file.getvalue()
    columns, _ = read_person(_write(tmp_path, recording), "00002")
    assert not columns["image"][:, :, :90].any()
    assert (np.abs(columns["image"][:, :, 120:].astype(int) - 204) <= 3).all()


def test_frames_are_counted_by_what_failed_and_named(tmp_path: Path) -> None:
    recording = Recording(6)
    recording.tables["appleFace.json"]["IsValid"][1] = 0
    recording.tables["appleLeftEye.json"]["IsValid"][2] = 0
    recording.tables["appleRightEye.json"]["IsValid"][3] = 0
    recording.tables["faceGrid.json"]["IsValid"][4] = 0
    for table in ("appleLeftEye.json", "appleRightEye.json", "faceGrid.json"):
        recording.tables[table]["IsValid"][5] = 0
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns["frame"].tolist() == ["00002/frames/00000.jpg"]
    assert tally.by_reason() == {
        "not valid: face": 1,
        "not valid: left eye": 1,
        "not valid: right eye": 1,
        "not valid: face grid": 1,
        "not valid: left eye, right eye, face grid": 1,
    }
    assert [skip.what for skip in tally.skipped] == [f"00002/frames/0000{index}.jpg" for index in range(1, 6)]


def test_a_recording_with_invalid_frames_only_yields_nothing_and_says_why(tmp_path: Path) -> None:
    recording = Recording(4)
    recording.tables["appleFace.json"]["IsValid"] = [0] * 4
    for column in "XYWH":
        recording.tables["appleFace.json"][column] = [None, 0, 0, 0]
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns == {}
    assert tally.by_reason() == {"not valid: face": 4}


def test_a_corrupt_frame_in_the_middle_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    recording = Recording(5)
    recording.pictures["00002.jpg"] = recording.pictures["00002.jpg"][:400]
    recording.pictures["00003.jpg"] = b"no picture at all"
    del recording.pictures["00004.jpg"]
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns["frame"].tolist() == ["00002/frames/00000.jpg", "00002/frames/00001.jpg"]
    np.testing.assert_allclose(columns["point"][:, 0], [1.064, 2.064], rtol=1e-6)
    assert tally.by_reason() == {gazecapture.UNREADABLE: 2, gazecapture.MISSING: 1}
    assert tally.skipped[0].what.startswith("00002/frames/00002.jpg: no picture, damaged or cut short")


@pytest.mark.parametrize(
    ("file", "column", "value", "reason"),
    [
        ("appleFace.json", "X", float("nan"), gazecapture.NO_BOX),
        ("appleFace.json", "W", 0, gazecapture.NO_BOX),
        ("appleLeftEye.json", "H", -3.0, gazecapture.NO_BOX),
        ("appleRightEye.json", "W", 0.9, gazecapture.NO_BOX),
        ("appleRightEye.json", "Y", None, gazecapture.NO_BOX),
        ("appleFace.json", "X", float("inf"), gazecapture.NO_BOX),
        ("appleFace.json", "X", 1e12, gazecapture.NO_BOX),
        ("appleFace.json", "W", 30_000, gazecapture.HUGE),
        ("appleFace.json", "X", 500, gazecapture.OUTSIDE),
        ("appleLeftEye.json", "Y", -500, gazecapture.OUTSIDE),
        ("faceGrid.json", "W", 0, gazecapture.NO_BOX),
        ("faceGrid.json", "X", 26, gazecapture.BAD_GRID),
        ("faceGrid.json", "Y", -13, gazecapture.BAD_GRID),
        ("dotInfo.json", "XCam", float("nan"), gazecapture.BAD_DOT),
        ("dotInfo.json", "YCam", None, gazecapture.BAD_DOT),
        ("dotInfo.json", "YCam", -1000.0, gazecapture.BAD_DOT),
    ],
)
def test_impossible_numbers_of_a_frame_skip_that_frame(
    tmp_path: Path, file: str, column: str, value: float | None, reason: str
) -> None:
    recording = Recording(3)
    recording.tables[file][column][1] = value
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns["frame"].tolist() == ["00002/frames/00000.jpg", "00002/frames/00002.jpg"]
    assert [tuple(skip) for skip in tally.skipped] == [(reason, "00002/frames/00001.jpg")]


def test_a_face_grid_that_sticks_out_partly_is_kept_as_published(tmp_path: Path) -> None:
    recording = Recording(1)
    recording.tables["faceGrid.json"].update(X=[-2], Y=[20], W=[13], H=[13])
    columns, _ = read_person(_write(tmp_path, recording), "00002")
    assert columns["grid"].tolist() == [[-2, 20, 13, 13]]


def test_names_that_are_paths_or_come_twice_are_skipped_and_read_nothing_outside(tmp_path: Path) -> None:
    recording = Recording(5)
    recording.frames = ["00000.jpg", "../../00009.jpg", "00000.jpg", "/etc/passwd", "٠٠٠٠٠.jpg"]
    (tmp_path / "00009.jpg").write_bytes(encode(photograph(), "JPEG"))
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns["frame"].tolist() == ["00002/frames/00000.jpg"]
    assert [skip.reason for skip in tally.skipped] == [
        gazecapture.BAD_NAME,
        gazecapture.TWICE,
        gazecapture.BAD_NAME,
        gazecapture.BAD_NAME,
    ]


def test_a_recording_of_one_frame_may_hold_numbers_where_others_hold_lists(tmp_path: Path) -> None:
    recording = Recording(1)
    recording.frames = "00000.jpg"
    for name, table in recording.tables.items():
        if name != "info.json":
            recording.tables[name] = {column: values[0] for column, values in table.items()}
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert len(columns["image"]) == 1
    assert not tally.skipped


def test_frames_of_both_orientations_may_be_in_one_recording(tmp_path: Path) -> None:
    recording = Recording(2)
    recording.pictures["00001.jpg"] = encode(photograph(48, 64), "JPEG")
    columns, _ = read_person(_write(tmp_path, recording), "00002")
    assert len(columns["image"]) == 2


def _damage(recording: Recording, folder: Path, what: str) -> None:
    recording.write(folder)
    if what == "missing":
        (folder / "appleFace.json").unlink()
    elif what == "truncated":
        text = (folder / "dotInfo.json").read_text()
        (folder / "dotInfo.json").write_text(text[: len(text) // 2])
    elif what == "not utf-8":
        (folder / "info.json").write_bytes(b'{"DeviceName": "iPh\xf6ne", "Dataset": "train"}')
    elif what == "deep":
        (folder / "frames.json").write_text("[" * 100_000)
    elif what == "empty":
        (folder / "faceGrid.json").write_bytes(b"")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"appleFace\.json: there is no such file"),
        ("truncated", r"dotInfo\.json: no JSON, or cut short"),
        ("not utf-8", r"info\.json: byte 19 is no UTF-8 text"),
        ("deep", r"frames\.json: no JSON, or cut short"),
        ("empty", r"faceGrid\.json: no JSON, or cut short"),
    ],
)
def test_a_damaged_file_stops_or_is_named(tmp_path: Path, what: str, message: str) -> None:
    _damage(Recording(3), tmp_path / "00002", what)
    with pytest.raises(DataError, match=message + r".*unpack the recording again.*--skip-damaged"):
        list(_converter(tmp_path).blocks("00002", Tally()))
    columns, tally = read_person(_converter(tmp_path, skip_damaged=True), "00002")
    assert columns == {}
    assert tally.by_reason() == {DAMAGED: 1}


def test_wrong_tables_stop_and_are_named(tmp_path: Path) -> None:
    def refused(message: str, **changes: Any) -> None:
        recording = Recording(3)
        for name, change in changes.items():
            change(recording.tables[f"{name}.json"] if name != "frames" else recording)
        folder = tmp_path / f"{len(list(tmp_path.iterdir())):05d}"
        recording.write(folder)
        with pytest.raises(DataError, match=message):
            list(_converter(tmp_path).blocks(folder.name, Tally()))

    refused(r"appleFace\.json: column W has 2 entries, but frames\.json lists 3 frames", appleFace=_shorten("W"))
    refused(r"faceGrid\.json: column IsValid has 2 entries", faceGrid=_shorten("IsValid"))
    refused(r"dotInfo\.json: there is no column YCam", dotInfo=lambda table: table.pop("YCam"))
    refused(r"dotInfo\.json: column XCam, entry 1 is str and no number", dotInfo=_put("XCam", "1.5"))
    refused(r"appleLeftEye\.json: IsValid holds something else than 0 and 1", appleLeftEye=_put("IsValid", 2))
    refused(r"appleLeftEye\.json: IsValid holds something else than 0 and 1", appleLeftEye=_put("IsValid", None))
    refused(r"appleFace\.json: column X holds a number beyond all measure", appleFace=_put("X", 10**400))
    refused(r"info\.json: there is no DeviceName", info=lambda table: table.update(DeviceName=6))
    refused(r"info\.json: Dataset is 'both' and none of train", info=lambda table: table.update(Dataset="both"))
    refused(r"frames\.json: no list of file names", frames=lambda recording: setattr(recording, "frames", [1, 2, 3]))
    refused(r"frames\.json: the list is empty", frames=lambda recording: setattr(recording, "frames", []))


def _shorten(column: str) -> Any:
    return lambda table: table[column].pop()


def _put(column: str, value: Any) -> Any:
    return lambda table: table[column].__setitem__(1, value)


def test_an_empty_folder_of_a_person_stops_and_is_named(tmp_path: Path) -> None:
    Recording(1).write(tmp_path / "00002")
    (tmp_path / "00003").mkdir()
    assert list(_converter(tmp_path).persons()) == ["00002", "00003"]
    assert list(_converter(tmp_path).devices("00003")) == []
    with pytest.raises(DataError, match=r"00003/info\.json: there is no such file"):
        list(_converter(tmp_path).blocks("00003", Tally()))


def test_a_number_of_frames_that_info_json_contradicts_is_worth_a_warning(tmp_path: Path) -> None:
    recording = Recording(3)
    recording.tables["info.json"]["TotalFrames"] = 1000
    _, tally = read_person(_write(tmp_path, recording), "00002")
    assert tally.warnings == ["info.json speaks of 1000 frames, frames.json lists 3"]


def test_the_split_chooses_recordings_and_keeps_damaged_ones_to_be_reported(tmp_path: Path) -> None:
    for name, split in (("00002", "train"), ("00003", "test"), ("00005", "val"), ("00006", "test")):
        Recording(1, split=split).write(tmp_path / name)
    (tmp_path / "00007").mkdir()
    assert list(_converter(tmp_path, split="test").persons()) == ["00003", "00006", "00007"]
    assert list(_converter(tmp_path).persons()) == ["00002", "00003", "00005", "00006", "00007"]
    (tmp_path / "00007").rmdir()
    _, tally = read_person(_converter(tmp_path, split="test"), "00003")
    assert tally.attributes == {"split": "test"}
    (tmp_path / "00005" / "info.json").write_text(json.dumps({"DeviceName": "iPad", "Dataset": "train"}))
    with pytest.raises(DataError, match="none of 4 recordings is of the split 'val'"):
        _converter(tmp_path, split="val").persons()


def test_the_device_is_named(tmp_path: Path) -> None:
    converter = _write(tmp_path, Recording(1, device="iPad Air 2"))
    assert list(converter.devices("00002")) == ["iPad Air 2"]


def test_source_files_are_the_json_files_and_the_folder_of_frames(tmp_path: Path) -> None:
    converter = _write(tmp_path, Recording(1))
    names = {path.name for path in converter.source_files("00002")}
    assert {"info.json", "frames.json", "appleFace.json", "dotInfo.json", "faceGrid.json", "frames"} <= names
    assert all(path.exists() for path in converter.source_files("00002"))


def test_a_source_that_is_not_gazecapture_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no recording of GazeCapture.*into which the release was unpacked"):
        _converter(tmp_path).persons()
    (tmp_path / "00002.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"unpack the archives \(\.tar\.gz\) first"):
        _converter(tmp_path).persons()
    Recording(1).write(tmp_path / "00002")
    with pytest.raises(DataError, match="this is a single recording"):
        _converter(tmp_path / "00002").persons()
    with pytest.raises(DataError, match="cannot be listed"):
        _converter(tmp_path / "00002" / "info.json").persons()


def test_options_of_other_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no blinks"):
        _converter(tmp_path, largest_blink=0.5)
    with pytest.raises(UsageError, match="GazeCapture has no option subset"):
        _converter(tmp_path, subset="all")


def test_a_long_recording_comes_in_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 4 * 3 * 8 * 8 * 3)
    Recording(10).write(tmp_path / "00002")
    blocks = list(_converter(tmp_path, size=(8, 8)).blocks("00002", Tally()))
    assert [len(block["image"]) for block in blocks] == [4, 4, 2]


def test_a_recording_that_is_still_packed_is_named(tmp_path: Path) -> None:
    Recording(2).write(tmp_path / "00002")
    (tmp_path / "00003.tar.gz").write_bytes(b"x")
    (tmp_path / "00002.tar.gz").write_bytes(b"its archive may stay beside it")
    (tmp_path / "papers.tar.gz").write_bytes(b"x")
    converter = _converter(tmp_path)
    assert converter.persons() == ["00002", "00003"]
    assert _converter(tmp_path, split="train").persons() == ["00002", "00003"]
    with pytest.raises(DataError, match=r"00003\.tar\.gz is still packed; unpack it"):
        read_person(converter, "00003")
    _, tally = read_person(_converter(tmp_path, skip_damaged=True), "00003")
    assert [(skip.reason, Path(skip.what).name) for skip in tally.skipped] == [
        (DAMAGED, "00003.tar.gz is still packed")
    ]
    assert converter.source_files("00003") == []


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_frame_that_wants_to_be_turned_is_not_cropped_wrongly_but_skipped(tmp_path: Path, orientation: int) -> None:
    recording = Recording(3)
    for name, value in (("00000.jpg", 1), ("00001.jpg", orientation)):
        exif = Image.Exif()
        exif[0x0112] = value
        recording.pictures[name] = encode(photograph(), "JPEG", exif=exif)
    columns, tally = read_person(_write(tmp_path, recording), "00002")
    assert columns["frame"].tolist() == ["00002/frames/00000.jpg", "00002/frames/00002.jpg"]
    assert tally.skipped == [(pictures.TURNED, "00002/frames/00001.jpg")]
