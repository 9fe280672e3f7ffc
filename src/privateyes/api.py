"""What the command line does, as functions: a file or a table in, a typed result out.

``import privateyes as pe`` reaches all of it, and what a task adds (`tasks.gaze.api`); docs/python.md has an example
of each.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from privateyes.errors import RunDirectoryError, TrainingError, UsageError
from privateyes.experiments.calibrate import CalibrationReport, calibrate_run, write_calibration
from privateyes.experiments.compare.folder import ComparisonFolder, locate_comparison
from privateyes.experiments.compare.run import read_comparison, run_comparison
from privateyes.experiments.evaluate import Evaluation, evaluate_run
from privateyes.experiments.locate import locate_experiment
from privateyes.experiments.report import write_report
from privateyes.experiments.report.files import read_run
from privateyes.experiments.report.schema import Results, Row
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, spec_from_tree
from privateyes.training.calibration_settings import CalibrationSettings

Place: TypeAlias = str | os.PathLike[str]
"""A path."""
Experiment: TypeAlias = Place | Mapping[str, Any]
"""A TOML file's path, or its tables as ``tomllib`` gives them, with paths that start at the working directory."""
_W = TypeVar("_W", Row, "ComparedMethod")


@dataclass(frozen=True, slots=True)
class Run:
    """A run and what it came to.

    Attributes:
        directory: everything that it wrote; ``report.html`` is its page.
        results: what ``results.json`` holds; its ``rows`` are the methods, its errors in its ``unit``.
    """

    directory: Path
    results: Results

    def row(self, method: str) -> Row:
        """One method's results.

        Raises:
            UsageError: the run has no such method.
        """
        return _row_of(self.results.rows, method)

    def frame(self) -> Any:
        """Errors as a pandas DataFrame, persons down and methods across; see `as_frame`."""
        return as_frame({row.method: row.per_person for row in self.results.rows})


@dataclass(frozen=True, slots=True)
class ComparedMethod:
    """One method in a comparison.

    Attributes:
        method: its name in the experiment.
        mean: the error, over persons and seeds, in the comparison's unit.
        interval: of 95 %, over persons.
        per_person: person -> mean error over the seeds.
        per_seed: the mean error of each seed.
    """

    method: str
    mean: float
    interval: tuple[float, float] | None
    per_person: Mapping[str, float]
    per_seed: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison and what it came to.

    Attributes:
        directory: everything that it wrote; ``comparison.html`` is its page.
        unit: of the errors: the key of the task's first metric, such as "deg".
        rows: the methods.
        failures: the runs that stopped, and why.
    """

    directory: Path
    unit: str
    rows: tuple[ComparedMethod, ...]
    failures: Mapping[str, str]

    def row(self, method: str) -> ComparedMethod:
        """One method's results.

        Raises:
            UsageError: the comparison has no such method.
        """
        return _row_of(self.rows, method)

    def frame(self) -> Any:
        """Errors as a pandas DataFrame, persons down and methods across; see `as_frame`."""
        return as_frame({row.method: row.per_person for row in self.rows})


def train(experiment: Experiment, out: Place | None = None, *, data: Place | None = None, resume: bool = False) -> Run:
    """Train the methods that an experiment names (`privateyes train`).

    Call it below ``if __name__ == "__main__":`` in a script, as everything that starts processes.

    Args:
        experiment: a TOML file, its tables, or to resume a run's directory.
        out: the run's directory; ``runs/<name>`` if None.
        data: a data file in place of the experiment's.
        resume: whether to continue a run that was stopped.

    Raises:
        UsageError: data, experiment or directory cannot be used; nothing is written then.
        TrainingError: training diverged.
        ProtocolError: a party of the secure aggregation stopped.
    """
    _refuse_worker()
    spec, directory = _located(experiment, out, data, resume)
    run_experiment(spec, directory, _Silent(), resume)
    write_report(directory)
    return open_run(directory)


def open_run(directory: Place) -> Run:
    """A run that was finished before.

    Raises:
        RunDirectoryError: the directory holds none.
    """
    results = read_run(Path(directory), with_samples=False).results
    if results is None:
        raise RunDirectoryError(f"{directory}: its run is not finished", "train with resume=True")
    return Run(Path(directory), results)


def compare(
    experiment: Experiment, out: Place | None = None, *, data: Place | None = None, resume: bool = False
) -> Comparison:
    """Train every method for several seeds and all folds, with equal budgets (`privateyes compare`).

    Args:
        experiment, out, data, resume: as for `train`; the directory is ``runs/compare-<name>`` if None.

    Raises:
        UsageError: data, experiment or directory cannot be used; nothing is written then.
        TrainingError: every run stopped.
    """
    _refuse_worker()
    if isinstance(experiment, Mapping):
        spec = _from_tables(experiment, data)
        folder = ComparisonFolder(Path("runs") / f"compare-{spec.name}" if out is None else Path(out))
    else:
        spec, folder = locate_comparison(Path(experiment), _path(out), _path(data), resume, False)
    outcome = run_comparison(spec, folder, _Silent(), resume)
    failures = {failure.run.name: failure.problem for failure in outcome.failures}
    if outcome.results is None:
        first = next(iter(failures.items()), ("every run", "it stopped"))
        raise TrainingError(f"no run of {folder.path} was finished; {first[0]}: {first[1]}", "see its first run's log")
    return _comparison(folder.path, outcome.results, failures)


def open_comparison(directory: Place) -> Comparison:
    """A comparison that was made before, as far as it went.

    Raises:
        RunDirectoryError: the directory holds none, or no finished run.
    """
    folder = ComparisonFolder(Path(directory))
    results = read_comparison(folder.read_spec(), folder).results or {}
    return _comparison(folder.path, results, {})


def evaluate(
    run: Place,
    *,
    method: str | None = None,
    fold: str | None = None,
    data: Place | None = None,
    persons: Sequence[str] | None = None,
) -> Evaluation:
    """Test a run's model person by person (`privateyes evaluate`); see `evaluate_run` for arguments and errors."""
    _refuse_worker()
    return evaluate_run(Path(run), method, fold, _path(data), persons)


