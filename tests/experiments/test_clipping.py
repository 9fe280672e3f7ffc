from __future__ import annotations

from typing import Any

import pytest

from privateyes.experiments.clipping import told_of_clipping


@pytest.mark.parametrize("equality", [None, {}, {"saturated": 0, "shortened": 0, "rounds": 3, "updates": 6}])
def test_where_nothing_was_clipped_nothing_is_told(equality: dict[str, Any] | None) -> None:
    assert told_of_clipping(equality) is None


def test_coordinates_and_updates_are_counted_with_their_share() -> None:
    told = told_of_clipping(
        {"saturated": 1, "coordinates": 60_000, "shortened": 6, "updates": 6, "clipped_rounds": 2, "rounds": 3}
    )
    assert told is not None
    assert "1 of 60,000 coordinates (below 0.1 %) was cut to aggregation.clip and" in told
    assert "6 of 6 updates (100.0 %) were shortened to aggregation.norm_clip in 2 of 3 rounds." in told


def test_a_file_of_an_earlier_version_tells_without_shares() -> None:
    told = told_of_clipping({"saturated": 1200, "shortened": 1})
    assert told is not None
    assert "1,200 coordinates were cut to aggregation.clip and 1 update was shortened" in told
    assert "rounds" not in told
