from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from privateyes.tasks.gaze.prepare import rows
from privateyes.tasks.gaze.prepare.converter import BLOCK_ROWS
from privateyes.tasks.gaze.prepare.rows import Row, in_blocks
from privateyes.tasks.gaze.prepare.tally import Tally


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for three of this file's rows."""
    monkeypatch.setattr(rows, "BLOCK_BYTES", 3 * 2 * 2 * 3 + 1)


def _rows(count: int, taken: list[int]) -> Iterator[Row]:
    for index in range(count):
        taken.append(index)
        yield {
            "image": np.full((2, 3), index % 256, dtype=np.uint8),
            "left": np.zeros((2, 3), dtype=np.uint8),
            "gaze": np.array([index, -index], dtype=np.float64),
            "frame": f"frame {index}",
        }


def test_rows_come_in_order_in_blocks_of_bounded_pictures() -> None:
    blocks = list(in_blocks(_rows(7, []), Tally()))
    assert [len(block["image"]) for block in blocks] == [3, 3, 1]
    assert np.concatenate([block["frame"] for block in blocks]).tolist() == [f"frame {index}" for index in range(7)]
    assert np.concatenate([block["image"] for block in blocks])[:, 0, 0].tolist() == list(range(7))


def test_a_row_larger_than_a_block_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1)
    assert [len(block["image"]) for block in in_blocks(_rows(3, []), Tally())] == [1, 1, 1]


def test_a_block_has_no_more_rows_than_a_converter_may_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1 << 30)
    assert [len(block["image"]) for block in in_blocks(_rows(BLOCK_ROWS + 1, []), Tally())] == [BLOCK_ROWS, 1]


def test_columns_are_of_the_layouts_types() -> None:
    block = next(iter(in_blocks(_rows(2, []), Tally())))
    assert block["image"].dtype == np.uint8
    assert block["gaze"].dtype == np.float32
    assert block["frame"].dtype.kind == "U"


def test_no_row_is_asked_for_before_its_block() -> None:
    taken: list[int] = []
    next(in_blocks(_rows(100, taken), Tally()))
    assert taken == [0, 1, 2]


def test_rows_are_counted_before_their_block_is_handed_over() -> None:
    tally = Tally()
    blocks = in_blocks(_rows(5, []), tally)
    next(blocks)
    assert tally.used == 3
    next(blocks)
    assert tally.used == 5


def test_no_rows_make_no_block() -> None:
    tally = Tally()
    assert list(in_blocks(iter(()), tally)) == []
    assert tally.used == 0
