"""Personal calibration of a run's models: how well they do on new persons who give a few labelled samples.

Each test person is played R times: k of the person's samples are drawn as calibration dots, the correction is fitted on
them, and the error is measured on all the person's other samples, with and without it. Images, labels and corrections
stay where the person's samples are; the shared checkpoint is only read.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.folds import Fold
from privateyes.experiments.prepare import Preparation, prepare
from privateyes.experiments.record import RunDirectory, how_to_continue, require_as_trained
from privateyes.experiments.spec import closest
from privateyes.experiments.synthetic import data_of
from privateyes.experiments.tasks import task_of
from privateyes.federation.seeds import derive_seed
from privateyes.training.calibration_dots import choose_dots
from privateyes.training.calibration_settings import Adaptation, CalibrationSettings, Placement
from privateyes.training.counts import Tell, tell_nobody
from privateyes.training.determinism import deterministic_torch
from privateyes.training.metric import Metric
from privateyes.training.personal import FineTuning, PersonalModel
from privateyes.training.task import TaskOnData

FOLDER: Final = "calibration"
# For each eye, the positions of the calibration samples and of the others.
Draw = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
# Steps of fine-tuning are smaller than those of training, and few.
_STEPS, _SHARE_OF_RATE = 20, 0.1


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A person's error after calibration with k samples, in the report's unit.

    Attributes:
        mean: over the draws.
        spread: SD over the draws; None for a single one.
        uncalibrated: the shared model's error on the same samples, mean over the draws.
    """

    mean: float
    spread: float | None
    uncalibrated: float


@dataclass(frozen=True, slots=True)
class PersonCalibration:
    """One test person.

    Attributes:
        person, fold: who, and in which fold this person was tested.
        samples: how many usable samples there are.
        eyes: how many groups were calibrated separately: 2 for both eyes, 1 for all samples together.
        uncalibrated: the shared model's error on all usable samples.
        by_k: k -> the error with k calibration samples of each eye.
    """

    person: str
    fold: str
    samples: int
    eyes: int
    uncalibrated: float
    by_k: Mapping[int, Calibrated]


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What calibration does for a method's models.

    Attributes:
        method: whose models.
        metric: what all errors are.
        settings: how persons were calibrated.
        persons: everyone that was tested, by name.
        notes: what readers should know, in whole sentences.
    """

    method: str
    metric: Metric
    settings: CalibrationSettings
    persons: tuple[PersonCalibration, ...]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """The key of `metric`, such as "deg"."""
        return self.metric.key

    def mean_error(self, k: int | None) -> float:
        """Mean over persons with k samples; of the uncalibrated model if None."""
        return float(np.mean([self._of(person, k) for person in self.persons]))

    def spread(self, k: int | None) -> float | None:
        """SD over persons; None for a single one."""
        errors = [self._of(person, k) for person in self.persons]
        return float(np.std(errors, ddof=1)) if len(errors) > 1 else None

    def as_json(self) -> dict[str, Any]:
        """Errors and settings; no sample, no label and no correction."""
        content: dict[str, Any] = {
            "method": self.method,
            "unit": self.unit,
            "settings": asdict(self.settings),
            "persons": [asdict(person) for person in self.persons],
            "notes": list(self.notes),
        }
        for entry in content["persons"]:
            entry["by_k"] = {str(k): calibrated for k, calibrated in entry["by_k"].items()}
        means = {str(k): {"mean_error": self.mean_error(k), "spread": self.spread(k)} for k in self.settings.samples}
        content["uncalibrated"] = {"mean_error": self.mean_error(None), "spread": self.spread(None)}
        return {**content, "by_k": means}

    @staticmethod
    def _of(person: PersonCalibration, k: int | None) -> float:
        return person.uncalibrated if k is None else person.by_k[k].mean


def calibrate_run(
    directory: Path,
    settings: CalibrationSettings | None = None,
    method: str | None = None,
    fold: str | None = None,
    persons: Sequence[str] | None = None,
    tell: Tell = tell_nobody,
) -> CalibrationReport:
    """Calibrate a run's last models for its test persons. Writes nothing; see `write_calibration`.

    Args:
        directory: the run's directory.
        settings: how to calibrate; the experiment's [calibration], or the defaults, if None.
        method: one of the run's methods; its last one if None.
        fold: one of the run's folds; all of them if None.
        persons: test persons of these folds; all of them if None.
        tell: is told how many persons are calibrated, and of how many.

    Raises:
        RunDirectoryError: there is no run, or a checkpoint is missing.
        ConfigError: the run has no such method or fold, a person was trained on, or the settings are impossible.
        DataError: the data cannot be used, a person is not in them, or has too few samples for k.
        TrainingError: the model's training diverged.
    """
    run = RunDirectory(directory)
    spec = run.read_spec()
    require_as_trained(run, spec)
    preparation = prepare(spec)
    chosen_method = _choice("method", method or spec.methods[-1], list(spec.methods))
    names = [entry.name for entry in preparation.folds]
    folds = [entry for entry in preparation.folds if fold is None or entry.name == _choice("fold", fold, names)]
    if not task_of(spec).calibrates:
        raise ConfigError("this run's task has nothing to calibrate", "")
    chosen = settings or (spec.calibration.settings() if spec.calibration is not None else CalibrationSettings())
    return calibrate_method(
        preparation,
        preparation.task(data_of(spec, directory)),
        run,
        chosen_method,
        chosen,
        _tested(folds, persons),
        tell,
    )


def chosen_settings(
    directory: Path,
    k: str | None = None,
    adapt: str | None = None,
    placement: str | None = None,
    eyes: str | None = None,
    draws: int | None = None,
) -> CalibrationSettings:
    """The experiment's [calibration], or the defaults, with what the command line says in its place.

    Args:
        directory: the run's directory.
        k: numbers separated by commas, such as "1,5,9".
        adapt, placement, eyes, draws: as for `CalibrationSettings`; None leaves them as they are.

    Raises:
        ConfigError: a number or a name is impossible.
        RunDirectoryError: there is no run.
    """
    changes: dict[str, Any] = {"adapt": adapt, "placement": placement, "eyes": eyes, "draws": draws}
    if k is not None:
        try:
            changes["samples"] = tuple(int(number) for number in k.split(","))
        except ValueError as error:
            raise ConfigError(f"--k {k}", "give numbers separated by commas, such as 1,5,9") from error
    given = RunDirectory(directory).read_spec().calibration
    settings = replace(
        CalibrationSettings() if given is None else given.settings(),
        **{key: value for key, value in changes.items() if value is not None},
    )
    settings.require_sound()
    return settings


def calibrate_method(
    preparation: Preparation,
    task: TaskOnData,
    run: RunDirectory,
    method: str,
    settings: CalibrationSettings,
    tested: Sequence[tuple[Fold, str]] | None = None,
    tell: Tell = tell_nobody,
) -> CalibrationReport:
    """As `calibrate_run`, of a run that is open already; `tested` defaults to every fold's test persons."""
    settings.require_sound()
    everyone = tested or [(fold, person) for fold in preparation.folds for person in fold.test]
    found, together, kind = [], [], task_of(preparation.spec)
    with deterministic_torch():
        for done, (fold, person) in enumerate(everyone):
            tell(done, len(everyone))
            checkpoint = _checkpoint(run, fold, method)
            groups = kind.calibration_groups(task, person, settings.eyes)
            found.append(_calibrate(preparation, task, (method, checkpoint), settings, (fold, person), groups))
            if "" in groups and settings.eyes == "auto":
                together.append(person)
    notes = kind.calibration_notes(task, together)
    return CalibrationReport(
        method, task.metrics[0], settings, tuple(sorted(found, key=lambda entry: entry.person)), tuple(notes)
    )


