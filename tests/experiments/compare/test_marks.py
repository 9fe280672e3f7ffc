from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.experiments.compare.marks import amount, plain, span, ticks_between
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE


def test_amounts_have_their_unit_and_a_real_minus() -> None:
    assert amount(7.024, ANGULAR_ERROR) == "7.02°"
    assert amount(-0.5, DISTANCE, 1, signed=True) == "−0.5 cm"
    assert amount(0.25, ANGULAR_ERROR, signed=True) == "+0.25°"
    assert amount(None, ANGULAR_ERROR) == "–"


def test_there_is_no_negative_zero() -> None:
    assert plain(-0.0001, 2) == "0.00"
    assert plain(-0.0001, 2, signed=True) == "0.00"


def test_intervals_are_written_from_end_to_end() -> None:
    assert span([-1.0, 2.5], 2, signed=True) == "−1.00 to +2.50"
    assert span(None) == "–"


@given(low=st.floats(-1e4, 1e4), width=st.floats(0, 1e4), most=st.integers(3, 9))
def test_ticks_span_the_values_and_are_few(low: float, width: float, most: int) -> None:
    high = low + width
    ticks = ticks_between(low, high, most)
    slack = 1e-6 * max(abs(low), abs(high), 1e-3)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= most + 2
    assert ticks == sorted(set(ticks))


def test_ticks_are_round_numbers() -> None:
    assert ticks_between(5.3, 12.2, 7) == [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
    assert ticks_between(-0.02, 0.31, 4) == pytest.approx([-0.1, 0.0, 0.1, 0.2, 0.3, 0.4])
