from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from originals import encode, photograph
from privateyes.tasks.gaze.prepare.jpeg import fault_of_jpeg

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
    "remarks that look like markers": {"comment": b"\xff\xda\x00\x02\xff\x60" * 20},
    "bad quality": {"quality": 5},
}


def _jpeg(kind: str) -> bytes:
    return encode(photograph(96, 128), "JPEG", **KINDS[kind])


def _scan(content: bytes) -> int:
    """Where the picture data of the last scan are well under way."""
    return content.rindex(b"\xff\xda") + 40


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_of_every_kind_have_no_fault(kind: str) -> None:
    assert fault_of_jpeg(_jpeg(kind)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_marker_that_cannot_stand_in_picture_data_is_a_fault(kind: str) -> None:
    content = _jpeg(kind)
    place = _scan(content)
    damaged = content[:place] + b"\x12\xff\x60\x34" + content[place + 4 :]
    assert fault_of_jpeg(damaged) == f"an impossible marker at byte {place + 1}"


def test_a_table_in_the_middle_of_picture_data_is_a_fault_unless_a_marker_follows_it() -> None:
    content = _jpeg("plain")
    place = _scan(content)
    damaged = content[:place] + b"\xff\xdb\x00\x05" + b"\x11" * 8 + content[place + 12 :]
    assert fault_of_jpeg(damaged) == f"byte {place + 7} is no marker"


def test_restart_markers_have_their_order_and_are_announced() -> None:
    plain, restarts = _jpeg("plain"), _jpeg("restarts")
    place = _scan(plain)
    assert fault_of_jpeg(plain[:place] + b"\xff\xd0" + plain[place + 2 :]) is not None
    second = restarts.index(b"\xff\xd1")
    damaged = restarts[:second] + b"\xff\xd5" + restarts[second + 2 :]
    assert fault_of_jpeg(damaged) == f"a restart marker out of order at byte {second}"


def test_what_follows_the_end_is_nobodys_business_and_neither_are_other_formats() -> None:
    assert fault_of_jpeg(_jpeg("plain") + b"\xff\x60 another picture") is None
    assert fault_of_jpeg(encode(photograph())) is None
    assert fault_of_jpeg(b"") is None


def test_most_blocks_of_random_bytes_are_found() -> None:
    rng = np.random.default_rng(3)
    good = encode(photograph(200, 200), "JPEG")
    found = 0
    for _ in range(100):
        damaged = bytearray(good)
        start = int(rng.integers(_scan(good), len(good) - 500))
        damaged[start : start + 400] = rng.bytes(400)
        found += fault_of_jpeg(bytes(damaged)) is not None
    assert found > 60
