"""Runs an experiment: every fold, every method, every round; trained, tested, recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from time import process_time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from privateyes.engines.local.pool import PoolTrainer, PredictJob, WorkerPool
from privateyes.errors import ConfigError
from privateyes.experiments.calibrate import calibrate_method, require_enough
from privateyes.experiments.changes import digests_of_sources
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.environment import describe_environment
from privateyes.experiments.folds import Fold
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.methods import FoldContext, MethodRound, run_method, start_of
from privateyes.experiments.prepare import Preparation, prepare
from privateyes.experiments.record import MODEL_FILE, RunDirectory, check_run_directory, exclusive, open_run
from privateyes.experiments.replay import replay_altered_round
from privateyes.experiments.results import compile_results, draw_samples
from privateyes.experiments.secure import (
    check_mirrors,
    forget_secrets,
    has_mirrored_tasks,
    note_on_unreached,
    task_folder,
    weight_policy,
)
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.stopping import Stopping
from privateyes.experiments.synthetic import data_of, make_data
from privateyes.experiments.tasks import task_of
from privateyes.federation.cohorts import select_cohort
from privateyes.federation.participants import HandOver
from privateyes.training.device import resolve_device
from privateyes.training.task import TaskOnData


class Noting(Protocol):
    """Who can be told something in words."""

    def note(self, text: str) -> None:
        """Something other than training happens."""
        ...


class Observer(Noting, Protocol):
    """Who is told how a run goes on."""

    def planned(self, rounds: int, done: int) -> None:
        """All methods and folds have so many rounds, and so many of these are done already."""
        ...

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None:
        """A method begins, or goes on after `done` of its `rounds`."""
        ...

    def round_done(self, line: Mapping[str, Any]) -> None:
        """A round is on disk; `line` is its metrics line."""
        ...

    def method_finished(self, fold: str, method: str) -> None:
        """A method has done its rounds."""
        ...


def run_experiment(
    spec: ExperimentSpec, directory: Path, observer: Observer, resume: bool = False, *, extras: bool = True
) -> dict[str, Any]:
    """Run an experiment into a directory, or continue it there.

    A run that was killed and resumed ends with the same checkpoints and results, timings aside, as one that was not;
    so does a run with another number of workers.

    Args:
        spec: the experiment.
        directory: of the run; made if it is not there.
        observer: is told how it goes.
        resume: whether to continue a run that the directory holds.
        extras: whether to begin with a quick look at the labels, and to end with sample images and the replay of an
            altered round, which only the page shows.

    Returns:
        What ``results.json`` holds.

    Raises:
        UsageError: data, configuration or directory cannot be used; if so before the start, nothing is written.
        TrainingError: training diverged.
        ProtocolError: a party of the secure aggregation stopped.
    """
    _refuse_mpc(spec)
    require_data_file(spec)
    check_run_directory(directory, spec, resume)
    preparation = prepare(spec)
    require_enough(preparation)
    if any(METHODS[method].secure for method in spec.methods) and not has_mirrored_tasks(directory):
        check_mirrors([Path(name) for name in spec.store.mirrors], directory, observer.note)
    resolve_device(spec.runtime.device)
    data = None if spec.data.path is None else Path(spec.data.path)
    with ExitStack() as held:
        begun = directory.exists()
        if begun:
            held.enter_context(exclusive(directory))
        run = open_run(directory, spec, describe_environment(data, digests_of_sources(spec)), resume)
        if not begun:
            held.enter_context(exclusive(directory))
        return _run(preparation, run, observer, extras)


def require_data_file(spec: ExperimentSpec) -> None:
    """Refuse a data file that cannot be opened: said first, for without it nothing else is worth saying.

    Raises:
        DataError: it cannot.
    """
    if spec.data.path is not None:
        task_of(spec).require_readable(Path(spec.data.path))


def _refuse_mpc(spec: ExperimentSpec) -> None:
    """Generic MPC trains on few samples and beside a run."""
    if any(METHODS[method].kind == "mpc" for method in spec.methods):
        remedy = "remove it and use `privateyes mpc`, or `privateyes compare` for all of them"
        raise ConfigError('methods contains "mpc", which a run does not train', remedy)


def _run(preparation: Preparation, run: RunDirectory, observer: Observer, extras: bool) -> dict[str, Any]:
    """As `run_experiment`, in a directory that is this process's own."""
    spec = preparation.spec
    finished = run.read_json("results.json")
    if finished is not None:
        observer.note(f"{run.path} is finished already")
        return finished
    make_data(spec, run.path, observer.note)
    task = preparation.task(data_of(spec, run.path))
    described = task_of(spec).describe_model(task, spec.data.path is None)
    if described is not None:
        run.write_json(MODEL_FILE, described)
    if extras:
        warn_of_data(preparation, observer)
    observer.planned(*_planned(preparation, run))
    with WorkerPool(task, preparation.local_settings(), spec.runtime.workers) as pool:
        for fold in preparation.folds:
            for method in spec.methods:
                _run_method(method, FoldContext(preparation, fold, pool, run.path, observer.note), task, run, observer)
        replay = _replay(preparation, pool, run, observer) if extras else None
        if extras:
            samples = draw_samples(preparation, task, pool, run)
            if samples is not None:
                run.write_arrays("samples.npz", samples)
    results = compile_results(preparation, task, run, replay)
    if spec.calibration is not None:
        observer.note("calibrating each test person")
        settings = spec.calibration.settings()
        reports = [calibrate_method(preparation, task, run, method, settings) for method in spec.methods]
        results["calibration"] = [report.as_json() for report in reports]
    run.write_json("results.json", results)
    return results


