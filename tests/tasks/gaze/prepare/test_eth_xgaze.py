from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from originals import read_person, write_xgaze, xgaze_columns
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare import eth_xgaze
from privateyes.tasks.gaze.prepare.converter import DAMAGED, ConvertOptions
from privateyes.tasks.gaze.prepare.eth_xgaze import EthXGaze
from privateyes.tasks.gaze.prepare.tally import Tally


def _converter(source: Path, **options: Any) -> EthXGaze:
    return EthXGaze(source, ConvertOptions(**options))


def _write(source: Path, columns: dict[str, Any], name: str = "train/subject0003.h5") -> EthXGaze:
    write_xgaze(source / name, columns)
    return _converter(source)


def test_faces_become_rgb_and_labels_keep_order_and_signs(tmp_path: Path) -> None:
    original = xgaze_columns()
    columns, tally = read_person(_write(tmp_path, original), "subject0003")
    assert set(columns) == {"image", "gaze", "pose", "device", "frame"}
    np.testing.assert_array_equal(columns["image"][..., 0], original["face_patch"][..., 2])
    np.testing.assert_array_equal(columns["image"][..., 1], original["face_patch"][..., 1])
    np.testing.assert_array_equal(columns["image"][..., 2], original["face_patch"][..., 0])
    np.testing.assert_array_equal(columns["gaze"], original["face_gaze"].astype(np.float32))
    np.testing.assert_array_equal(columns["pose"], original["face_head_pose"].astype(np.float32))
    assert columns["device"].tolist() == [0, 3, 0, 3, 0]
    assert columns["frame"].tolist()[:3] == ["frame0600 camera 0", "frame0600 camera 3", "frame0601 camera 0"]
    assert not tally.skipped


def test_devices_are_named_up_to_the_largest_camera(tmp_path: Path) -> None:
    converter = _write(tmp_path, xgaze_columns())
    assert list(converter.devices("subject0003")) == ["camera 0", "camera 1", "camera 2", "camera 3"]


def test_faces_are_resized_if_asked(tmp_path: Path) -> None:
    write_xgaze(tmp_path / "train/subject0003.h5", xgaze_columns(size=32))
    columns, _ = read_person(_converter(tmp_path, size=(16, 12)), "subject0003")
    assert columns["image"].shape == (5, 16, 12, 3)


def test_test_persons_without_labels_are_named_and_skipped(tmp_path: Path) -> None:
    write_xgaze(tmp_path / "train/subject0003.h5", xgaze_columns())
    for folder in ("test", "test_person_specific"):
        without = {name: array for name, array in xgaze_columns().items() if name != "face_gaze"}
        write_xgaze(tmp_path / folder / "subject0001.h5", without)
    converter = _converter(tmp_path)
    persons = ["subject0003", "test_person_specific_subject0001", "test_subject0001"]
    assert list(converter.persons()) == persons
    for person, folder in ((persons[1], "test_person_specific"), (persons[2], "test")):
        columns, tally = read_person(converter, person)
        assert columns == {}
        assert tally.by_reason() == {eth_xgaze.NO_LABELS: 1}
        assert tally.skipped[0].what.startswith(f"{folder}/subject0001.h5")
        assert [path.parent.name for path in converter.source_files(person)] == [folder]


def test_a_test_person_whose_file_has_labels_is_converted(tmp_path: Path) -> None:
    write_xgaze(tmp_path / "train/subject0003.h5", xgaze_columns())
    write_xgaze(tmp_path / "test/subject0001.h5", xgaze_columns(seed=4))
    columns, _ = read_person(_converter(tmp_path), "test_subject0001")
    assert len(columns["image"]) == 5


def test_a_training_person_without_labels_is_damage(tmp_path: Path) -> None:
    without = {name: array for name, array in xgaze_columns().items() if name != "face_gaze"}
    with pytest.raises(DataError, match=r"subject0003\.h5: there is no data set face_gaze"):
        read_person(_write(tmp_path, without), "subject0003")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("face_gaze", (np.nan, 0.0), eth_xgaze.NO_NUMBER),
        ("face_head_pose", (0.0, np.inf), eth_xgaze.NO_NUMBER),
        ("face_gaze", (0.1, 1.7), eth_xgaze.OUT_OF_RANGE),
        ("face_head_pose", (-30.0, 0.0), eth_xgaze.OUT_OF_RANGE),
        ("cam_index", -1, eth_xgaze.BAD_INDEX),
        ("cam_index", 64, eth_xgaze.BAD_INDEX),
        ("frame_index", -1, eth_xgaze.BAD_INDEX),
        ("face_patch", 0, eth_xgaze.BLACK),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, name: str, value: Any, reason: str) -> None:
    original = xgaze_columns()
    original[name][2] = value
    columns, tally = read_person(_write(tmp_path, original), "subject0003")
    assert len(columns["image"]) == 4
    assert [tuple(skip) for skip in tally.skipped] == [(reason, "train/subject0003.h5, row 2")]
    np.testing.assert_array_equal(columns["gaze"][2], original["face_gaze"][3].astype(np.float32))
    np.testing.assert_array_equal(columns["image"][2], original["face_patch"][3][..., ::-1])


