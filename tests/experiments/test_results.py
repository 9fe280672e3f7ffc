from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.experiments.record import RunDirectory
from privateyes.experiments.results import equality_of
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.metrics import mean_angular_error_deg


@pytest.fixture
def results(finished_run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished_run / "results.json").read_text())
    return content


def test_a_row_holds_the_last_rounds_errors(results: dict[str, Any], finished_run: Path) -> None:
    lines = RunDirectory(finished_run).read_metrics()
    for row in results["rows"]:
        last = next(line for line in lines if line["method"] == row["method"] and line["round"] == 2)
        assert row["per_person"] == last["error"]
        errors = list(row["per_person"].values())
        assert row["mean_error"] == pytest.approx(np.mean(errors))
        assert row["spread"] == pytest.approx(abs(errors[0] - errors[1]) / np.sqrt(2))


def test_centralised_uploads_all_images_once(results: dict[str, Any]) -> None:
    once = {row["method"]: row["bytes_up_per_client_once"] for row in results["rows"]}
    assert once == {"centralised": 24 * (9 * 15 + 16), "local": 0.0, "federated": 0.0}


def test_the_mean_predictor_answers_with_the_training_persons_mean(results: dict[str, Any], eyes: Path) -> None:
    gaze = {person.name: person.gaze for person in load_persons(eyes)}
    mean = np.concatenate([gaze["p00"], gaze["p01"], gaze["p02"]]).mean(axis=0)
    expected = mean_angular_error_deg(np.tile(mean, (24, 1)), gaze["p03"])
    assert results["mean_predictor"]["per_person"]["p03"] == pytest.approx(expected, rel=1e-5)


def test_samples_show_test_persons_with_every_methods_prediction(finished_run: Path, eyes: Path) -> None:
    persons = {person.name: person for person in load_persons(eyes)}
    with np.load(finished_run / "samples.npz", allow_pickle=False) as samples:
        assert sorted(set(samples["person"].tolist())) == ["p03", "p04"]
        assert samples["images"].shape == (12, 9, 15)
        for method in ("centralised", "local", "federated"):
            assert samples[f"predicted_{method}"].shape == (12, 2)
        for image, name, true in zip(samples["images"], samples["person"], samples["true"], strict=True):
            person = persons[str(name)]
            rows = np.flatnonzero((person.gaze == true).all(axis=1))
            assert any(np.array_equal(person.image[row], image) for row in rows)


def test_equality_takes_the_worst_round() -> None:
    details = [
        {"deviation": 1e-9, "deviation_bound": 4e-9, "saturated": 0, "shortened": 1, "roster": ["a", "b"]},
        {"deviation": 2e-9, "deviation_bound": 3e-9, "saturated": 2, "shortened": 2, "roster": ["a"]},
        {"deviation": 1e-9, "deviation_bound": 3e-9, "saturated": 0, "shortened": 0, "roster": ["a", "b"]},
    ]
    metrics = [{"method": "private", "details": entry} for entry in details] + [{"method": "federated", "details": {}}]
    equality = equality_of(metrics, {"private": 5.01, "federated": 5.0}, parameters=10)
    assert equality is not None
    assert equality["largest_deviation"] == 2e-9
    assert equality["bound"] == 4e-9
    assert equality["ratio"] == pytest.approx(2 / 3)
    assert (equality["saturated"], equality["shortened"]) == (2, 3)
    assert (equality["clipped_rounds"], equality["rounds"]) == (2, 3)
    assert (equality["updates"], equality["coordinates"]) == (5, 50)
    assert equality["error_difference"] == pytest.approx(0.01)


def test_without_private_there_is_no_equality(results: dict[str, Any]) -> None:
    assert results["equality"] is None
    assert results["replay"] is None
