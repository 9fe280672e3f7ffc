from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Finished = tuple[Path, Mapping[str, Any]]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_method_with_the_numbers_of_the_json(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    rows = _rows(folder / "comparison.csv")
    assert [row["method"] for row in rows] == [entry["method"] for entry in results["methods"]]
    for row, entry in zip(rows, results["methods"], strict=True):
        assert float(row["error_deg"]) == entry["mean"]
        assert [float(row["low_deg"]), float(row["high_deg"])] == entry["interval"]
        assert float(row["bytes_per_run"]) == entry["bytes"]["per_run"]


def test_every_single_error_is_there_and_gives_the_mean(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    rows = _rows(folder / "errors.csv")
    assert len(rows) == 4 * 2 * 3
    for entry in results["methods"]:
        errors = [float(row["error_deg"]) for row in rows if row["method"] == entry["method"]]
        assert np.mean(errors) == pytest.approx(entry["mean"])
