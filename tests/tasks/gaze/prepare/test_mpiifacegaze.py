from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpiigaze_files import FACE, face_labels, write_faces
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.mpiifacegaze import NO_PICTURE, NOT_FINITE, OUT_OF_RANGE, MPIIFaceGaze, suspicions
from privateyes.tasks.gaze.prepare.tally import Tally

Rows = dict[str, np.ndarray]
SMALL = (56, 64)


def convert(source: Path, person: str = "p00", **options: object) -> tuple[Rows, Tally]:
    """All rows of a person, and the tally."""
    tally = Tally()
    blocks = list(MPIIFaceGaze(source, ConvertOptions(**options)).blocks(person, tally))
    rows = {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}
    assert tally.used == len(rows.get("image", ()))
    return rows, tally


def small_faces(count: int = 6, seed: int = 0) -> np.ndarray:
    """(count, 3, 56, 64): another size than the data set's, so that tests are fast; they ask for this size."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, *SMALL)).astype(np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(2):
        write_faces(tmp_path / f"p{number:02d}.mat", small_faces(6, number), face_labels(6, number))
    return tmp_path


def test_faces_of_the_original_size_come_out_in_rgb_with_rows_and_columns_in_place(tmp_path: Path) -> None:
    """Blue, green and red are told apart, and so are up and down and left and right."""
    data = np.zeros((2, 3, *FACE), dtype=np.uint8)
    data[:, 0], data[:, 1], data[:, 2] = 10, 20, 30
    data[0, 2, 100, :] = 200  # a red row
    data[1, 0, :, 7] = 90  # a blue column
    labels = face_labels(2)
    write_faces(tmp_path / "p00.mat", data, labels, chunk=1)
    rows, tally = convert(tmp_path)
    assert rows["image"].shape == (2, *FACE, 3)
    assert rows["image"].dtype == np.uint8
    assert rows["image"][0, 5, 5].tolist() == [30, 20, 10]
    assert rows["image"][0, 100, 5].tolist() == [200, 20, 10]
    assert rows["image"][1, 5, 7].tolist() == [30, 20, 90]
    np.testing.assert_array_equal(rows["gaze"], labels[:, :2].astype(np.float32))
    np.testing.assert_array_equal(rows["pose"], labels[:, 2:4].astype(np.float32))
    assert rows["frame"].tolist() == ["row 0", "row 1"]
    assert tally.skipped == []


def test_numbers_of_other_types_are_the_same_picture(tmp_path: Path) -> None:
    expected = small_faces()
    for dtype in (np.float32, np.float64, np.int16):
        write_faces(tmp_path / "p00.mat", expected.astype(dtype), face_labels(6))
        rows, _ = convert(tmp_path, size=SMALL)
        np.testing.assert_array_equal(rows["image"], expected[:, ::-1].transpose(0, 2, 3, 1))


def test_a_smaller_size_averages_areas(tmp_path: Path) -> None:
    # Colours that change slowly, as in photographs.
    y, x = np.mgrid[:448, :448]
    face = np.stack([y / 2, x / 2, (x + y) / 4]).astype(np.uint8)
    face[1, 200:210, 200:210] = 255
    write_faces(tmp_path / "p00.mat", face[None], face_labels(1))
    small = convert(tmp_path, size=(64, 56))[0]["image"][0]
    assert small.shape == (64, 56, 3)
    means = face[::-1].reshape(3, 64, 7, 56, 8).mean(axis=(2, 4)).transpose(1, 2, 0)
    assert np.abs(small[..., [0, 2]][1:-1, 1:-1] - means[..., [0, 2]][1:-1, 1:-1]).max() < 2
    spot = small[26:33, 22:29, 1].astype(float).sum() - means[26:33, 22:29, 1].sum()
    assert abs(spot) < 0.05 * means[26:33, 22:29, 1].sum(), "no pixel is left out"


@pytest.mark.parametrize(
    ("part", "row", "column", "value", "reason"),
    [
        ("label", 3, 0, np.nan, NOT_FINITE),
        ("label", 3, 3, np.inf, NOT_FINITE),
        ("label", 0, 1, 1.8, OUT_OF_RANGE),
        ("label", 5, 2, -30.0, OUT_OF_RANGE),
        ("data", 2, 1, -1.0, NO_PICTURE),
        ("data", 2, 1, 256.0, NO_PICTURE),
        ("data", 2, 1, np.nan, NO_PICTURE),
    ],
)
def test_a_row_with_impossible_values_is_named(
    source: Path, part: str, row: int, column: int, value: float, reason: str
) -> None:
    arrays = {"data": small_faces().astype(np.float32), "label": face_labels(6)}
    arrays[part][(row, column, 4, 4) if part == "data" else (row, column)] = value
    write_faces(source / "p00.mat", arrays["data"], arrays["label"])
    rows, tally = convert(source, size=SMALL)
    assert [(skip.reason, skip.what) for skip in tally.skipped] == [(reason, f"p00.mat row {row}")]
    assert rows["frame"].tolist() == [f"row {other}" for other in range(6) if other != row]


BAD: list[tuple[str, Callable[[], tuple[np.ndarray, np.ndarray]], str]] = [
    ("another size", lambda: (small_faces(), face_labels(6)), "images are 56x64 and not 448x448; .*--size"),
    ("rows last", lambda: (small_faces().transpose(0, 2, 3, 1).copy(), face_labels(6)), r"\(6, 56, 64, 3\) and not"),
    ("grey", lambda: (small_faces()[:, 0], face_labels(6)), r"'Data/data' has the shape \(6, 56, 64\)"),
    ("no row", lambda: (small_faces(0), face_labels(0)), r"'Data/data' has the shape \(0, 3, 56, 64\)"),
    ("labels across", lambda: (small_faces(), face_labels(6).T.copy()), "6 images and 16 labels"),
    ("fewer labels", lambda: (small_faces(), face_labels(5)), "6 images and 5 labels"),
    ("gaze only", lambda: (small_faces(), face_labels(6)[:, :2]), r"'Data/label' has the shape \(6, 2\)"),
    ("degrees", lambda: (small_faces(), np.rad2deg(face_labels(6))), "most labels are beyond 90 degrees"),
    ("landmarks first", lambda: (small_faces(), face_labels(6)[:, ::-1]), "most labels are beyond 90 degrees"),
    ("0 to 1", lambda: (small_faces() / 255, face_labels(6)), "images hold values of 0 to 1"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_files_with_something_else_in_them_stop_or_are_named(
    tmp_path: Path, make: Callable[[], tuple[np.ndarray, np.ndarray]], message: str
) -> None:
    write_faces(tmp_path / "p00.mat", *make())
    size = SMALL if "0 to 1" in message else None
    with pytest.raises(DataError, match=rf"p00\.mat: .*{message}") as caught:
        convert(tmp_path, size=size)
    assert caught.value.remedy.endswith("or go on without it: --skip-damaged")
    rows, tally = convert(tmp_path, size=size, skip_damaged=True)
    assert rows == {}
    assert [skip.reason for skip in tally.skipped] == [DAMAGED]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_short_stops_or_is_named(source: Path, share: float) -> None:
    content = (source / "p00.mat").read_bytes()
    (source / "p00.mat").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"p00\.mat: no file of MATLAB 7\.3, or cut short"):
        convert(source, size=SMALL)
    assert [skip.reason for skip in convert(source, size=SMALL, skip_damaged=True)[1].skipped] == [DAMAGED]


def test_damage_in_the_middle_keeps_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p00.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("Data/data", data=small_faces(40), chunks=(1, 3, *SMALL), compression="gzip")
        file["Data/label"] = face_labels(40)
        place = file["Data/data"].id.get_chunk_info(25).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 60] = bytes(60)
    path.write_bytes(content)
    monkeypatch.setattr("privateyes.tasks.gaze.prepare.mpiifacegaze._BLOCK_BYTES", 10 * 3 * 56 * 64)
    with pytest.raises(DataError, match=r"p00\.mat: rows from 20 cannot be read"):
        convert(tmp_path, size=SMALL)
    rows, tally = convert(tmp_path, size=SMALL, skip_damaged=True)
    assert len(rows["image"]) == 20
    assert "rows from 20" in tally.skipped[0].what


def test_a_file_with_other_contents_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["Data/label"] = face_labels(3)
        file.create_group("Data/data")
    with pytest.raises(DataError, match="'Data/data' is no array of numbers"):
        convert(tmp_path)
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["Data/data"] = h5py.Empty("u1")
    with pytest.raises(DataError, match="'Data/data' is no array of numbers"):
        convert(tmp_path)
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["data"] = small_faces(3)
    with pytest.raises(DataError, match="there is no data set 'Data/data'"):
        convert(tmp_path)
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["Data/data"] = h5py.ExternalLink("/etc/hostname", "/data")
    with pytest.raises(DataError, match="there is no data set 'Data/data'"):
        convert(tmp_path)


def test_labels_that_look_flipped_or_swapped_are_warned_about_and_kept(source: Path) -> None:
    labels = face_labels(6)
    labels[:, :2] = np.abs(labels[:, :2]) + 0.1
    write_faces(source / "p00.mat", small_faces(), labels)
    rows, tally = convert(source, size=SMALL)
    assert len(tally.warnings) == 1
    assert tally.warnings[0].startswith("p00: labels look sign-flipped: the mean pitch is +")
    np.testing.assert_array_equal(rows["gaze"], labels[:, :2].astype(np.float32))


def test_suspicions_know_the_four_mistakes_and_spare_right_labels() -> None:
    right = face_labels(3000)[:, :2]
    assert list(suspicions(right)) == []
    assert "sign-flipped" in next(suspicions(-right))
    assert "swapped" in next(suspicions(right[:, ::-1]))
    assert list(suspicions(np.full((3, 2), np.nan))) == []


@pytest.mark.realdata
def test_suspicions_spare_every_real_person_and_find_every_mistake() -> None:
    """MPIIGaze's labels of the same recordings; p00 to p09."""
    import os

    folder = os.environ.get("PRIVATEYES_DATA")
    if not folder:
        pytest.skip("PRIVATEYES_DATA does not name a folder with mpiigaze/")
    with h5py.File(Path(folder) / "mpiigaze" / "MPIIGaze_crop9x15_p00-p09.h5") as file:
        for person in file:
            gaze = file[person]["gaze"][()].astype(np.float64)
            assert list(suspicions(gaze)) == [], person
            assert "sign-flipped" in next(suspicions(-gaze)), person
            assert "swapped" in next(suspicions(gaze[:, ::-1])), person


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    """400 faces of 602 kB are 241 MB; blocks of 16 MiB, as read, as RGB and the one before, are what may be held."""
    with h5py.File(tmp_path / "p00.mat", "w") as file:
        file["Data/label"] = face_labels(400)
        data = file.create_dataset("Data/data", (400, 3, *FACE), np.uint8, chunks=(1, 3, *FACE), fillvalue=9)
        data[0] = 1
    tally = Tally()
    tracemalloc.start()
    rows = sum(len(block["image"]) for block in MPIIFaceGaze(tmp_path, ConvertOptions()).blocks("p00", tally))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 400
    assert peak < 90e6


