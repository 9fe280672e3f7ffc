"""What personal calibration does for every method's models, over all runs; where the experiment has [calibration].

In ``comparison.json``, under ``calibration``:

    samples    numbers k of labelled samples of a new person
    adapt, draws
    methods       for each method: method, uncalibrated and by_k {k}, each with mean, interval, sd_over_persons, persons
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privateyes.experiments.compare.intervals import estimate
from privateyes.experiments.compare.measured import Measured


def compile_calibration(measured: Measured, methods: Sequence[str]) -> dict[str, Any] | None:
    """Means over persons, each person's error averaged over the seeds first; None where nothing was calibrated."""
    reports = [report for entry in measured.finished for report in entry.results.get("calibration") or ()]
    if not reports:
        return None
    settings = reports[0]["settings"]
    samples = [int(k) for k in settings["samples"]]
    return {
        "samples": samples,
        "adapt": settings["adapt"],
        "draws": settings["draws"],
        "methods": [
            _row(method, [entry for entry in reports if entry["method"] == method], samples) for method in methods
        ],
    }


def _row(method: str, reports: Sequence[Mapping[str, Any]], samples: Sequence[int]) -> dict[str, Any]:
    persons = [person for report in reports for person in report["persons"]]

    def over_persons(k: int | None) -> dict[str, Any]:
        errors: dict[str, list[float]] = {}
        for person in persons:
            value = person["uncalibrated"] if k is None else person["by_k"][str(k)]["mean"]
            errors.setdefault(person["person"], []).append(value)
        return estimate([float(np.mean(values)) for values in errors.values()]).as_json()

    return {"method": method, "uncalibrated": over_persons(None), "by_k": {str(k): over_persons(k) for k in samples}}