def _planned(preparation: Preparation, run: RunDirectory) -> tuple[int, int]:
    """How many rounds a run has, and how many of them are done; those of a method that ended early count as done."""
    spec, done = preparation.spec, 0
    rounds = spec.training.rounds
    for fold in preparation.folds:
        for method in spec.methods:
            lines = run.read_rounds(fold.name, method)
            ended = bool(lines) and (lines[-1]["converged"] or bool(lines[-1].get("stopped")))
            done += rounds if ended else len(lines)
    return rounds * len(spec.methods) * len(preparation.folds), done


def warn_of_data(preparation: Preparation, observer: Noting) -> None:
    """Tell what looks wrong with the data. Training goes on: data may be of a kind that nobody thought of."""
    persons = {name for fold in preparation.folds for name in (*fold.train, *fold.validation, *fold.test)}
    for warning in task_of(preparation.spec).warnings(preparation.spec, persons):
        observer.note(f"warning: {warning}")


def _run_method(method: str, context: FoldContext, task: TaskOnData, run: RunDirectory, observer: Observer) -> None:
    fold, rounds = context.fold, context.spec.training.rounds
    start = run.read_checkpoint(fold.name, method) or start_of(method, context)
    lines, metric = run.read_rounds(fold.name, method), task.metrics[0]
    stopping = Stopping(context.spec.training.patience, lines, metric.lower_is_better)
    if start.round < rounds and not stopping.over:
        observer.method_started(fold.name, method, start.round, rounds)
        for line in _train(method, context, start, stopping, task, run):
            observer.round_done(line)
            reason = _early_end(line, fold)
            if reason is not None:
                observer.note(f"{method} stops after round {line['round']}: {reason}")
        observer.method_finished(fold.name, method)
    if METHODS[method].secure:
        for mirror in forget_secrets(task_folder(run.path, fold, method)):
            observer.note(note_on_unreached(run.path, mirror))


def _early_end(line: Mapping[str, Any], fold: Fold) -> str | None:
    """Why a method ends with a round that is not its last; None if it goes on."""
    if line["converged"]:
        return "the model no longer changes, for the round gave weights that the task had before"
    return f"round {line['best_round']} was the best on {', '.join(fold.validation)}" if line.get("stopped") else None


def _train(
    method: str, context: FoldContext, start: Checkpoint, stopping: Stopping, task: TaskOnData, run: RunDirectory
) -> Iterator[dict[str, Any]]:
    """The metrics lines of a method's rounds, each on disk.

    ``seconds_cpu`` is this process's processor time for the round: all of it where there is one worker.
    """
    fold, rounds, every = context.fold, context.spec.training.rounds, context.spec.training.evaluate_every
    # Where there is nobody else, one who trains shows whether the model still gives numbers; no error is recorded.
    watched = (*fold.test, *fold.validation) or fold.train[:1]
    true = {person: task.labels_of(person) for person in watched}
    with closing(run_method(method, context, start)) as outcomes:
        begun = process_time()
        for outcome in outcomes:
            cpu = {"seconds_cpu": process_time() - begun}
            number = outcome.checkpoint.round
            evaluated = number % every == 0 or number == rounds or outcome.converged
            for vector in outcome.checkpoint.vectors.values():
                require_finite(vector, context.spec, method, f"the model of round {number}")
            found = _measured(method, context, task, true, outcome.checkpoint) if evaluated else []
            void = bool(outcome.participation.get("void"))
            judged = stopping.judge(number, _those_of(found[:1], fold.validation), void, outcome.converged)
            tested = _tested(task, found, fold.test)
            named = {"task": context.spec.task, "unit": task.metrics[0].key}
            line = {**_metrics_line(fold, method, rounds, outcome), **tested, **named, **judged, **cpu}
            run.record_round(line, outcome.checkpoint, best=bool(judged) and stopping.improved)
            yield line
            if stopping.over:
                return
            begun = process_time()


