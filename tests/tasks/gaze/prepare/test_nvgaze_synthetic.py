from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from originals import SYNTHETIC_HEADER, encode, read_person, synthetic_row, write_synthetic
from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import nvgaze_labels as labels
from privateyes.tasks.gaze.prepare import nvgaze_synthetic, pictures
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.nvgaze import NVGaze
from privateyes.tasks.gaze.prepare.tally import Tally

SIZE = (12, 16)
PACKAGE = "nvgaze_female_01_public_50K_1"


def _eye(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, SIZE, dtype=np.uint8)


def _images(count: int = 6) -> dict[str, bytes]:
    images = {f"type_img_frame_{seed:06d}.png": encode(_eye(seed)) for seed in range(count)}
    masks = {f"type_maskWithSkin_frame_{seed:06d}.png": encode(np.zeros(SIZE, np.uint8)) for seed in range(count)}
    return {**images, **masks}


def _package(source: Path, rows: Sequence[dict[str, str]], name: str = PACKAGE, **settings: Any) -> Path:
    write_synthetic(source / name, rows, _images(), **settings)
    return source / name


def _converter(source: Path, **options: Any) -> NVGaze:
    return NVGaze(source, ConvertOptions(size=SIZE, **options))


def test_rows_are_read_from_the_archive_and_degrees_become_radians(tmp_path: Path) -> None:
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0), synthetic_row(3, -20.0, -15.0)])
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert set(columns) == {"image", "gaze", "eye", "frame"}
    np.testing.assert_array_equal(columns["image"], [_eye(0), _eye(3)])
    np.testing.assert_allclose(columns["gaze"][:, 1], np.deg2rad([10.0, -20.0]), atol=1e-6)
    pitch = np.arctan(np.tan(np.deg2rad([5.0, -15.0])) * np.cos(np.deg2rad([10.0, -20.0])))
    np.testing.assert_allclose(columns["gaze"][:, 0], pitch, atol=1e-6)
    assert columns["eye"].tolist() == [0, 0]
    assert columns["frame"].tolist() == [f"{PACKAGE}/type_img_frame_00000{index}.png" for index in (0, 3)]
    assert not tally.skipped


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    shuffled = ",".join(reversed(SYNTHETIC_HEADER.split(",")))
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)], header=shuffled)
    columns, _ = read_person(_converter(tmp_path), "female_01")
    assert columns["gaze"][0, 1] == pytest.approx(np.deg2rad(10.0))


def test_a_right_eye_is_mirrored_together_with_its_yaw(tmp_path: Path) -> None:
    header = SYNTHETIC_HEADER.replace("image_L_0", "image_R_0")
    row = synthetic_row(0, 10.0, 5.0, eye="R")
    row["image_R_0"] = row["image_L_0"]
    _package(tmp_path, [row], header=header)
    columns, _ = read_person(_converter(tmp_path), "female_01")
    np.testing.assert_array_equal(columns["image"][0], _eye(0)[:, ::-1])
    assert columns["gaze"][0, 1] == pytest.approx(np.deg2rad(-10.0))
    assert columns["eye"].tolist() == [1]


def test_without_string_eye_the_images_column_names_the_eye(tmp_path: Path) -> None:
    header = ",".join(name for name in SYNTHETIC_HEADER.split(",") if name != "string_eye")
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)], header=header)
    columns, _ = read_person(_converter(tmp_path), "female_01")
    assert columns["eye"].tolist() == [0]


def test_packages_of_a_subject_are_one_person_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        _package(tmp_path, [synthetic_row(0, 10.0, 5.0)], f"nvgaze_male_03_public_50K_{number}")
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
    (tmp_path / "nvgaze_male_99_public_50K_1.txt").write_text("not a package")
    assert list(_converter(tmp_path).persons()) == ["female_01", "male_03"]
    columns, tally = read_person(_converter(tmp_path), "male_03")
    assert [frame.split("/")[0][-3:] for frame in columns["frame"]] == ["K_1", "K_2", "_10"]
    assert not tally.skipped


