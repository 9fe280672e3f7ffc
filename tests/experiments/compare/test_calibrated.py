from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.compare.calibrated import compile_calibration
from privateyes.experiments.compare.measured import FinishedRun, Measured
from privateyes.experiments.compare.plan import SubRun


def _run(seed: int, person: str, before: float, after: float, with_it: bool = True) -> FinishedRun:
    report: dict[str, Any] = {
        "method": "federated",
        "settings": {"samples": [1, 9], "adapt": "ridge", "draws": 20},
        "persons": [
            {"person": person, "uncalibrated": before, "by_k": {"1": {"mean": before}, "9": {"mean": after}}},
        ],
    }
    run = SubRun(seed, person, None, Path())  # type: ignore[arg-type]
    return FinishedRun(run, {"calibration": [report]} if with_it else {}, [], {})


def test_each_person_is_averaged_over_the_seeds_first() -> None:
    runs = (_run(1, "p00", 6.0, 3.0), _run(2, "p00", 8.0, 5.0), _run(1, "p01", 9.0, 4.0), _run(2, "p01", 9.0, 6.0))
    found = compile_calibration(Measured(runs, ()), ["federated"])
    assert found is not None
    (row,) = found["methods"]
    assert (row["uncalibrated"]["mean"], row["by_k"]["1"]["mean"], row["by_k"]["9"]["mean"]) == (8.0, 8.0, 4.5)
    # persons 4 and 5: half a unit times sqrt(2) / sqrt(2), times t for one degree of freedom
    assert row["by_k"]["9"]["interval"] == pytest.approx([4.5 - 6.353102368, 4.5 + 6.353102368])
    assert (found["samples"], found["adapt"], found["draws"]) == ([1, 9], "ridge", 20)


def test_runs_without_calibration_have_none() -> None:
    assert compile_calibration(Measured((_run(1, "p00", 6.0, 3.0, with_it=False),), ()), ["federated"]) is None
