from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from privateyes.cli.tables import human_bytes, print_outcome
from privateyes.experiments.learned import learned


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (308192, "308.2 kB"), (7.3e6, "7.3 MB"), (2.5e12, "2500.0 GB")]
)
def test_bytes_are_told_in_units_that_people_read(count: float, text: str) -> None:
    assert human_bytes(count) == text


def row(method: str, up: float) -> dict[str, Any]:
    return {
        "method": method, "mean_error": 5.123, "spread": None, "seconds_per_round": 0.5,
        "bytes_up_per_client_round": up, "bytes_down_per_client_round": up, "bytes_up_per_client_once": 0.0,
        "learned": learned(method, 3),
    }  # fmt: skip


def test_the_outcome_tells_equality_and_replay(capsys: pytest.CaptureFixture[str]) -> None:
    equality = {"largest_deviation": 1.2e-9, "bound": 3.4e-9, "error_difference": 0.001}
    verdicts = [{"client": "a", "refused": True}, {"client": "b", "refused": False}]
    results = {
        "rows": [row("federated", 1000), row("private", 2000)],
        "mean_predictor": {"mean_error": 9.0},
        "equality": equality,
        "replay": {"altered_by": "aggregator 2", "verdicts": verdicts},
    }
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = capsys.readouterr().out
    assert "largest deviation 1.20e-09 of a bound of 3.40e-09" in text
    assert "in which aggregator 2 alters its share: 1 of 2 clients refused" in text
    assert "5.12°" in text
    assert "even if 2 of the 3" in " ".join(text.split())


def test_the_outcome_tells_how_much_was_clipped_and_what_the_bound_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    equality = {
        "largest_deviation": 1e-9, "bound": 3e-9, "error_difference": 77.0, "saturated": 0, "shortened": 3,
        "updates": 60, "coordinates": 600, "clipped_rounds": 2, "rounds": 10,
    }  # fmt: skip
    results = {
        "rows": [row("private", 2000)], "mean_predictor": {"mean_error": 9.0}, "equality": equality, "replay": None,
    }  # fmt: skip
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = capsys.readouterr().out
    assert "3 of 60 updates (5.0 %) were shortened to aggregation.norm_clip in 2 of 10 rounds" in text
    assert "The bound holds for the clipped updates alone" in text
    print_outcome({**results, "equality": {**equality, "shortened": 0}}, Path("runs/x"), Path("runs/x/report.html"))
    assert "clipped" not in capsys.readouterr().out


def test_the_outcome_tells_of_void_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row("federated", 1000), "void_rounds": 0}, {**row("private", 2000), "void_rounds": 3}]
    results = {"rows": rows, "mean_predictor": {"mean_error": 9.0}, "equality": None, "replay": None}
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = capsys.readouterr().out
    assert "private: 3 rounds void, for too few clients arrived" in text
    assert "federated: 0" not in text


def test_the_outcome_tells_which_method_ended_early(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row("federated", 1000), "converged": {}}, {**row("private", 2000), "converged": {"p00": 7, "p01": 4}}]
    results = {"rows": rows, "mean_predictor": {"mean_error": 9.0}, "equality": None, "replay": None}
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = capsys.readouterr().out
    assert "private: ended with round 7, 4: the model no longer changed" in text
    assert "federated: ended" not in text


def test_the_outcome_is_told_in_the_unit_of_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    results = {
        "unit": "cm", "rows": [row("federated", 1000)], "mean_predictor": {"mean_error": 9.0},
        "equality": {"largest_deviation": 1e-9, "bound": 3e-9, "error_difference": 0.001}, "replay": None,
    }  # fmt: skip
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = capsys.readouterr().out
    assert "5.12 cm" in text
    assert "9.00 cm" in text
    assert "0.0010 cm apart" in text
    assert "°" not in text
    assert "degree" not in text


def test_the_outcome_says_whose_errors_are_not_of_the_last_round(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = {**row("local", 0), "best_rounds": {"p00": 7, "p01": 4}, "rounds_run": {"p00": 9, "p01": 6}}
    results = {
        "rows": [row("federated", 1000), stopped], "mean_predictor": {"mean_error": 9.0}, "equality": None,
        "replay": None,
    }  # fmt: skip
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    text = " ".join(capsys.readouterr().out.split())
    assert "local: the model of rounds 7 of 9, 4 of 6, the best on the validation persons" in text
    assert "federated: the model" not in text


@pytest.mark.parametrize(("predictor", "said"), [(5.123, True), (5.2, False)])
def test_the_outcome_says_when_no_method_beats_the_mean_predictor(
    capsys: pytest.CaptureFixture[str], predictor: float, said: bool
) -> None:
    results = {
        "rows": [row("federated", 1000)], "mean_predictor": {"mean_error": predictor}, "equality": None, "replay": None,
    }  # fmt: skip
    print_outcome(results, Path("runs/x"), Path("runs/x/report.html"))
    assert ("no method is better than the mean predictor" in capsys.readouterr().out) == said
