"""Runs a comparison, or reads a finished one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privateyes.engines.local.thread_team import usable_cores
from privateyes.errors import RunDirectoryError
from privateyes.experiments.calibrate import require_enough
from privateyes.experiments.compare.compile import compile_comparison
from privateyes.experiments.compare.dispatch import (
    Failure,
    Observer,
    is_finished,
    rounds_done,
    run_all,
    tidy,
)
from privateyes.experiments.compare.files import write_tables
from privateyes.experiments.compare.folder import ComparisonFolder, check_runs
from privateyes.experiments.compare.measured import read_measured
from privateyes.experiments.compare.mpc import compile_mpc, train_mpc, wants_mpc
from privateyes.experiments.compare.page import write_page
from privateyes.experiments.compare.plan import SubRun, check_settings, plan_runs, settings_of, trained_methods
from privateyes.experiments.environment import sha256_of
from privateyes.experiments.mpc.plan import plan_mpc
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import RunDirectory, exclusive
from privateyes.experiments.run import require_data_file, warn_of_data
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.spec_tables import Compare
from privateyes.experiments.synthetic import data_of, make_data
from privateyes.experiments.tasks import task_of

RESULTS = "comparison.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a comparison ended.

    Attributes:
        results: what ``comparison.json`` holds; None where no run is finished.
        failures: the runs that stopped.
    """

    results: Mapping[str, Any] | None
    failures: tuple[Failure, ...]


def run_comparison(spec: ExperimentSpec, folder: ComparisonFolder, observer: Observer, resume: bool = False) -> Outcome:
    """Run everything that is not finished yet, and write what came out.

    A comparison that was killed and resumed ends with the same numbers, seconds aside, as one that was not; so does one
    with another number of runs at a time. A run that fails leaves the others alone.

    Args:
        spec: the experiment.
        folder: the comparison's directory; made if it is not there.
        observer: is told how it goes.
        resume: whether to continue a comparison that the directory holds.

    Raises:
        UsageError: data, configuration or directory cannot be used; if so before the start, nothing is written.
    """
    require_data_file(spec)
    folder.check(spec, resume)
    check_settings(spec)
    preparation = prepare(spec.model_copy(update={"methods": trained_methods(spec), "compare": None}))
    folds = [fold.name for fold in preparation.folds]
    require_enough(preparation)
    data = None if spec.data.synthetic is None else data_of(spec, folder.path)
    if wants_mpc(spec):
        plan_mpc(preparation, data or Path(spec.data.path or ""))  # refuses now what it would refuse after hours
    runs = plan_runs(spec, folds, folder.path, data)
    check_runs(runs, None if spec.data.path is None else sha256_of(Path(spec.data.path)))
    parallel = parallel_runs(spec, len(runs))
    folder.make()
    with exclusive(folder.path):
        folder.begin(spec, folds, parallel)
        if make_data(spec, folder.path):  # for all runs: else another seed would also mean other people
            observer.note(f"{task_of(spec).words.have_made} the persons of all runs into {data}")
        warn_of_data(preparation, observer)
        failures = _train(runs, parallel, settings_of(spec), observer)
        problem = None
        if wants_mpc(spec):
            problem = train_mpc(preparation, data or Path(spec.data.path or ""), folder.path, observer)
        return Outcome(_compile(spec, folder, runs, (failures, problem)), tuple(failures))


def read_comparison(spec: ExperimentSpec, folder: ComparisonFolder) -> Outcome:
    """What the finished runs of a comparison say so far, written anew; nothing is trained.

    Args:
        spec: as the directory holds it, or with another [compare].
        folder: the comparison's directory.

    Raises:
        RunDirectoryError: the directory holds no finished run, or is damaged.
    """
    folder.read_spec()
    folder.check(spec, resume=True)
    check_settings(spec)
    results = _compile(spec, folder, plan_runs(spec, folder.read_plan().folds, folder.path, None))
    if results is None:
        raise RunDirectoryError(f"{folder.path} holds no finished run yet", "continue the comparison with --resume")
    return Outcome(results, ())


def parallel_runs(spec: ExperimentSpec, runs: int) -> int:
    """How many runs go on at a time: as the experiment says, or one per core; never more than there are."""
    return max(1, min(runs, settings_of(spec).parallel or usable_cores()))


def _train(runs: Sequence[SubRun], parallel: int, settings: Compare, observer: Observer) -> list[Failure]:
    """Do the runs that are not finished."""
    finished = [run for run in runs if is_finished(run)]
    unfinished = [run for run in runs if not is_finished(run)]
    observer.planned(len(runs), len(finished), sum(run.rounds for run in runs), sum(map(rounds_done, runs)))
    for run in finished:  # a kill may have come between a run's end and this, or the settings have changed
        tidy(run, settings)
    return run_all(unfinished, parallel, settings, observer)


def _compile(
    spec: ExperimentSpec,
    folder: ComparisonFolder,
    runs: Sequence[SubRun],
    trouble: tuple[Sequence[Failure], str | None] = ((), None),
) -> dict[str, Any] | None:
    """Write everything that follows from the finished runs; None, and nothing written, where there is none.

    `trouble` holds the runs that stopped, and why generic MPC did.
    """
    failures, mpc_problem = trouble
    plan = folder.read_plan()
    measured = read_measured(runs)
    if not measured.finished:
        return None
    results = compile_comparison(spec, measured, failures, plan)
    if wants_mpc(spec):
        results["mpc"] = compile_mpc(folder.path, plan.folds, mpc_problem)
    RunDirectory(folder.path).write_json(RESULTS, results)
    write_tables(folder.path, results)
    write_page(folder.path, results)
    return results
