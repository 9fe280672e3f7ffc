from __future__ import annotations

from typing import Any

import pytest

from privateyes.experiments.compare.measured import MethodRun
from privateyes.experiments.compare.targets import derived_targets, mean_curve, reached, seed_curves
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR


def _run(seed: int, fold: str, *errors: float, cpu: float = 0.5) -> MethodRun:
    lines: list[dict[str, Any]] = [
        {"round": number, "error": {fold: error}, "mean_error": error, "seconds": 9.0, "seconds_cpu": cpu}
        for number, error in enumerate(errors, start=1)
    ]
    return MethodRun(seed, fold, 4, tuple(lines))


RUNS = [
    _run(1, "a", 9.0, 7.0, 5.0),
    _run(1, "b", 9.0, 8.0, 6.0, cpu=1.5),
    _run(2, "a", 8.0, 5.0, 5.0),
    _run(2, "b", 8.0, 7.0, 7.0),
]
CURVES = seed_curves(RUNS, [1, 2])


def test_a_seeds_curve_joins_the_persons_of_all_folds() -> None:
    assert [point["error"] for point in CURVES[1]] == [9.0, 7.5, 5.5]
    assert [point["error"] for point in CURVES[2]] == [8.0, 6.0, 6.0]


def test_rounds_that_were_not_evaluated_are_no_points_and_their_seconds_count() -> None:
    lines = [dict(line) for line in _run(1, "a", 9.0, 7.0, 5.0, 4.0).lines]
    for index in (0, 2):
        del lines[index]["error"], lines[index]["mean_error"]
    run = MethodRun(1, "a", 4, tuple(lines))
    curves = seed_curves([run], [1])
    assert [(point["round"], point["error"], point["seconds"]) for point in curves[1]] == [(2, 7.0, 1.0), (4, 4.0, 2.0)]
    assert reached(5.0, [run], curves, ANGULAR_ERROR)["rounds"] == 4.0
    assert run.reached(8.0, ANGULAR_ERROR) == 1


def test_seconds_are_processor_seconds_and_the_mean_over_folds() -> None:
    assert [point["seconds"] for point in CURVES[1]] == [1.0, 2.0, 3.0]


def test_the_first_round_that_is_low_enough_counts() -> None:
    found = reached(7.5, RUNS, CURVES, ANGULAR_ERROR)
    assert (found["rounds"], found["seeds_reached"], found["seeds"]) == (2.0, 2, 2)
    assert found["seconds"] == pytest.approx((2.0 + 1.0) / 2)


def test_seeds_that_do_not_reach_an_error_are_counted_and_left_out_of_the_mean() -> None:
    found = reached(5.5, RUNS, CURVES, ANGULAR_ERROR)
    assert (found["rounds"], found["seeds_reached"], found["runs_reached"], found["runs"]) == (3.0, 1, 2, 4)


def test_an_error_that_nobody_reaches() -> None:
    found = reached(1.0, RUNS, CURVES, ANGULAR_ERROR)
    assert (found["rounds"], found["seconds"], found["seeds_reached"], found["runs_reached"]) == (None, None, 0, 0)


def test_the_mean_curve_has_the_range_of_the_seeds() -> None:
    points = mean_curve(CURVES)
    assert [(point["round"], point["error"], point["low"], point["high"]) for point in points] == [
        (1, 8.5, 8.0, 9.0),
        (2, 6.75, 6.0, 7.5),
        (3, 5.75, 5.5, 6.0),
    ]


def test_curves_of_seeds_that_stopped_early_end_with_the_shortest() -> None:
    assert len(mean_curve(seed_curves([_run(1, "a", 9.0, 8.0), _run(2, "a", 7.0)], [1, 2]))) == 1


def test_targets_are_derived_between_mean_predictor_and_best() -> None:
    assert derived_targets(10.0, 6.0, ANGULAR_ERROR) == [8.0, 7.0, 6.4]
    assert derived_targets(9.21, 6.37, ANGULAR_ERROR) == [7.8, 7.1, 6.7]


def test_where_nothing_is_gained_there_are_no_targets() -> None:
    assert derived_targets(6.0, 6.5, ANGULAR_ERROR) == []
