"""Charts: complete, labelled, and sound at their edges."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.experiments.report import charts, summary
from privateyes.experiments.report.files import read_run
from privateyes.experiments.report.methods import method
from privateyes.experiments.report.summary import Curve, Deviation, Summary
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE

Maker = Callable[..., Path]
DEGREES = ANGULAR_ERROR


@pytest.mark.parametrize("width", [charts.WIDE, charts.NARROW])
def test_every_curve_is_drawn_and_named_with_its_last_error(run_maker: Maker, width: int) -> None:
    found = summary.curves(read_run(run_maker(rounds=4)))
    drawn = charts.learning_curves(found, 4, 14.2, width, DEGREES)
    assert drawn.count("<polyline") == 4
    assert "mean gaze 14.20°" in drawn
    assert all(f">{curve.method.key} {curve.points[-1][1]:.2f}°<" in drawn for curve in found)


def test_points_of_gaze_are_drawn_in_centimetres() -> None:
    curve, centimetres = Curve(method("private"), ((1, 4.0), (2, 2.5)), 1), DISTANCE
    drawn = charts.learning_curves([curve], 2, 6.25, charts.WIDE, centimetres)
    assert "mean distance, cm" in drawn
    assert "mean point 6.25 cm" in drawn
    assert "private 2.50 cm" in drawn
    dots = charts.errors_per_person([Summary(method("private"), 2.5, None, {"p": 2.5})], charts.WIDE, centimetres)
    assert "mean distance" in dots
    assert "0 cm" in dots
    assert "°" not in drawn + dots


def test_a_curve_of_one_round_is_a_mark_without_faults() -> None:
    drawn = charts.learning_curves([Curve(method("private"), ((1, 9.0),), 1)], 1, None, charts.NARROW, DEGREES)
    assert "nan" not in drawn
    assert "private from 9.00° in round 1 to 9.00° in round 1" in drawn


def test_no_method_hides_its_counterpart_that_has_the_same_curve() -> None:
    points = tuple((number, 12.0 - number) for number in range(1, 9))
    found = [Curve(method(key), points, 1) for key in ("adaptive", "private-adaptive")]
    drawn = charts.learning_curves(found, 8, 14.2, charts.WIDE, DEGREES)
    lines = re.findall(r'<polyline [^>]*class="([\w-]+) turn line"[^>]*dasharray="([^"]+)"([^>]*)/>', drawn)
    assert [css for css, *_ in lines] == ["w-adaptive", "w-private-adaptive"]
    assert {dashes for _, dashes, _ in lines} == {"14 14"}
    assert ["dashoffset" in rest for *_, rest in lines] == [False, True], "they alternate"


@pytest.mark.parametrize("width", [charts.WIDE, charts.NARROW])
def test_all_names_stand_in_the_margin_after_their_marks_and_none_in_the_plot(width: int) -> None:
    broken = Curve(method("private"), ((1, 9.0), (2, 8.0)), 1)
    whole = Curve(method("federated"), tuple((number, 10.0 - number / 2) for number in range(1, 11)), 1)
    drawn = charts.learning_curves([broken, whole], 10, 12.0, width, DEGREES)
    places = {name: float(x) for x, name in re.findall(r'<text x="([\d.]+)"[^>]*>([a-z]+) [\d.]+°<', drawn)}
    right_end = max(
        float(x) for x in re.findall(r'class="grid"/><text|x2="([\d.]+)" y2="[\d.]+" class="grid"', drawn) if x
    )
    assert places["private"] > right_end
    assert places["federated"] > right_end
    assert drawn.count("w-federated leader") == 1
    assert "w-private leader" not in drawn


def test_a_curve_that_broke_off_has_no_leader_to_the_margin() -> None:
    broken = Curve(method("private"), ((1, 9.0), (2, 8.0)), 1)
    assert "leader" not in charts.learning_curves([broken], 10, None, charts.WIDE, DEGREES)


@pytest.mark.parametrize("width", [charts.WIDE, charts.NARROW])
def test_every_person_and_method_has_a_mark(run_maker: Maker, width: int) -> None:
    shown = summary.summaries(read_run(run_maker(rounds=2, folds=5, name="loo")))
    drawn = charts.errors_per_person(shown, width, DEGREES)
    # five people, a row of means, and the legend
    assert drawn.count('class="w-private fill"') == 5 + 1 + 1
    assert all(f">r{index:02}<" in drawn for index in range(5))


def test_a_long_or_hostile_name_is_cut_and_escaped() -> None:
    entry = Summary(method("private"), 5.0, None, {"<script>alert(document)</script>": 5.0})
    drawn = charts.errors_per_person([entry], charts.NARROW, DEGREES)
    assert "<script>" not in drawn
    assert "…" in drawn


def test_costs_of_nothing_are_drawn_as_nothing() -> None:
    idle = Summary(method("local"), 5.0, bytes_up=0, bytes_down=None)
    assert "<rect" not in charts.round_times([idle]) + charts.round_bytes([idle])


def test_the_costs_are_told_in_words_too(run_maker: Maker) -> None:
    shown = summary.summaries(read_run(run_maker(rounds=2)))
    assert "private 1.62 s, of these 1.31 s training + 0.31 s exchange" in charts.round_times(shown)
    assert "private 309.4 kB up, 314.6 kB down" in charts.round_bytes(shown)


def test_a_deviation_of_zero_fits_on_the_logarithmic_axis() -> None:
    drawn = charts.deviation_chart([Deviation(1, 0.0, 3e-9), Deviation(2, 4e-9, 3e-9)], 2)
    assert "1 of 2 rounds within it" in drawn
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_one_round_shows_its_bound_as_a_level() -> None:
    assert charts.deviation_chart([Deviation(1, 1e-9, 3e-9)], 1).count("<polyline") == 1
