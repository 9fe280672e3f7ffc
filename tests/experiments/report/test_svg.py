"""Scales, ticks, labels that do not overlap, and escaping in drawings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.experiments.report import svg


@given(st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_start_at_zero_cover_the_value_and_are_few(high: float, most: int) -> None:
    found = svg.ticks(high, most)
    assert found[0] == 0
    assert found[-1] >= high * (1 - 1e-6)
    assert len(found) <= most + 1


@given(st.integers(1, 5000))
def test_round_ticks_are_whole_ascend_and_end_with_the_last_round(rounds: int) -> None:
    found = svg.round_ticks(rounds)
    assert found == sorted(set(found))
    assert found[-1] == rounds
    assert len(found) <= 10


@given(st.lists(st.floats(0, 300), max_size=8))
def test_spread_labels_are_apart_in_order_and_inside(positions: list[float]) -> None:
    placed = svg.spread_labels(positions, 17, 0, 300)
    ascending = sorted(placed)
    assert all(b - a >= 17 - 1e-6 for a, b in pairwise(ascending))
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in placed)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    assert [placed[index] for index in order] == ascending


def test_labels_that_are_apart_already_stay_where_they_are() -> None:
    assert svg.spread_labels([10, 50, 90], 17, 0, 100) == [10, 50, 90]


def test_coinciding_labels_are_spread_around_their_place() -> None:
    assert svg.spread_labels([50, 50], 20, 0, 100) == [40, 60]


def test_a_scale_without_a_span_does_not_divide_by_zero() -> None:
    assert svg.Scale(3, 3, 10, 20)(3) == 10


def test_whatever_is_written_into_a_drawing_is_escaped() -> None:
    drawn = svg.drawing(10, 10, 'a "quoted" <b>', [svg.text(0, 0, "<script>")])
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
    assert 'aria-label="a &#34;quoted&#34; &lt;b&gt;"' in drawn


@pytest.mark.parametrize("width", [0, -1])
def test_an_empty_rectangle_is_left_out(width: float) -> None:
    assert svg.rectangle(0, 0, width, 5, "bar") == ""
