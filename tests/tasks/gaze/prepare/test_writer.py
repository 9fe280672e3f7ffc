from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare.converter import Block
from privateyes.tasks.gaze.prepare.tally import Tally
from privateyes.tasks.gaze.prepare.writer import Part, Record, read_record, write_part, write_record


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path, "p00")


def face_block(count: int = 5) -> dict[str, Any]:
    """Everything that the layout knows."""
    rows = np.arange(count)
    crops = np.zeros((count, 3, 4, 3), np.uint8) + rows[:, None, None, None].astype(np.uint8)
    return {
        "image": np.zeros((count, 6, 7, 3), np.uint8) + rows[:, None, None, None].astype(np.uint8),
        "left": crops, "right": crops[::-1],
        "gaze": np.float64(np.stack([rows, rows], 1)) / 100, "pose": np.zeros((count, 2), np.float32),
        "point": np.float32(np.stack([rows, -rows], 1)), "grid": np.tile([3, 4, 5, 6], (count, 1)),
        "eye": rows % 2, "day": rows, "device": rows * 0, "frame": [f"{row}.jpg" for row in rows],
    }  # fmt: skip


def blocks_of(tally: Tally, *blocks: Block) -> Generator[Block, None, None]:
    for block in blocks:
        tally.use(len(block["image"]))
        yield block


def test_every_column_is_appended_in_the_type_of_the_layout(part: Part) -> None:
    tally = Tally(attributes={"split": "val"})
    write_part(part, blocks_of(tally, face_block(), face_block(2)), tally, ["iPad"], None)
    assert tally.used == 7
    with h5py.File(part.data) as file:
        group = file["p00"]
        assert dict(group.attrs) == {"devices": '["iPad"]', "split": "val"}
        assert {len(group[name]) for name in group} == {7}
        types = {name: str(group[name].dtype) for name in group}
        assert types == {
            "image": "uint8", "left": "uint8", "right": "uint8", "gaze": "float32", "pose": "float32",
            "point": "float32", "grid": "int16", "eye": "uint8", "day": "uint16", "device": "uint16", "frame": "object",
        }  # fmt: skip
        assert group["frame"].asstr()[()].tolist() == [f"{row}.jpg" for row in (0, 1, 2, 3, 4, 0, 1)]
        assert group["image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 0, 1]
        assert group["image"].compression == "gzip"


def test_who_has_no_row_has_no_file_and_one_of_an_earlier_run_goes(part: Part) -> None:
    part.data.write_text("from before")
    tally = Tally()
    write_part(part, blocks_of(tally, face_block(0)), tally, [], None)
    assert list(part.folder.iterdir()) == []
    write_record(part, Record("stamp", tally, []))
    assert read_record(part) == Record("stamp", tally, [])


def test_a_record_without_its_data_is_none(part: Part) -> None:
    assert read_record(part) is None
    write_record(part, Record("stamp", Tally(used=3), []))
    assert read_record(part) is None
    part.data.write_text("")
    assert read_record(part) == Record("stamp", Tally(used=3), [])


def test_a_generator_is_closed_when_enough_rows_are_there(part: Part) -> None:
    closed = []

    def endless() -> Generator[Block, None, None]:
        try:
            while True:
                yield face_block()
        finally:
            closed.append(True)

    tally = Tally()
    write_part(part, endless(), tally, [], 12)
    assert closed == [True]
    assert tally.used == 12


def test_faults_of_the_disk_are_told_from_faults_of_a_source(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Generator[Block, None, None]:
        yield face_block()
        raise OSError(5, "Input/output error", "source.zip")

    with pytest.raises(OSError, match=r"source\.zip"):
        write_part(part, gone(), Tally(), [], None)

    def full(self: object, *arguments: object, **options: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(h5py.Dataset, "resize", full)
    with pytest.raises(DataError, match=r"p00\.h5 cannot be written .no space left.; free some space"):
        write_part(part, blocks_of(Tally(), face_block()), Tally(), [], None)
    assert list(part.folder.iterdir()) == []
