from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare.measured import FinishedRun, Measured, read_measured
from privateyes.experiments.compare.plan import SubRun, plan_runs
from privateyes.experiments.spec import ExperimentSpec

Make = Callable[..., ExperimentSpec]


def _finished(seed: int, fold: str, unit: str = "deg") -> FinishedRun:
    return FinishedRun(SubRun(seed, fold, None, Path()), {"unit": unit}, [], {})  # type: ignore[arg-type]


def _missing(seed: int, fold: str) -> SubRun:
    return SubRun(seed, fold, None, Path())  # type: ignore[arg-type]


def test_only_whole_repetitions_count_as_seeds() -> None:
    done = (_finished(1, "a"), _finished(1, "b"), _finished(2, "a"))
    assert Measured(done, (_missing(2, "b"),)).seeds == [1]
    assert Measured(done[2:], (_missing(2, "b"),)).seeds == [2]


def test_runs_in_different_units_are_refused() -> None:
    assert Measured((_finished(1, "a", "cm"),), ()).metric.key == "cm"
    with pytest.raises(RunDirectoryError, match=r"different units \(cm, deg\)"):
        _ = Measured((_finished(1, "a"), _finished(2, "a", "cm")), ()).metric


def test_a_run_that_lost_its_metrics_is_named(
    finished_comparison: tuple[Path, Mapping[str, Any]], comparison_spec: Make, tmp_path: Path
) -> None:
    (run,) = plan_runs(comparison_spec(compare="seeds = [1, 2, 3]"), ["p00"], tmp_path, None)[:1]
    run.directory.mkdir(parents=True)
    source = finished_comparison[0] / "seed-1" / "p00"
    (run.directory / "results.json").write_bytes((source / "results.json").read_bytes())
    with pytest.raises(RunDirectoryError, match="no rounds of adaptive, centralised, federated, private"):
        read_measured([run])
