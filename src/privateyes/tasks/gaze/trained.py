"""Models out of runs: what a run trained, ready to be used, without its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.experiments.checkpoint import SHARED, Checkpoint
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.record import MODEL_FILE, RunDirectory, how_to_continue, require_as_trained
from privateyes.experiments.spec import ExperimentSpec, closest
from privateyes.experiments.synthetic import data_of
from privateyes.tasks.gaze.predict.estimator import RENDERED, Estimator, ModelFacts, TorchEstimator
from privateyes.tasks.gaze.stored import open_file, source_dataset, stated_licence
from privateyes.tasks.gaze.task import GazeTask


def describe_model(task: GazeTask, rendered: bool) -> dict[str, Any]:
    """The content of `MODEL_FILE`.

    Args:
        task: what is learned, from a data file that exists.
        rendered: whether the data are synthetic eyes of the run's own.

    Raises:
        DataError: the data file cannot be read.
    """
    with open_file(task.path) as file:
        dataset, licence = (RENDERED, None) if rendered else (source_dataset(file), stated_licence(file))
    return ModelFacts.of_task(task, dataset, licence).to_tree()


def open_estimator(
    model: Path, method: str | None = None, fold: str | None = None, client: str | None = None
) -> Estimator:
    """An estimator from a run's directory, or from an exported .onnx file.

    Args:
        model: the directory or the file.
        method: of a run: one of its methods; the last one by default.
        fold: of a run: one of its folds; the first by default.
        client: of a run: whose model, for methods in which every client has its own.

    Raises:
        RunDirectoryError: there is no run, or no checkpoint yet.
        ConfigError: the run has no such method, fold or client, or a file has none at all.
        DataError: the file is no exported model.
    """
    if model.suffix.lower() != ".onnx":
        return open_run_estimator(model, method, fold, client)
    if method or fold or client:
        raise ConfigError(f"{model} holds one model only", "leave --method, --fold and --client out")
    from privateyes.tasks.gaze.predict.onnx_model import OnnxEstimator

    return OnnxEstimator(model)


def open_run_estimator(
    directory: Path, method: str | None = None, fold: str | None = None, client: str | None = None
) -> TorchEstimator:
    """As `open_estimator`, for a run.

    Raises:
        RunDirectoryError: there is no run, or no checkpoint yet.
        ConfigError: the run has no such method, fold or client.
        TrainingError: the model's training diverged.
    """
    run = RunDirectory(directory)
    spec = run.read_spec()
    require_as_trained(run, spec)
    method = _choice("method", method or spec.methods[-1], list(spec.methods))
    folds = _trained_folds(run, spec)
    if not folds:
        problem = f"{directory} has no checkpoint yet"
        raise RunDirectoryError(problem, f"train it first, or {how_to_continue(directory)}")
    fold = _choice("fold", fold or folds[0], folds)
    checkpoint = run.read_result(fold, method)
    if checkpoint is None:
        problem = f"{directory} has no checkpoint of {method} in fold {fold}"
        raise RunDirectoryError(problem, f"name another --method, or {how_to_continue(directory)}")
    client = _which_client(method, client, checkpoint)
    source = f"{spec.name}: {method}{f' of {client}' if client else ''}, fold {fold}, round {checkpoint.round}"
    require_finite(checkpoint.vectors[client], spec, method, f"the model of round {checkpoint.round}")
    return TorchEstimator(_facts(run, spec).from_source(source), checkpoint.vectors[client])


def _trained_folds(run: RunDirectory, spec: ExperimentSpec) -> list[str]:
    """Names of the folds with checkpoints, in the order of the experiment."""
    there = sorted(path.name for path in (run.path / "checkpoints").glob("*") if path.is_dir())
    planned = spec.split.folds or [ONLY_FOLD]
    return [*(name for name in planned if name in there), *(name for name in there if name not in planned)]


def _which_client(method: str, client: str | None, checkpoint: Checkpoint) -> str:
    clients = sorted(checkpoint.vectors)
    if clients == [SHARED]:
        if client is not None:
            raise ConfigError(f"--client {client}: in {method} everyone has the same model", "leave --client out")
        return SHARED
    if client is None:
        problem = f"in {method} every client has a model of its own"
        raise ConfigError(problem, f"choose one with --client: {', '.join(clients)}")
    return _choice("client", client, clients)


def _facts(run: RunDirectory, spec: ExperimentSpec) -> ModelFacts:
    """From the run's own note, or, for runs that have none, from the data."""
    noted = run.read_json(MODEL_FILE)
    if noted is not None:
        try:
            facts = ModelFacts.from_tree(noted)
        except DataError as error:
            problem = f"{run.path / MODEL_FILE}: {error.problem}"
            raise RunDirectoryError(problem, "delete the file; the run's data are read in its place") from error
        return facts if "licence" in noted else replace(facts, licence=_licence_of_data(spec))
    from privateyes.experiments.prepare import prepare  # with all of secure aggregation

    learning = cast(GazeTask, prepare(spec).task(data_of(spec, run.path)))
    return ModelFacts.from_tree(describe_model(learning, spec.data.path is None))


def _licence_of_data(spec: ExperimentSpec) -> str | None:
    """For runs of versions that did not note it, if their data are still there."""
    if spec.data.path is None:
        return None
    try:
        with open_file(Path(spec.data.path)) as file:
            return stated_licence(file)
    except DataError:
        return None


def _choice(option: str, value: str, known: list[str]) -> str:
    if value not in known:
        raise ConfigError(f"--{option} {value}: the run has no such {option}", closest(value, known))
    return value
