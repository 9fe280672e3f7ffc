from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.stored import read_rows

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