def test_a_frame_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    original = xgaze_columns()
    original["frame_index"][4], original["cam_index"][4] = original["frame_index"][1], original["cam_index"][1]
    columns, tally = read_person(_write(tmp_path, original), "subject0003")
    assert len(columns["image"]) == 4
    assert tally.by_reason() == {eth_xgaze.TWICE: 1}


def test_empty_rows_that_the_authors_program_leaves_at_the_end_are_skipped(tmp_path: Path) -> None:
    original = xgaze_columns(8)
    for array in original.values():
        array[5:] = 0
    columns, tally = read_person(_write(tmp_path, original), "subject0003")
    assert len(columns["image"]) == 5
    assert tally.by_reason() == {eth_xgaze.BLACK: 3}


def test_a_damaged_chunk_in_the_middle_loses_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "train/subject0003.h5"
    write_xgaze(path, {**xgaze_columns(6, size=64), "face_patch": np.full((6, 64, 64, 3), 9, dtype=np.uint8)})
    with h5py.File(path, "r") as file:
        chunk = file["face_patch"].id.get_chunk_info(3)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(bytes(content))
    columns, tally = read_person(_converter(tmp_path), "subject0003")
    assert len(columns["image"]) == 5
    assert tally.by_reason() == {eth_xgaze.UNREADABLE: 1}
    assert tally.skipped[0].what.startswith("train/subject0003.h5, row 3: ")


def test_a_truncated_file_stops_or_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train/subject0003.h5"
    write_xgaze(path, xgaze_columns())
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"subject0003\.h5: no HDF5 file, or cut short.*--skip-damaged"):
        list(_converter(tmp_path).blocks("subject0003", Tally()))
    columns, tally = read_person(_converter(tmp_path, skip_damaged=True), "subject0003")
    assert columns == {}
    assert tally.by_reason() == {DAMAGED: 1}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("face_patch", lambda a: a.astype(np.float32), "face_patch is float32"),
        ("face_patch", lambda a: a[..., :1], r"face_patch is uint8 \(5, 8, 8, 1\)"),
        ("face_gaze", lambda a: a[:, :1], r"face_gaze is float64 \(5, 1\), not numbers \(rows, 2\)"),
        ("face_gaze", lambda a: a[:4], "5 faces, but 4 rows of the gaze"),
        ("face_gaze", lambda a: np.rad2deg(a), "most rows of face_gaze are beyond 90 degrees"),
        ("face_gaze", lambda a: a.astype(int), "face_gaze is int64"),
        ("cam_index", lambda a: a.astype(float), "cam_index is float64"),
        ("frame_index", lambda a: a[:3], "5 faces, but 3 rows of the frame"),
        ("face_head_pose", None, "there is no data set face_head_pose"),
        ("face_patch", None, "there is no data set face_patch"),
        ("cam_index", None, "there is no data set cam_index"),
    ],
)
def test_data_sets_of_another_kind_stop_and_are_named(tmp_path: Path, name: str, change: Any, message: str) -> None:
    original = xgaze_columns()
    if change is None:
        del original[name]
    else:
        original[name] = change(original[name])
    with pytest.raises(DataError, match=rf"subject0003\.h5: .*{message}"):
        read_person(_write(tmp_path, original), "subject0003")


def test_a_file_without_rows_stops(tmp_path: Path) -> None:
    write_path = tmp_path / "train/subject0003.h5"
    write_path.parent.mkdir(parents=True)
    with h5py.File(write_path, "w") as file:
        for name, array in xgaze_columns().items():
            file.create_dataset(name, data=array[:0])
    with pytest.raises(DataError, match="there is no row"):
        read_person(_converter(tmp_path), "subject0003")


def test_a_file_that_speaks_of_endless_rows_or_chunks_is_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "train/subject0003.h5"
    write_xgaze(path, xgaze_columns())
    with h5py.File(path, "r+") as file:
        for name, shape in (("face_patch", (8, 8, 3)), ("face_gaze", (2,)), ("face_head_pose", (2,))):
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, shape=(10**12, *shape), dtype=kind, chunks=(1, *shape))
    with pytest.raises(DataError, match="1000000000000 rows"):
        read_person(_converter(tmp_path), "subject0003")
    path.unlink()
    write_xgaze(path, {name: array for name, array in xgaze_columns().items() if name != "face_patch"})
    with h5py.File(path, "r+") as file:
        chunks = (2_000_000, 8, 8, 3)
        file.create_dataset("face_patch", shape=chunks, dtype=np.uint8, chunks=chunks, compression="gzip")
    with pytest.raises(DataError, match="repack it in chunks of one row"):
        read_person(_converter(tmp_path), "subject0003")


