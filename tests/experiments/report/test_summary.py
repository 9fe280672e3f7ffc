"""What the files say, ready to be shown."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.experiments.report import summary
from privateyes.experiments.report.files import read_run

Maker = Callable[..., Path]


def test_a_finished_runs_table_is_that_of_its_results(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=3))
    shown = summary.summaries(files)
    assert files.results is not None
    assert [entry.method.key for entry in shown] == ["centralised", "local", "federated", "private"]
    assert [entry.mean_error for entry in shown] == [row.mean_error for row in files.results.rows]
    assert all(not entry.progress for entry in shown)


def test_an_unfinished_run_says_how_far_each_method_is(run_maker: Maker) -> None:
    shown = summary.summaries(read_run(run_maker(rounds=5, stop_after=("federated", 2))))
    assert [entry.progress for entry in shown] == ["", "", "round 2 of 5", "not begun"]
    assert shown[3].mean_error is None


def test_an_unfinished_methods_error_is_that_of_its_last_round(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=5, stop_after=("centralised", 3)))
    (entry, *_) = summary.summaries(files)
    assert entry.mean_error == pytest.approx(files.rounds[-1].mean_error)
    assert entry.spread == pytest.approx(statistics.stdev(files.rounds[-1].error.values()))


def without_errors(run: Path, *rounds: int) -> None:
    """As if these rounds had not been evaluated."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["round"] in rounds:
            del line["error"], line["mean_error"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rounds_that_were_not_evaluated_are_no_points_of_a_curve(run_maker: Maker) -> None:
    run = run_maker(rounds=4)
    without_errors(run, 1, 3)
    assert [[number for number, _ in curve.points] for curve in summary.curves(read_run(run))] == [[2, 4]] * 4


def test_an_unfinished_methods_error_is_the_last_that_was_measured(run_maker: Maker) -> None:
    run = run_maker(rounds=5, stop_after=("centralised", 3))
    without_errors(run, 1, 3)
    files = read_run(run)
    (entry, *_) = summary.summaries(files)
    assert entry.mean_error == pytest.approx(files.rounds[1].mean_error)
    assert entry.progress == "round 3 of 5"


def test_before_the_first_evaluation_there_is_no_error_and_no_curve(run_maker: Maker) -> None:
    run = run_maker(rounds=5, stop_after=("centralised", 3))
    without_errors(run, 1, 2, 3)
    files = read_run(run)
    assert summary.summaries(files)[0].mean_error is None
    assert summary.summaries(files)[0].progress == "round 3 of 5"
    assert summary.curves(files) == []


def test_a_method_that_was_asked_for_and_is_missing_is_named(run_maker: Maker) -> None:
    run = run_maker(rounds=2, methods=("federated",))
    text = (run / "experiment.toml").read_text().replace('["federated"]', '["federated", "private"]')
    (run / "experiment.toml").write_text(text)
    assert summary.summaries(read_run(run))[1].progress == "missing from results.json"


def test_curves_of_several_folds_are_means_over_the_complete_ones(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=4, folds=3, methods=("federated",), name="loo"))
    (curve,) = summary.curves(files)
    last = [line.mean_error for line in files.rounds if line.round == 4]
    assert curve.folds == 3
    assert [number for number, _ in curve.points] == [1, 2, 3, 4]
    assert curve.points[-1][1] == pytest.approx(statistics.fmean(last))


def test_a_fold_in_progress_does_not_bend_the_curve_of_the_complete_ones(run_maker: Maker) -> None:
    run = run_maker(rounds=4, folds=3, methods=("federated",), name="loo")
    (run / "results.json").unlink()
    path = run / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:6]))
    files = read_run(run)
    (curve,) = summary.curves(files)
    assert (curve.folds, len(curve.points)) == (1, 4)
    assert summary.summaries(files)[0].progress == "round 2 of 4 in fold 2"


def test_deviations_are_one_per_round_of_private_and_keep_their_bound(run_maker: Maker) -> None:
    found = summary.deviations(read_run(run_maker(rounds=4)))
    assert [entry.round for entry in found] == [1, 2, 3, 4]
    assert all(0 < entry.deviation < entry.bound for entry in found)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1.0", '"much"', "true", "null"])
def test_a_deviation_that_is_no_finite_number_is_passed_over(run_maker: Maker, value: str) -> None:
    path = run_maker(rounds=2) / "metrics.jsonl"
    path.write_text(re.sub(r'"deviation": [^,]*', f'"deviation": {value}', path.read_text()))
    assert summary.deviations(read_run(path.parent)) == []


def test_whether_the_roster_stayed_the_same_is_read_from_the_rounds(run_maker: Maker) -> None:
    run = run_maker(rounds=3)
    assert summary.same_roster(read_run(run)) is True
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], lines[-1].replace('"roster": ["r00", ', '"roster": [')]))
    assert summary.same_roster(read_run(run)) is False
    assert summary.same_roster(read_run(run_maker(rounds=3, methods=("federated",), name="plain"))) is None


def test_one_person_has_no_spread() -> None:
    assert summary.spread({"a": 5.0}) is None


def test_a_method_that_stopped_early_is_complete(run_maker: Maker) -> None:
    run = run_maker(rounds=5, stop_after=("federated", 2))
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert [entry.progress for entry in summary.summaries(read_run(run))][2] == "round 2 of 5"
    path.write_text("".join([*lines[:-1], lines[-1].replace('"fold"', '"stopped": true, "fold"', 1)]))
    files = read_run(run)
    assert [entry.progress for entry in summary.summaries(files)] == ["", "", "", "not begun"]
