from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from originals import encode, photograph
from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.pictures import Box


def test_a_png_comes_back_pixel_by_pixel_in_rgb_order() -> None:
    pixels = photograph()
    np.testing.assert_array_equal(pictures.colour_pixels(pictures.decode_picture(encode(pixels), "x")), pixels)


def test_a_jpeg_keeps_its_colours_in_their_order() -> None:
    pixels = np.zeros((16, 24, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 2] = 200, 40
    read = pictures.colour_pixels(pictures.decode_picture(encode(pixels, "JPEG", quality=95), "x"))
    assert np.abs(read.astype(int) - pixels).max() <= 3


def test_grey_is_weighted_as_in_itu_r_601() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:, :2] = (100, 0, 0)
    pixels[:, 2:] = (0, 0, 100)
    grey = pictures.grey_pixels(pictures.decode_picture(encode(pixels), "x"))
    assert grey.shape == (4, 4)
    assert grey[0, 0] == round(29.9)
    assert grey[0, 3] == round(11.4)


def test_transparency_and_palettes_do_not_reach_the_pixels() -> None:
    pixels = photograph(8, 8)
    with_alpha = np.dstack([pixels, np.full((8, 8), 77, dtype=np.uint8)])
    np.testing.assert_array_equal(pictures.colour_pixels(pictures.decode_picture(encode(with_alpha), "x")), pixels)
    palette = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), (10, 200, 30), dtype=np.uint8)).quantize(4).save(palette, "PNG")
    assert (pictures.colour_pixels(pictures.decode_picture(palette.getvalue(), "x")) == (10, 200, 30)).all()


def test_resizing_takes_height_before_width_and_averages_when_it_shrinks() -> None:
    pixels = np.zeros((40, 80), dtype=np.uint8)
    pixels[:, 40:] = 200
    pixels[::2, :40] = 100  # stripes that a filter without averaging would keep or lose
    small = pictures.grey_pixels(pictures.decode_picture(encode(pixels), "x"), (10, 20))
    assert small.shape == (10, 20)
    assert (small[:, 12:] == 200).all()
    assert np.abs(small[:, :8].astype(int) - 50).max() <= 5


def test_a_crop_inside_is_exact_and_what_lies_outside_is_black() -> None:
    pixels = photograph(20, 30)
    picture = pictures.decode_picture(encode(pixels), "x")
    np.testing.assert_array_equal(pictures.padded_crop(picture, Box(5, 7, 10, 8)), pixels[7:15, 5:15])
    corner = np.array(pictures.padded_crop(picture, Box(-3, 15, 8, 9)))
    assert corner.shape == (9, 8, 3)
    np.testing.assert_array_equal(corner[:5, 3:], pixels[15:20, 0:5])
    assert not corner[5:].any()
    assert not corner[:, :3].any()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0, 0, 1, 1), True),
        (Box(-5, -5, 6, 6), True),
        (Box(29, 19, 9, 9), True),
        (Box(-5, 0, 5, 5), False),
        (Box(30, 0, 5, 5), False),
        (Box(0, -5, 5, 5), False),
        (Box(0, 20, 5, 5), False),
    ],
)
def test_overlap_begins_with_one_pixel(box: Box, expected: bool) -> None:
    picture = pictures.decode_picture(encode(photograph(20, 30)), "x")
    assert pictures.overlaps(picture, box) is expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_picture_that_is_cut_short_is_refused_and_named(kind: str, share: float) -> None:
    content = encode(photograph(), kind)
    with pytest.raises(DataError, match=r"^p00/7\.jpg: no picture, damaged or cut short"):
        pictures.decode_picture(content[: int(len(content) * share)], "p00/7.jpg")


def test_bytes_that_are_no_picture_or_one_of_a_format_that_no_data_set_has_are_refused() -> None:
    for content in (b"hello", b"\0" * 1000, encode(photograph(8, 8), "GIF"), encode(photograph(8, 8), "TIFF")):
        with pytest.raises(DataError, match="no picture"):
            pictures.decode_picture(content, "x")


def test_the_reason_why_bytes_are_no_picture_is_the_same_in_every_run() -> None:
    with pytest.raises(DataError) as refused:
        pictures.decode_picture(b"hello", "x")
    assert "0x" not in refused.value.problem


def test_a_jpeg_that_decodes_in_spite_of_damaged_picture_data_is_refused_and_named() -> None:
    content = bytearray(encode(photograph(200, 200), "JPEG", restart_marker_blocks=5))
    content[content.index(b"\xff\xd4") + 1] = 0xD7
    Image.open(io.BytesIO(content)).load()  # no decoder complains
    with pytest.raises(DataError, match=r"^p00/7\.jpg: its picture data are damaged"):
        pictures.decode_picture(bytes(content), "p00/7.jpg")


def test_damaged_pixels_of_a_png_are_noticed_by_its_checksums() -> None:
    content = bytearray(encode(photograph()))
    content[len(content) // 2] ^= 0x55
    with pytest.raises(DataError, match="damaged"):
        pictures.decode_picture(bytes(content), "x")


def test_no_damage_ends_in_anything_but_a_picture_or_a_refusal() -> None:
    rng = np.random.default_rng(5)
    for kind in ("JPEG", "PNG", "BMP"):
        good = encode(photograph(24, 24), kind)
        for _ in range(150):
            content = bytearray(good)
            for place in rng.integers(0, len(content), rng.integers(1, 6)):
                content[place] = rng.integers(0, 256)
            try:
                pictures.colour_pixels(pictures.decode_picture(bytes(content), "x"), (8, 8))
            except DataError:
                continue


def test_an_enormous_picture_is_refused_before_it_is_decoded() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    for width, height in ((50_000, 50_000), (9_000, 9_000)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
        with pytest.raises(DataError, match=r"too many|decompression bomb"):
            pictures.decode_picture(bomb, "x")


def test_sixteen_bits_a_pixel_are_refused_and_not_cut_to_eight() -> None:
    with pytest.raises(DataError, match=r"mode I;16, not 8 bits"):
        pictures.decode_picture(encode(np.full((8, 8), 300, dtype=np.uint16)), "x")


def test_a_missing_file_a_folder_and_a_file_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"^a: the file cannot be read \(No such file"):
        pictures.read_picture(tmp_path / "a.jpg", "a")
    with pytest.raises(DataError, match=r"^a is no file"):
        pictures.read_picture(tmp_path, "a")
    with pytest.raises(DataError, match=r"^a: the file cannot be read \(File name too long"):
        pictures.read_picture(tmp_path / ("a" * 5000), "a")
    assert pictures.is_missing(tmp_path / "a.jpg")
    assert pictures.is_missing(tmp_path / "b.jpg" / "a.jpg")
    assert not pictures.is_missing(tmp_path)
    assert not pictures.is_missing(tmp_path / ("a" * 5000))
    monkeypatch.setattr(pictures, "_LARGEST_BYTES", 100)
    (tmp_path / "b.jpg").write_bytes(encode(photograph()))
    with pytest.raises(DataError, match="too many for a picture"):
        pictures.read_picture(tmp_path / "b.jpg", "b")


def test_pixels_that_have_the_size_are_left_alone() -> None:
    pixels = photograph(8, 6)
    assert pictures.resized(pixels, None) is pixels
    assert pictures.resized(pixels, (8, 6)) is pixels
    assert pictures.resized(pixels, (6, 8)).shape == (6, 8, 3)
