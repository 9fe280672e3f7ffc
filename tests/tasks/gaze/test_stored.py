from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.stored import outline_of_frames, read_part, read_rows, require_readable

COUNT, SHAPE = 50, (9, 15, 3)
CHUNKS: list[Any] = [None, (7, 9, 15, 3), (16, 4, 15, 3), (16, 4, 6, 1), (50, 9, 15, 3), (1, 9, 15, 3), True]


@pytest.fixture(params=CHUNKS, ids=str)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Pictures in chunks of a few rows, of parts of pictures, of everything; or in one piece, or as h5py likes them."""
    pictures = np.random.default_rng(1).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
    packed = {} if request.param is None else {"chunks": request.param, "compression": "gzip"}
    with h5py.File(tmp_path / "pictures.h5", "w") as file:
        yield file.create_dataset("image", data=pictures, **packed)


@pytest.mark.parametrize(
    "rows", [[3], [49, 0, 17], [5, 5, 48, 5], [4, 5, 6, 7, 8, 9], [9, 8, 7], list(range(COUNT)), [0, 2, 4, 30, 31], []]
)
def test_rows_come_in_the_order_that_was_asked_for_however_they_are_packed(stored: Any, rows: list[int]) -> None:
    found = read_rows("here", stored, np.array(rows, dtype=np.int64))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, stored[()][rows].reshape(-1, *SHAPE))


def test_no_chunk_is_unpacked_twice_for_one_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reads: list[tuple[int, int]] = []

    class Noted:
        def __init__(self, dataset: Any) -> None:
            self.shape, self.dtype, self.chunks, self._dataset = dataset.shape, dataset.dtype, dataset.chunks, dataset

        def __getitem__(self, key: tuple[slice, slice]) -> Any:
            reads.append((key[0].start // 8, key[1].start // 4))
            assert key[0].start // 8 == (key[0].stop - 1) // 8
            return self._dataset[key]

    with h5py.File(tmp_path / "pictures.h5", "w") as file:
        dataset = file.create_dataset("image", (32, 8, 5), np.uint8, chunks=(8, 4, 2), compression="gzip")
        read_rows("here", Noted(dataset), np.array([31, 0, 25, 7, 3, 30]))
    assert sorted(reads) == [(0, 0), (0, 1), (3, 0), (3, 1)]


def test_damaged_rows_are_refused_and_say_where(tmp_path: Path) -> None:
    path = tmp_path / "pictures.h5"
    with h5py.File(path, "w") as file:
        pictures = np.random.default_rng(1).integers(0, 256, (20, 30, 30), dtype=np.uint8)
        dataset = file.create_dataset("image", data=pictures, chunks=(2, 30, 30), compression="gzip")
        chunk = dataset.id.get_chunk_info(5)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes(chunk.size))
    with h5py.File(path) as file:
        assert len(read_rows("here", file["image"], np.array([0, 9, 3]))) == 3
        with pytest.raises(DataError, match=r"here: the data cannot be read .*; the file is damaged"):
            read_rows("here", file["image"], np.array([0, 10, 3]))


def test_no_chunk_is_unpacked_twice_to_see_whether_all_can_be_read(stored: Any) -> None:
    reads: list[Any] = []

    class Noted:
        shape, chunks = stored.shape, stored.chunks

        def iter_chunks(self) -> Any:
            return stored.iter_chunks()

        def __getitem__(self, key: Any) -> Any:
            found = stored[key]
            reads.append(found)
            return found

    require_readable("here", Noted(), 3 * 9 * 15 * 3)
    assert sum(found.size for found in reads) == stored.size
    assert all(len(found) <= max(3, (stored.chunks or (0,))[0]) for found in reads)


@pytest.mark.parametrize("chunks", [(2, 30, 30), (2, 15, 8)])
def test_damage_anywhere_is_found(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    path = tmp_path / "pictures.h5"
    with h5py.File(path, "w") as file:
        pictures = np.random.default_rng(1).integers(0, 256, (20, 30, 30), dtype=np.uint8)
        dataset = file.create_dataset("image", data=pictures, chunks=chunks, compression="gzip")
        require_readable("here", dataset, 4000)
        chunk = dataset.id.get_chunk_info(dataset.id.get_num_chunks() - 1)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(bytes(chunk.size))
    with h5py.File(path) as file, pytest.raises(DataError, match="here: the data cannot be read"):
        require_readable("here", file["image"], 4000)


@pytest.mark.parametrize("content", [["a", "b" * 300, "c"], [["a", "b"], ["c", "d"]], [1, 2, 3], []])
def test_the_outline_of_texts_breaks_the_same_rules_as_the_texts(tmp_path: Path, content: list[Any]) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        text = not content or not isinstance(content[0], int)
        kind = h5py.string_dtype() if text else np.int32
        dataset = file.create_dataset("frame", data=np.array(content, dtype=object if text else kind), dtype=kind)
        outline, whole = outline_of_frames("here", dataset), read_part("here", "frame", dataset)
    assert (outline.shape, outline.dtype) == (whole.shape, whole.dtype)