def test_persons_are_files_of_the_folder_or_of_the_only_one_in_it(source: Path, tmp_path: Path) -> None:
    (source / "readme.txt").write_text("")
    (source / "p1.mat").write_text("")
    assert MPIIFaceGaze(source, ConvertOptions()).persons() == ["p00", "p01"]
    inner = tmp_path / "outer" / "MPIIFaceGaze_normalizad"
    write_faces(inner / "p03.mat", small_faces(1), face_labels(1))
    assert MPIIFaceGaze(inner.parent, ConvertOptions()).persons() == ["p03"]
    assert MPIIFaceGaze(inner.parent, ConvertOptions()).source_files("p03") == [inner / "p03.mat"]


def test_another_source_is_refused_saying_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no file such as p00\.mat.*name the folder"):
        MPIIFaceGaze(tmp_path, ConvertOptions()).persons()
    (tmp_path / "p00").mkdir()
    (tmp_path / "p00" / "p00.txt").write_text("")
    with pytest.raises(DataError, match=r"as it was recorded .*download its normalised part too"):
        MPIIFaceGaze(tmp_path, ConvertOptions()).persons()
    with pytest.raises(UsageError, match="MPIIFaceGaze has no option subset"):
        MPIIFaceGaze(tmp_path, ConvertOptions(subset="all"))


@pytest.mark.parametrize("name", ["p07.mat.gz", "p07.zip"])
def test_a_person_who_is_still_packed_is_named(source: Path, name: str) -> None:
    (source / name).write_bytes(b"x")
    (source / "p00.mat.gz").write_bytes(b"its archive may stay beside it")
    converter = MPIIFaceGaze(source, ConvertOptions(size=SMALL))
    assert converter.persons() == ["p00", "p01", "p07"]
    assert converter.source_files("p07") == []
    with pytest.raises(DataError, match=rf"{name} is still packed; unpack it"):
        convert(source, "p07", size=SMALL)