def test_closed_eyes_are_skipped_by_a_limit_that_the_user_may_move(tmp_path: Path) -> None:
    rows = [synthetic_row(index, 10.0, 5.0, blink=blink) for index, blink in enumerate((0.0, 0.5, 0.51, 1.0))]
    _package(tmp_path, rows)
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert len(columns["image"]) == 2
    assert tally.by_reason() == {nvgaze_synthetic.CLOSED: 2}
    assert tally.skipped[0].what.startswith(f"{PACKAGE}, line 4: footage_image_data.zip,type_img_frame_000002.png")
    assert len(read_person(_converter(tmp_path, largest_blink=1.0), "female_01")[0]["image"]) == 4
    assert len(read_person(_converter(tmp_path, largest_blink=0.0), "female_01")[0]["image"]) == 1


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("float_gaze_x_degree", "90", labels.OUT_OF_RANGE),
        ("float_gaze_y_degree", "-700", labels.OUT_OF_RANGE),
        ("float_gaze_y_degree", "", labels.NO_NUMBER),
        ("float_gaze_x_degree", "nan", labels.NO_NUMBER),
        ("float_blink", "maybe", nvgaze_synthetic.NO_BLINK),
        ("float_blink", "nan", nvgaze_synthetic.NO_BLINK),
        ("string_eye", "R", nvgaze_synthetic.OTHER_EYE),
        ("string_eye", "?", labels.BAD_EYE),
        ("image_L_0", "../type_img_frame_000001.png", labels.BAD_NAME),
        ("image_L_0", "type_img_frame_000000.png", labels.TWICE),
        ("archive", "../../secret.zip", labels.BAD_NAME),
        ("archive", "/etc/passwd", labels.BAD_NAME),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, column: str, value: str, reason: str) -> None:
    rows = [synthetic_row(index, 10.0, 5.0) for index in range(3)]
    rows[1][column] = value
    _package(tmp_path, rows)
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert [frame[-5] for frame in columns["frame"]] == ["0", "2"]
    assert [skip.reason for skip in tally.skipped] == [reason]
    assert tally.skipped[0].what.startswith(f"{PACKAGE}, line 3: ")


def test_rows_with_too_few_or_too_many_cells_are_named(tmp_path: Path) -> None:
    folder = _package(tmp_path, [synthetic_row(index, 10.0, 5.0) for index in range(4)])
    lines = (folder / "footage_description.csv").read_text().splitlines()
    lines[2] += ",0.5"
    lines[4] = lines[4][: len(lines[4]) // 2]  # the file was cut short in its last line
    (folder / "footage_description.csv").write_text("\n".join(lines))
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert [frame[-5] for frame in columns["frame"]] == ["0", "2"]
    assert tally.by_reason() == {labels.TOO_FEW: 2}


def test_images_missing_or_damaged_in_the_archive_are_named(tmp_path: Path) -> None:
    rows = [synthetic_row(index, 10.0, 5.0) for index in range(6)] + [synthetic_row(77, 10.0, 5.0)]
    rows[5]["archive"] = "another.zip"
    images = _images()
    images["type_img_frame_000001.png"] = images["type_img_frame_000001.png"][:50]
    images["type_img_frame_000002.png"] = encode(np.zeros((9, 9), dtype=np.uint8))
    write_synthetic(tmp_path / PACKAGE, rows, images)
    _flip_a_byte_of(tmp_path / PACKAGE / "footage_image_data.zip", "type_img_frame_000003.png")
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert [frame[-5] for frame in columns["frame"]] == ["0", "4"]
    assert tally.by_reason() == {
        labels.UNREADABLE: 2,
        labels.OTHER_SIZE: 1,
        nvgaze_synthetic.NO_ARCHIVE: 1,
        labels.MISSING: 1,
    }


def _flip_a_byte_of(path: Path, member: str) -> None:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(member) + info.compress_size // 2] ^= 0x10
    path.write_bytes(bytes(content))


def test_a_second_archive_beside_the_first_may_be_named(tmp_path: Path) -> None:
    row = synthetic_row(0, 10.0, 5.0)
    row["archive"] = "more.zip"
    folder = _package(tmp_path, [row])
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr(row["image_L_0"], encode(_eye(42)))
    columns, _ = read_person(_converter(tmp_path), "female_01")
    np.testing.assert_array_equal(columns["image"][0], _eye(42))


def test_a_member_that_claims_to_be_enormous_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvgaze_synthetic, "_LARGEST_BYTES", 10)
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
    columns, tally = read_person(_converter(tmp_path), "female_01")
    assert columns == {}
    assert "too many for a picture" in tally.skipped[0].what


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (SYNTHETIC_HEADER.replace("float_gaze_y_degree", "float_y"), "no column float_gaze_y_degree"),
        (SYNTHETIC_HEADER.replace("archive,", "zip,"), "no column archive"),
        (SYNTHETIC_HEADER.replace("image_L_0,", "picture,"), "no column image_L_0"),
        (SYNTHETIC_HEADER.replace("float_blink", "float_lid"), "no column float_blink, so nobody knows"),
        (SYNTHETIC_HEADER + ",archive", "the header has archive twice"),
        (SYNTHETIC_HEADER + ",image_R_0", "image_L_0 and image_R_0 in one row"),
    ],
)
def test_a_header_with_other_columns_stops_and_is_named(tmp_path: Path, header: str, message: str) -> None:
    folder = _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
    _, *rest = (folder / "footage_description.csv").read_text().splitlines()
    (folder / "footage_description.csv").write_text("\n".join([header, *rest]))
    with pytest.raises(DataError, match=rf"footage_description\.csv: .*{message}"):
        list(_converter(tmp_path).blocks("female_01", Tally()))


