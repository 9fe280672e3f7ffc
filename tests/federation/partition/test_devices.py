from __future__ import annotations

import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.federation.partition import PersonRows
from privateyes.federation.partition.devices import block_note, device_parts

LABELS = np.zeros((12, 2))


def parts(blocks: int = 2, **columns: object) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in device_parts("p", PersonRows(LABELS, **columns), blocks).items()}  # type: ignore[arg-type]


def test_the_device_column_decides_whatever_else_is_there() -> None:
    device = np.array([1, 0] * 6)
    found = parts(3, device=device, device_names=("iPhone 6s/Plus", "iPad"), day=np.arange(12))
    assert found == {"iPhone-6s-Plus": [1, 3, 5, 7, 9, 11], "iPad": [0, 2, 4, 6, 8, 10]}


@pytest.mark.parametrize("names", [(), ("a",), ("a!", "a?"), ("..", "--")])
def test_devices_without_readable_and_different_names_are_numbered(names: tuple[str, ...]) -> None:
    found = parts(device=np.array([0] * 5 + [1] * 7), device_names=names)
    assert list(found) in (["d0", "d1"], ["a", "d1"])
    assert list(found.values()) == [list(range(5)), list(range(5, 12))]


def test_days_are_kept_whole_and_in_order_in_groups_of_about_equal_size() -> None:
    day = np.array([3, 3, 3, 3, 3, 3, 5, 5, 9, 9, 9, 9])
    assert parts(2, day=day) == {"d1": [0, 1, 2, 3, 4, 5], "d2": [6, 7, 8, 9, 10, 11]}
    assert parts(3, day=day) == {"d1": [0, 1, 2, 3, 4, 5], "d2": [6, 7], "d3": [8, 9, 10, 11]}
    assert parts(2, day=day[::-1]) == {"d1": [6, 7, 8, 9, 10, 11], "d2": [0, 1, 2, 3, 4, 5]}


def test_every_group_has_a_day_however_uneven_the_days_are() -> None:
    assert parts(3, day=np.array([0] * 10 + [1, 2])) == {"d1": list(range(10)), "d2": [10], "d3": [11]}
    assert parts(3, day=np.array([0, 1] + [2] * 10)) == {"d1": [0], "d2": [1], "d3": list(range(2, 12))}


def test_too_few_days_are_refused() -> None:
    with pytest.raises(DataError, match="person p was recorded on 2 days, too few for 3 devices"):
        parts(3, day=np.array([1, 2] * 6))


def test_without_columns_a_device_is_a_block_of_rows() -> None:
    assert parts(3) == {"d1": [0, 1, 2, 3], "d2": [4, 5, 6, 7], "d3": [8, 9, 10, 11]}
    with pytest.raises(DataError, match="12 samples, too few for 13"):
        parts(13)


def test_blocks_are_taken_from_each_eye_so_that_every_device_sees_both() -> None:
    eye = np.array([0] * 6 + [1] * 6)
    assert parts(2, eye=eye) == {"d1": [0, 1, 2, 6, 7, 8], "d2": [3, 4, 5, 9, 10, 11]}


def test_a_note_says_how_devices_were_told_apart() -> None:
    blind, days = PersonRows(LABELS), PersonRows(LABELS, day=np.arange(12))
    assert "block of consecutive rows" in block_note({"p": blind, "q": days})
    assert "group of recording days" in block_note({"q": days})
    assert "a, b and 2 others" in block_note(dict.fromkeys("abcd", days))
    assert block_note({"p": PersonRows(LABELS, device=np.zeros(12, dtype=int))}) == ""