def test_indices_may_be_columns_or_plain_rows(tmp_path: Path) -> None:
    original = xgaze_columns()
    for name in ("frame_index", "cam_index"):
        original[name] = original[name][:, 0]
    columns, _ = read_person(_write(tmp_path, original), "subject0003")
    assert columns["device"].tolist() == [0, 3, 0, 3, 0]


def test_data_that_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    write_xgaze(secret, xgaze_columns())
    path = tmp_path / "train/subject0003.h5"
    kept = {name: array for name, array in xgaze_columns().items() if name != "face_patch"}
    write_xgaze(path, kept)
    with h5py.File(path, "r+") as file:
        file["face_patch"] = h5py.ExternalLink("../secret.h5", "face_patch")
    with pytest.raises(DataError, match="face_patch is no data set of this file"):
        read_person(_converter(tmp_path), "subject0003")
    with h5py.File(path, "r+") as file:
        del file["face_patch"]
        layout = h5py.VirtualLayout(shape=(5, 8, 8, 3), dtype=np.uint8)
        layout[:] = h5py.VirtualSource(secret, "face_patch", shape=(5, 8, 8, 3))
        file.create_virtual_dataset("face_patch", layout)
    with pytest.raises(DataError, match="face_patch is no data set of this file"):
        read_person(_converter(tmp_path), "subject0003")
    with h5py.File(path, "r+") as file:
        del file["face_patch"]
        external = [(str(secret), 0, 5 * 8 * 8 * 3)]
        file.create_dataset("face_patch", shape=(5, 8, 8, 3), dtype=np.uint8, external=external)
    with pytest.raises(DataError, match="face_patch is no data set of this file"):
        read_person(_converter(tmp_path), "subject0003")


def test_a_listed_person_whose_file_is_missing_is_reported(tmp_path: Path) -> None:
    converter = _write(tmp_path, xgaze_columns())
    split = {"train": ["subject0003.h5", "subject0024.h5"], "test": [], "test_person_specific": []}
    (tmp_path / "train_test_split.json").write_text(json.dumps(split))
    assert list(converter.persons()) == ["subject0003", "subject0024"]
    assert list(converter.source_files("subject0024")) == []
    assert list(converter.devices("subject0024")) == []
    with pytest.raises(DataError, match=r"subject0024\.h5: there is no such file, although train_test_split\.json"):
        list(converter.blocks("subject0024", Tally()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON object with a list 'train'"),
        ('{"test": []}', "no JSON object with a list 'train'"),
        ('{"train": 3}', "no JSON object with a list 'train'"),
        ('{"train": [3]}', "no JSON object with a list 'train'"),
        ('{"train": ["../../secret.h5"]}', r"'\.\./\.\./secret\.h5' is no name such as subject0000\.h5"),
    ],
)
def test_a_damaged_split_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    converter = _write(tmp_path, xgaze_columns())
    (tmp_path / "train_test_split.json").write_text(content)
    with pytest.raises(DataError, match=message):
        converter.persons()


def test_a_source_that_is_not_eth_xgaze_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no train/subject0000\.h5.*preprocessed release"):
        _converter(tmp_path).persons()
    _write(tmp_path, xgaze_columns())
    with pytest.raises(DataError, match="name the folder above the files"):
        _converter(tmp_path / "train").persons()


def test_options_of_other_data_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave the split out"):
        _converter(tmp_path, split="test")
    with pytest.raises(UsageError, match="no blinks"):
        _converter(tmp_path, largest_blink=0.5)
    with pytest.raises(UsageError, match="ETH-XGaze has no option subset"):
        _converter(tmp_path, subset="all")


def test_blocks_are_bounded_in_bytes_whatever_the_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eth_xgaze, "_BLOCK_BYTES", 64 << 10)
    converter = _write(tmp_path, xgaze_columns(600, size=32))
    tracemalloc.start()
    try:
        blocks = [len(block["image"]) for block in converter.blocks("subject0003", Tally())]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(blocks) == (64 << 10) // (32 * 32 * 3)
    assert sum(blocks) == 600
    assert peak < 600 * 32 * 32 * 3


@pytest.mark.parametrize("name", ["subject0007.h5.gz", "subject0007.zip"])
def test_a_person_who_is_still_packed_is_named(tmp_path: Path, name: str) -> None:
    converter = _write(tmp_path, xgaze_columns())
    (tmp_path / "train" / name).write_bytes(b"x")
    (tmp_path / "train" / "subject0003.zip").write_bytes(b"its archive may stay beside it")
    assert converter.persons() == ["subject0003", "subject0007"]
    with pytest.raises(DataError, match=rf"{name} is still packed; unpack it"):
        read_person(converter, "subject0007")