def require_enough(preparation: Preparation) -> None:
    """Refuse a [calibration] that could only fail once everything is trained.

    Of persons yet to be rendered, and of samples whose prediction is unusable, nothing is known in advance.

    Raises:
        DataError: a test person has too few samples; names the person.
    """
    spec = preparation.spec
    if spec.calibration is None or spec.data.path is None:
        return
    settings, task = spec.calibration.settings(), preparation.task(Path(spec.data.path))
    for person in {person: None for fold in preparation.folds for person in fold.test}:
        for eye, rows in task_of(spec).calibration_groups(task, person, settings.eyes).items():
            if max(settings.samples) >= len(rows):
                problem = (
                    f"{_named(person, eye)}: calibration.samples = {list(settings.samples)}, of {len(rows)} samples"
                )
                raise DataError(f"{problem}, leaves none to test on", "calibrate with fewer, or record more")


def write_calibration(directory: Path, report: CalibrationReport) -> Path:
    """Write a report as ``calibration/<method>-<adaptation>.json`` into the run's directory; the file's path.

    An earlier report that says something else is kept: this one is then called ``<method>-<adaptation>-2.json``, and
        so on.

    Raises:
        RunDirectoryError: the directory cannot be written.
    """
    run, name = RunDirectory(directory), f"{FOLDER}/{report.method}-{report.settings.adapt}.json"
    try:
        (directory / FOLDER).mkdir(exist_ok=True)
        name = _free_name(run, name, json.loads(json.dumps(report.as_json())))
        run.write_json(name, report.as_json())
    except OSError as error:
        problem = f"{directory / name} cannot be written ({error.strerror})"
        raise RunDirectoryError(problem, "check the directory's permissions and the free space") from error
    return directory / name


def _free_name(run: RunDirectory, name: str, content: Mapping[str, Any]) -> str:
    """The name, or the first numbered one, that is free or holds this content already."""
    stem = name.removesuffix(".json")
    for number in itertools.count(2):
        try:
            found = run.read_json(name)
        except RunDirectoryError:  # damaged, and perhaps the only copy of something
            found = {}
        if found is None or found == content:
            break
        name = f"{stem}-{number}.json"
    return name


