"""A run's model on any person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privateyes.engines.local.pool import PredictJob, WorkerPool
from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.folds import Fold
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import RunDirectory, how_to_continue, require_as_trained
from privateyes.experiments.spec import ExperimentSpec, closest
from privateyes.experiments.synthetic import data_of
from privateyes.experiments.tasks import task_of
from privateyes.training.counts import Tell, tell_nobody
from privateyes.training.metric import Metric


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a method's model does.

    Args:
        method: whose model.
        fold: of which fold.
        round: completed rounds of the checkpoint.
        images: person -> number of images.
        error: person -> value of `metric`; for `local` the mean over the clients' models.
        trained_on: the persons among them that the model was trained on.
        metric: what was measured.
        further: the task's other metrics -> person -> value.
    """

    method: str
    fold: str
    round: int
    images: Mapping[str, int]
    error: Mapping[str, float]
    trained_on: frozenset[str]
    metric: Metric
    further: Mapping[Metric, Mapping[str, float]] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The key of `metric`, such as "deg"."""
        return self.metric.key


def evaluate_run(
    directory: Path,
    method: str | None = None,
    fold: str | None = None,
    data: Path | None = None,
    persons: Sequence[str] | None = None,
    tell: Tell = tell_nobody,
) -> Evaluation:
    """Test the last checkpoint of a method.

    Args:
        directory: the run's directory.
        method: one of the run's methods; its last one if None.
        fold: one of the run's folds; the first if None.
        data: a data file with images of the same size, of which every image is tested; the run's own, with its
            ``data.image_limit``, if None.
        tell: is told how many persons are tested, and of how many.
        persons: whom to test; if None, all of `data`, or the fold's test persons in the run's own data.

    Raises:
        RunDirectoryError: there is no run, or no checkpoint yet.
        ConfigError: the run has no such method or fold, `persons` is empty, or nobody is left to test.
        DataError: the data cannot be used, or a person is not in them.
        TrainingError: the model's training diverged.
    """
    if persons is not None and not persons:
        raise ConfigError("--persons names nobody", "name persons, separated by commas, or leave it away")
    run = RunDirectory(directory)
    spec = run.read_spec()
    require_as_trained(run, spec)
    preparation = prepare(spec)
    method = _choice("method", method or spec.methods[-1], list(spec.methods))
    folds = {entry.name: entry for entry in preparation.folds}
    chosen = folds[_choice("fold", fold or preparation.folds[0].name, list(folds))]
    checkpoint = run.read_result(chosen.name, method)
    if checkpoint is None:
        problem = f"{directory} has no checkpoint of {method} in fold {chosen.name}"
        raise RunDirectoryError(problem, f"train it first, or {how_to_continue(directory)}")
    task = preparation.task(data_of(spec, directory) if data is None else data)
    if data is not None:  # the limit is of what the run trains on and tests; other data are tested whole
        task = task.unlimited()
    names = list(persons or (chosen.test if data is None else task_of(spec).persons_of(data)))
    _require_anybody(names, f"fold {chosen.name} of {directory}")
    images, found = {}, {metric: dict[str, float]() for metric in task.metrics}
    settings = preparation.local_settings()
    if settings.device == "cuda":  # a model that was trained there can be tested elsewhere
        settings = replace(settings, device="auto")
    with WorkerPool(task, settings, workers=1) as pool:
        for done, name in enumerate(names):
            tell(done, len(names))
            true = task.labels_of(name)
            predictions = _predictions(pool, name, (spec, method, checkpoint))
            images[name] = len(true)
            for metric, values in found.items():
                values[name] = float(np.mean([metric.of(predicted, true) for predicted in predictions]))
    trained_on = _trained_on(chosen, names, data is None)
    first, *others = found
    further = {metric: found[metric] for metric in others}
    return Evaluation(method, chosen.name, checkpoint.round, images, found[first], trained_on, first, further)


def _require_anybody(names: Sequence[str], where: str) -> None:
    if not names:
        problem = f"{where} has nobody to test (split.test_persons = [])"
        raise ConfigError(problem, "name persons of its data with --persons, or other data with --data")


def _predictions(
    pool: WorkerPool, person: str, trained: tuple[ExperimentSpec, str, Checkpoint]
) -> list[NDArray[np.float32]]:
    """A person's predictions by each of a checkpoint's models.

    Raises:
        TrainingError: one is not finite.
    """
    spec, method, checkpoint = trained
    predictions = pool.predict([PredictJob(person, vector) for vector in checkpoint.vectors.values()])
    for predicted in predictions:
        require_finite(predicted, spec, method, f"what the model of round {checkpoint.round} predicts for {person}")
    return predictions


def _trained_on(fold: Fold, names: Sequence[str], own_data: bool) -> frozenset[str]:
    return frozenset(names) & frozenset(fold.train) if own_data else frozenset()


def _choice(option: str, value: str, known: list[str]) -> str:
    if value not in known:
        raise ConfigError(f"--{option} {value}: the run has no such {option}", closest(value, known))
    return value
