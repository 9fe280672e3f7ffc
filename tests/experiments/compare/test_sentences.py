from __future__ import annotations

from typing import Any

import pytest

from privateyes.experiments.compare import sentences
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR


@pytest.mark.parametrize(
    ("number", "persons", "said"),
    [
        (1, "persons", "1 person"),
        (1474, "persons", "1,474 persons"),
        (2, "day blocks", "2 day blocks"),
        (1, "day blocks", "1 of the day blocks"),
    ],
)
def test_persons_are_counted_by_what_they_are(number: int, persons: str, said: str) -> None:
    assert sentences.counted(number, persons) == said


def test_what_was_compared_names_what_the_persons_are(comparison_results: dict[str, Any]) -> None:
    assert "2 persons, each left out once" in sentences.what(comparison_results)
    assert "2 day blocks, each left out once" in sentences.what({**comparison_results, "persons_are": "day blocks"})
    assert "2 day blocks to test on" in sentences.what(
        {**comparison_results, "persons_are": "day blocks", "folds": ["all"]}
    )


def test_the_method_says_over_what_its_intervals_are() -> None:
    assert "persons" not in sentences.procedure("persons", ANGULAR_ERROR)
    told = sentences.procedure("day blocks", ANGULAR_ERROR)
    assert told.pop("persons") == "What the data name as persons are day blocks here."
    assert told["interval"].startswith("95 % intervals are over day blocks:")
    assert "over all test day blocks" in told["targets"]
    assert not any("person" in sentence for sentence in told.values())


def test_relations_and_headline_speak_of_what_the_persons_are(comparison_results: dict[str, Any]) -> None:
    results = {**comparison_results, "persons_are": "day blocks"}
    told = [sentences.relation(entry, ANGULAR_ERROR, "day blocks") for entry in results["relations"]]
    assert any("day blocks" in sentence for sentence in told)
    assert not any("person" in sentence for sentence in [*told, sentences.headline(results)])


def test_an_interval_beyond_what_was_asked_depends_on_whom_was_tested(comparison_results: dict[str, Any]) -> None:
    entry = next(entry for entry in comparison_results["relations"] if entry["demand"] != "beside")
    told = sentences.relation({**entry, "holds": True, "interval_holds": False}, ANGULAR_ERROR, "day blocks")
    assert told.endswith("other day blocks could turn it around.")


def test_calibration_names_what_the_means_are_over(comparison_results: dict[str, Any]) -> None:
    found = {"samples": [1], "adapt": "ridge", "draws": 20, "methods": []}
    told = sentences.calibration({**comparison_results, "calibration": found, "persons_are": "day blocks"})
    assert told.startswith("Mean error over new day blocks and its 95 % interval after k labelled samples of each,")
    assert told.endswith("(ridge, mean of 20 draws); in degrees.")


def test_a_comparison_in_which_nothing_beats_the_mean_says_so_first(comparison_results: dict[str, Any]) -> None:
    worst = max(entry["mean"] for entry in comparison_results["methods"])
    best = min(entry["mean"] for entry in comparison_results["methods"])

    def with_predictor(error: float) -> dict[str, Any]:
        return {**comparison_results, "mean_predictor": {**comparison_results["mean_predictor"], "mean": error}}

    assert sentences.headline(with_predictor(best)).startswith(
        "No method is better than always answering with the mean"
    )
    assert sentences.worse_than_mean(with_predictor(worst + 1)) is None
    assert sentences.worse_than_mean(with_predictor(best + 1e-6)) is None


def test_clipping_is_told_over_all_runs(comparison_results: dict[str, Any]) -> None:
    assert sentences.clipping({**comparison_results, "clipping": None}) is None
    told = sentences.clipping({**comparison_results, "clipping": {"shortened": 2, "updates": 8}})
    assert told is not None
    assert "2 of 8 updates (25.0 %) were shortened" in told