def _calibrate(
    preparation: Preparation,
    task: TaskOnData,
    trained: tuple[str, Checkpoint],
    settings: CalibrationSettings,
    who: tuple[Fold, str],
    groups: Mapping[str, NDArray[np.int64]],
) -> PersonCalibration:
    """One person, with every model of the method (`local` has one for each client); errors are means over the
    models.
    """
    (fold, person), (method, checkpoint), spec = who, trained, preparation.spec
    examples = task.examples(person)
    prior = task_of(spec).prior(task)
    models = [PersonalModel(task, vector, examples, prior) for vector in checkpoint.vectors.values()]
    for model in models:
        what = f"what the model of round {checkpoint.round} predicts for {person}"
        require_finite(model.predicted, spec, method, what)
    usable = np.logical_and.reduce([model.usable() for model in models])
    kept = {eye: rows[usable[rows]] for eye, rows in groups.items()}
    plan = {k: _draws(models[0], kept, settings, k, (spec.seed, person)) for k in settings.samples}
    for model in models:
        model.announce(
            np.unique(np.concatenate([dots for draws in plan.values() for draw in draws for dots, _ in draw]))
        )
    tuning = FineTuning(spec.seed, _STEPS, _SHARE_OF_RATE * spec.training.learning_rate)
    by_k = {}
    for k, draws in plan.items():
        errors = [[_errors(task, model, settings.adapt, draw, tuning) for model in models] for draw in draws]
        before, after = np.mean(errors, axis=1).T
        spread = float(np.std(after, ddof=1)) if settings.draws > 1 else None
        by_k[k] = Calibrated(float(np.mean(after)), spread, float(np.mean(before)))
    every = np.concatenate(list(kept.values()))
    uncalibrated = float(np.mean([_error(task, model, every, model.predicted[every]) for model in models]))
    return PersonCalibration(person, fold.name, len(every), len(groups), uncalibrated, by_k)


def _draws(
    model: PersonalModel,
    groups: Mapping[str, NDArray[np.int64]],
    settings: CalibrationSettings,
    k: int,
    who: tuple[int, str],
) -> list[Draw]:
    """For every draw and every eye: the calibration samples, and the others. The same for every model and
    adaptation.
    """
    seed, person = who
    found: list[Draw] = []
    for number in range(settings.draws):
        draw = []
        for eye, rows in groups.items():
            derived = derive_seed(seed, "calibration", person, eye, k, number)
            chosen = _dots(model.labels[rows], k, settings.placement, derived, _named(person, eye))
            draw.append((rows[chosen], np.delete(rows, chosen)))
        found.append(draw)
    return found


def _dots(labels: NDArray[np.float64], k: int, placement: Placement, seed: int, whose: str) -> NDArray[np.int64]:
    """As `choose_dots`; a refusal names the person."""
    try:
        return choose_dots(labels, k, placement, seed)
    except DataError as error:
        raise DataError(f"{whose}: {error.problem}", error.remedy) from error


def _named(person: str, eye: str) -> str:
    return f"person {person}, {eye} eyes" if eye else f"person {person}"


def _errors(
    task: TaskOnData,
    model: PersonalModel,
    adapt: Adaptation,
    draw: Draw,
    tuning: FineTuning,
) -> tuple[float, float]:
    """The error on all samples but the calibration samples, before and after."""
    rest = np.concatenate([others for _, others in draw])
    after = np.concatenate([model.calibrated(adapt, chosen, others, tuning) for chosen, others in draw])
    return _error(task, model, rest, model.predicted[rest]), _error(task, model, rest, after)


def _error(task: TaskOnData, model: PersonalModel, rows: NDArray[np.int64], predicted: NDArray[np.float64]) -> float:
    return task.metrics[0].of(predicted.astype(np.float32), model.labels[rows].astype(np.float32))


def _tested(folds: Sequence[Fold], persons: Sequence[str] | None) -> list[tuple[Fold, str]]:
    everyone = [(fold, person) for fold in folds for person in fold.test]
    if not everyone:
        problem = "this run has no test persons (split.test_persons = []), and all others took part in the training"
        raise ConfigError(problem, "calibrate a run that leaves somebody out")
    if persons is None:
        return everyone
    if not persons:
        raise ConfigError("--persons names nobody", "name persons, separated by commas, or leave it away")
    known = [person for _, person in everyone]
    for person in persons:
        if person in known:
            continue
        if any(person in (*fold.train, *fold.validation) for fold in folds):
            where = f" in fold {folds[0].name}" if len(folds) == 1 else ""
            problem = f"person {person} took part in the training{where} and is not new to the model"
            raise ConfigError(problem, f"name test persons: {', '.join(known)}")
        raise DataError(f"there is no person {person} in this run", closest(person, known))
    return [(fold, person) for fold, person in everyone if person in persons]


def _checkpoint(run: RunDirectory, fold: Fold, method: str) -> Checkpoint:
    checkpoint = run.read_result(fold.name, method)
    if checkpoint is None:
        problem = f"{run.path} has no checkpoint of {method} in fold {fold.name}"
        raise RunDirectoryError(problem, f"train it first, or {how_to_continue(run.path)}")
    return checkpoint


def _choice(option: str, value: str, known: list[str]) -> str:
    if value not in known:
        raise ConfigError(f"--{option} {value}: the run has no such {option}", closest(value, known))
    return value
