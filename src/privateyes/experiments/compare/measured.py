"""What the finished runs of a comparison recorded, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare.plan import SubRun
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.stopping import result_line
from privateyes.experiments.tasks import metric_of
from privateyes.training.metric import Metric

Errors = Mapping[str, Mapping[int, float]]
"""Person -> seed -> error of the final model."""


@dataclass(frozen=True, slots=True)
class MethodRun:
    """One method in one run.

    Attributes:
        seed, fold: which run.
        clients: how many train in this fold.
        lines: its metrics lines, by round.
    """

    seed: int
    fold: str
    clients: int
    lines: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> Mapping[str, Any]:
        """The line of the round whose model is its result: the last, or the best where validation persons decide."""
        return result_line(self.lines)

    def seconds(self, key: str = "seconds") -> list[float]:
        """Seconds until the end of each round: of a clock, or with `seconds_cpu` of processors."""
        return [float(value) for value in np.cumsum([line[key] for line in self.lines])]

    def bytes_sent(self) -> float:
        """Bytes up and down, of all clients that took part, over all rounds."""
        return float(
            sum(
                (line["bytes_up_per_client"] + line["bytes_down_per_client"]) * len(line["participation"]["arrived"])
                for line in self.lines
                if line["participation"]
            )
        )

    def reached(self, error: float, metric: Metric) -> int | None:
        """The index of the first round in which the fold's test persons are as good as `error`; None if none."""
        tested = ((index, line["mean_error"]) for index, line in enumerate(self.lines) if "mean_error" in line)
        return next((index for index, value in tested if not metric.better(error, value)), None)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: its ``results.json``, its metrics and its ``environment.json``."""

    run: SubRun
    results: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured so far.

    Attributes:
        finished: the finished runs, in the order of the plan.
        missing: the others.
    """

    finished: tuple[FinishedRun, ...]
    missing: tuple[SubRun, ...]

    def method(self, method: str) -> list[MethodRun]:
        """A method in all finished runs."""
        found = []
        for entry in self.finished:
            lines = sorted((line for line in entry.metrics if line["method"] == method), key=lambda line: line["round"])
            clients = int(entry.results["clients"]["count"])
            found.append(MethodRun(entry.run.seed, entry.run.fold, clients, tuple(lines)))
        return found

    def errors(self, method: str) -> Errors:
        """Errors of the final models on all test persons. No person is tested in two folds."""
        errors: dict[str, dict[int, float]] = {}
        for run in self.method(method):
            for person, error in run.last["error"].items():
                errors.setdefault(person, {})[run.seed] = float(error)
        return dict(sorted(errors.items()))

    def mean_predictor(self) -> dict[str, float]:
        """Person -> the error of always answering with the training persons' mean label; it has no seed."""
        found: dict[str, float] = {}
        for entry in self.finished:
            found.update(entry.results["mean_predictor"]["per_person"])
        return dict(sorted(found.items()))

    @property
    def seeds(self) -> list[int]:
        """The seeds of which every fold is finished; all that have begun while there is none."""
        begun = list(dict.fromkeys(entry.run.seed for entry in self.finished))
        open_ones = {run.seed for run in self.missing}
        return [seed for seed in begun if seed not in open_ones] or begun

    @property
    def metric(self) -> Metric:
        """What all errors are; at least one run is finished.

        Raises:
            RunDirectoryError: the runs measure in different units.
        """
        metrics = {metric.key: metric for metric in (metric_of(entry.results) for entry in self.finished)}
        if len(metrics) > 1:
            problem = f"the runs of this comparison measure in different units ({', '.join(sorted(metrics))})"
            raise RunDirectoryError(problem, "delete the directory and compare again")
        return next(iter(metrics.values()))


def read_measured(runs: Sequence[SubRun]) -> Measured:
    """Read the runs of a comparison.

    Raises:
        RunDirectoryError: a finished run's files are damaged.
    """
    finished, missing = [], []
    for run in runs:
        directory = RunDirectory(run.directory)
        results = directory.read_json("results.json")
        if results is None:
            missing.append(run)
            continue
        metrics = directory.read_metrics()
        _require_all_methods(run, metrics)
        finished.append(FinishedRun(run, results, metrics, directory.read_json("environment.json") or {}))
    return Measured(tuple(finished), tuple(missing))


def _require_all_methods(run: SubRun, metrics: Sequence[Mapping[str, Any]]) -> None:
    lost = set(run.spec.methods) - {line["method"] for line in metrics}
    if lost:
        problem = f"{run.directory} has results but no rounds of {', '.join(sorted(lost))} in its metrics.jsonl"
        raise RunDirectoryError(problem, "delete this run's directory and use --resume")
