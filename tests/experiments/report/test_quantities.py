"""Quantities as people read them."""

from __future__ import annotations

import pytest

from privateyes.experiments.report import quantities
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (5.4249, "5.42°"),
        (0.0, "0.00°"),
        (3.1e-5, "0.000031°"),
        (3.14e-9, "3.1 × 10⁻⁹°"),
        (0.0049837, "0.005°"),
        (-0.0012345, "−0.0012°"),
        (1.04e-6, "0.000001°"),
        (-1.5, "−1.50°"),
        (14, "14.00°"),
    ],
)
def test_an_error_is_never_rounded_to_zero_unless_it_is_zero(value: float, written: str) -> None:
    assert quantities.error(value, ANGULAR_ERROR) == written
    assert quantities.error(value, DISTANCE) == written.replace("°", " cm")


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (96, "96 B"), (308192, "308.2 kB"), (999_960, "1.0 MB"), (1.5e6, "1.5 MB"), (2e9, "2.0 GB")],
)
def test_sizes_keep_one_decimal_and_never_reach_a_thousand_of_a_unit(value: float, written: str) -> None:
    assert quantities.data_size(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0, "0 s"), (0.004, "4.0 ms"), (0.04, "40 ms"), (1.316, "1.32 s"), (75.2, "75.2 s")]
)
def test_short_times_are_in_milliseconds(value: float, written: str) -> None:
    assert quantities.seconds(value) == written


def test_powers_of_ten_are_set_with_raised_digits() -> None:
    assert quantities.scientific(1.24e-9) == "1.2 × 10⁻⁹"
    assert quantities.scientific(-3e12) == "−3.0 × 10¹²"
    assert quantities.scientific(0) == "0"


def test_counted_things_have_the_right_number() -> None:
    assert quantities.count(1, "person", "people") == "1 person"
    assert quantities.count(77046, "parameter") == "77,046 parameters"
