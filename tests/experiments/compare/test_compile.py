from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Finished = tuple[Path, Mapping[str, Any]]


def _lines(folder: Path, method: str) -> list[list[dict[str, Any]]]:
    """Metrics lines of a method, run by run."""
    texts = [path.read_text() for path in sorted(folder.glob("seed-*/*/metrics.jsonl"))]
    return [[line for line in map(json.loads, text.splitlines()) if line["method"] == method] for text in texts]


def test_errors_are_those_of_the_last_round(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    for entry in results["methods"]:
        last = [run[-1]["mean_error"] for run in _lines(folder, entry["method"])]
        assert entry["mean"] == pytest.approx(np.mean(last))
        assert entry["curve"][-1]["error"] == pytest.approx(np.mean(last))
        assert entry["curve"][-1]["round"] == 2


def test_costs_are_sums_and_means_of_the_rounds(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    rows = {entry["method"]: entry for entry in results["methods"]}
    for method in ("federated", "private"):
        runs, row = _lines(folder, method), rows[method]
        lines = [line for run in runs for line in run]
        sent = [sum(line["bytes_up_per_client"] + line["bytes_down_per_client"] for line in run) * 4 for run in runs]
        assert row["bytes"]["per_run"] == pytest.approx(np.mean(sent))
        assert row["bytes"]["up_per_client_round"] == pytest.approx(np.mean([x["bytes_up_per_client"] for x in lines]))
        assert row["seconds"]["cpu_per_run"] == pytest.approx(np.mean([sum(x["seconds_cpu"] for x in r) for r in runs]))
        assert row["seconds"]["per_round_exchange"] == pytest.approx(np.mean([x["seconds_exchange"] for x in lines]))


def test_pooling_uploads_everybodys_images_once(finished_comparison: Finished) -> None:
    _, results = finished_comparison
    sizes = next(entry for entry in results["methods"] if entry["method"] == "centralised")["bytes"]
    assert sizes["up_per_client_once"] > 24 * 9 * 15
    assert sizes["per_run"] == pytest.approx(4 * sizes["up_per_client_once"])


def test_energy_is_marked_as_an_estimate_and_follows_from_processor_seconds(finished_comparison: Finished) -> None:
    for entry in finished_comparison[1]["methods"]:
        energy = entry["energy_wh"]
        assert energy["estimate"] is True
        assert energy["per_run"] == pytest.approx(entry["seconds"]["cpu_per_run"] * energy["watts_per_core"] / 3600)


def test_seconds_say_how_many_runs_shared_the_machine(finished_comparison: Finished) -> None:
    measured_on = finished_comparison[1]["measured_on"]
    assert measured_on["parallel"] == [2]
    assert "2 runs at a time" in measured_on["note"]


def test_differences_are_against_every_baseline_but_oneself(finished_comparison: Finished) -> None:
    results = finished_comparison[1]
    assert results["baselines"] == ["centralised", "federated"]
    rows = {entry["method"]: entry for entry in results["methods"]}
    assert list(rows["federated"]["differences"]) == ["centralised"]
    assert list(rows["private"]["differences"]) == ["centralised", "federated"]
    ours = rows["adaptive"]["differences"]["federated"]["mean"]
    assert ours == pytest.approx(rows["adaptive"]["mean"] - rows["federated"]["mean"])