def test_without_float_blink_every_row_is_used_if_the_user_says_so(tmp_path: Path) -> None:
    header = SYNTHETIC_HEADER.replace(",float_blink", "")
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)], header=header)
    columns, _ = read_person(_converter(tmp_path, largest_blink=1.0), "female_01")
    assert len(columns["image"]) == 1


def test_a_truncated_archive_stops_or_is_named_and_the_next_package_is_read(tmp_path: Path) -> None:
    archive = _package(tmp_path, [synthetic_row(0, 10.0, 5.0)]) / "footage_image_data.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    _package(tmp_path, [synthetic_row(1, 10.0, 5.0)], "nvgaze_female_01_public_50K_2")
    with pytest.raises(DataError, match=r"footage_image_data\.zip: no zip archive, or cut short.*--skip-damaged"):
        list(_converter(tmp_path).blocks("female_01", Tally()))
    columns, tally = read_person(_converter(tmp_path, skip_damaged=True), "female_01")
    np.testing.assert_array_equal(columns["image"], [_eye(1)])
    assert tally.by_reason() == {DAMAGED: 1}


def test_missing_files_and_empty_or_foreign_lists_stop(tmp_path: Path) -> None:
    def refused(name: str, message: str, content: bytes | None) -> None:
        folder = _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(_converter(tmp_path).blocks("female_01", Tally()))
        folder.rename(tmp_path / f"done {len(list(tmp_path.iterdir()))}")

    refused("footage_image_data.zip", r"zip: there is no such file", None)
    refused("footage_description.csv", r"csv: there is no such file", None)
    refused("footage_description.csv", r"csv: the header has no column image_L_0", b"")
    refused("footage_description.csv", r"csv: there is no row below the header", SYNTHETIC_HEADER.encode())
    refused("footage_description.csv", r"csv: no UTF-8 text", SYNTHETIC_HEADER.encode() + b"\n\xff\xfe\n")


def test_labels_in_radians_stop_and_are_not_taken_for_tiny_angles(tmp_path: Path) -> None:
    rows = [synthetic_row(index, 0.3, -0.2) for index in range(30)]
    _package(tmp_path, rows)
    with pytest.raises(DataError, match=r"no gaze angle reaches 1\.6 degrees, so they may be radians"):
        list(_converter(tmp_path).blocks("female_01", Tally()))


def test_the_archive_is_closed_when_a_reader_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(tmp_path, [synthetic_row(index, 10.0, 5.0) for index in range(6)])
    opened: list[zipfile.ZipFile] = []
    original = zipfile.ZipFile

    def remember(*arguments: Any) -> zipfile.ZipFile:
        opened.append(original(*arguments))
        return opened[-1]

    monkeypatch.setattr(nvgaze_synthetic.zipfile, "ZipFile", remember)
    monkeypatch.setattr("privateyes.tasks.gaze.prepare.rows.BLOCK_BYTES", 2 * SIZE[0] * SIZE[1])
    blocks = _converter(tmp_path).blocks("female_01", Tally())
    next(blocks)
    assert opened[0].fp is not None
    blocks.close()  # type: ignore[attr-defined]
    assert opened[0].fp is None


def test_a_package_that_is_still_packed_is_named(tmp_path: Path) -> None:
    _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
    (tmp_path / f"{PACKAGE[:-1]}2.zip").write_bytes(b"x")
    (tmp_path / "nvgaze_male_01_public_50K_1.tar.gz").write_bytes(b"x")
    converter = _converter(tmp_path)
    assert converter.persons() == ["female_01", "male_01"]
    for person, name in (("female_01", "nvgaze_female_01_public_50K_2"), ("male_01", "nvgaze_male_01_public_50K_1")):
        with pytest.raises(DataError, match=rf"{name}\.\S* is still packed; unpack it"):
            read_person(converter, person)
    columns, tally = read_person(_converter(tmp_path, skip_damaged=True), "female_01")
    assert len(columns["image"]) == 1
    assert [skip.reason for skip in tally.skipped] == [DAMAGED]
    assert any(path.suffix == ".zip" for path in converter.source_files("female_01"))


def test_a_list_with_semicolons_is_refused_by_their_name(tmp_path: Path) -> None:
    package = _package(tmp_path, [synthetic_row(0, 10.0, 5.0)])
    path = package / "footage_description.csv"
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(DataError, match=r"footage_description\.csv: the columns are separated by semicolons \(;\)"):
        read_person(_converter(tmp_path), "female_01")


def test_an_image_that_wants_to_be_turned_is_skipped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    name = "type_img_frame_000001.png"
    images = {**_images(), name: encode(_eye(1), exif=exif)}
    write_synthetic(tmp_path / PACKAGE, [synthetic_row(0, 10.0, 5.0), synthetic_row(1, 10.0, 5.0)], images)
    _, tally = read_person(_converter(tmp_path), "female_01")
    assert tally.skipped == [(pictures.TURNED, f"{PACKAGE}/{name}")]