def _measured(
    method: str, context: FoldContext, task: TaskOnData, true: Mapping[str, NDArray[np.float32]], checkpoint: Checkpoint
) -> list[dict[str, float]]:
    """For each of the task's metrics: person -> value, the mean over the models; `true` holds the persons' labels.

    Raises:
        TrainingError: a prediction is not finite.
    """
    vectors = list(checkpoint.vectors.values())
    predictions = iter(context.pool.predict([PredictJob(person, vector) for person in true for vector in vectors]))
    found: list[dict[str, float]] = [{} for _ in task.metrics]
    for person, labels in true.items():
        of_person = [next(predictions) for _ in vectors]
        for predicted in of_person:
            what = f"what the model of round {checkpoint.round} predicts for {person}"
            require_finite(predicted, context.spec, method, what)
        for values, metric in zip(found, task.metrics, strict=True):
            values[person] = float(np.mean([metric.of(predicted, labels) for predicted in of_person]))
    return found


def _those_of(found: Sequence[Mapping[str, float]], persons: Sequence[str]) -> dict[str, float]:
    """The values of some of the persons by the first metric; nothing of nobody's."""
    return {person: found[0][person] for person in persons} if found else {}


def _tested(task: TaskOnData, found: Sequence[Mapping[str, float]], persons: Sequence[str]) -> dict[str, Any]:
    """What the metrics line of a round gains that was evaluated; the others have none of it.

    ``error`` holds values of the task's first metric, ``measures`` those of its others, if it has any.
    """
    errors = _those_of(found, persons)
    if not errors:
        return {}
    line: dict[str, Any] = {"error": errors, "mean_error": float(np.mean(list(errors.values())))}
    if len(found) > 1:
        further = zip(task.metrics[1:], found[1:], strict=True)
        line["measures"] = {metric.key: _those_of([values], persons) for metric, values in further}
    return line


def _metrics_line(fold: Fold, method: str, rounds: int, outcome: MethodRound) -> dict[str, Any]:
    return {
        "event": "round",
        "fold": fold.name,
        "method": method,
        "round": outcome.checkpoint.round,
        "rounds": rounds,
        "train_loss": outcome.train_loss,
        "samples": outcome.samples,
        "passed": outcome.passed,
        "seconds": outcome.seconds_training + outcome.seconds_exchange,
        "seconds_training": outcome.seconds_training,
        "seconds_exchange": outcome.seconds_exchange,
        "bytes_up_per_client": outcome.bytes_up_per_client,
        "bytes_down_per_client": outcome.bytes_down_per_client,
        "details": dict(outcome.details),
        "participation": dict(outcome.participation),
        "converged": outcome.converged,
    }


def _replay(preparation: Preparation, pool: WorkerPool, run: RunDirectory, observer: Observer) -> dict[str, Any] | None:
    """One further round of the first secure method, with an aggregator that alters its share; None without one."""
    spec, fold = preparation.spec, preparation.folds[0]
    secure = next((method for method in spec.methods if METHODS[method].secure), None)
    checkpoint = run.read_checkpoint(fold.name, secure) if secure is not None else None
    if checkpoint is None:
        return None
    observer.note("demonstration: a round again, in which one aggregator alters its share")
    state = checkpoint.state()
    cohort = select_cohort(spec.seed, state.round, fold.clients, spec.federation.cohort_fraction)
    trainer = PoolTrainer(pool, fold.holdings, policy=HandOver(weight=weight_policy(spec)))
    participants = trainer.train(state.round, cohort, state.vector)
    return replay_altered_round(spec, fold, preparation.clients(fold), state, participants, run.path)