def calibrate(
    run: Place,
    settings: CalibrationSettings | None = None,
    *,
    method: str | None = None,
    fold: str | None = None,
    persons: Sequence[str] | None = None,
) -> CalibrationReport:
    """What a few labelled images of a new person are worth (`privateyes calibrate`); the run's folder keeps it, too.

    Arguments and errors are those of `calibrate_run`.
    """
    report = calibrate_run(Path(run), settings, method, fold, persons)
    write_calibration(Path(run), report)
    return report


class _Rows(Protocol):
    """A result of rows, such as `tasks.gaze.predict.estimates.Predictions`."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def rows(self) -> Sequence[Sequence[Any]]: ...


def as_frame(columns: Mapping[str, Mapping[str, Any]] | _Rows) -> Any:
    """A result as a pandas DataFrame, for those who have pandas.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas as pd  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError("pandas is not installed", "pip install pandas, or use the result's own fields") from error
    if isinstance(columns, Mapping):
        return pd.DataFrame({name: dict(column) for name, column in columns.items()})
    return pd.DataFrame(columns.rows, columns=list(columns.columns))


class _Silent:
    """Is told how training goes on, and says nothing."""

    def note(self, text: str) -> None: ...

    def planned(self, *counts: int) -> None: ...

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None: ...

    def method_finished(self, fold: str, method: str) -> None: ...

    def run_started(self, name: str, rounds: int) -> None: ...

    def round_done(self, *what: Any) -> None: ...

    def step_done(self, fold: str, done: int, steps: int) -> None: ...

    def run_finished(self, name: str, seconds: float) -> None: ...

    def run_failed(self, name: str, problem: str) -> None: ...


def _refuse_worker() -> None:
    """A worker process imports the script that started it: what stands there unguarded would begin once more."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError("a script starts training while it is imported", 'put it below if __name__ == "__main__":')


def _located(
    experiment: Experiment, out: Place | None, data: Place | None, resume: bool
) -> tuple[ExperimentSpec, Path]:
    if not isinstance(experiment, Mapping):
        return locate_experiment(Path(experiment), _path(out), _path(data), resume)
    spec = _from_tables(experiment, data)
    return spec, Path("runs") / spec.name if out is None else Path(out)


def _from_tables(tables: Mapping[str, Any], data: Place | None) -> ExperimentSpec:
    return spec_from_tree(dict(tables), "the experiment", Path(), _path(data))


def _path(given: Place | None) -> Path | None:
    return None if given is None else Path(given)


def _comparison(directory: Path, results: Mapping[str, Any], failures: Mapping[str, str]) -> Comparison:
    rows = [
        ComparedMethod(
            own["method"], own["mean"], own["interval"] and tuple(own["interval"]), own["per_person"], own["per_seed"]
        )
        for own in results["methods"]
    ]
    return Comparison(directory, results["unit"], tuple(rows), failures)


def _row_of(rows: Sequence[_W], method: str) -> _W:
    for row in rows:
        if row.method == method:
            return row
    raise UsageError(f"there is no method {method} in it", f"it has {', '.join(row.method for row in rows)}")
