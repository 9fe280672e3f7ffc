"""What a finished run says: compiled from the recorded metrics and the last checkpoints alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from privateyes.engines.local.pool import PredictJob, WorkerPool
from privateyes.errors import RunDirectoryError
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.clients import plain_clients
from privateyes.experiments.folds import Fold
from privateyes.experiments.learned import learned
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.prepare import Preparation
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.stopping import result_line
from privateyes.experiments.tasks import task_of
from privateyes.training.task import TaskOnData

_SAMPLE_COUNT = 12


def compile_results(
    preparation: Preparation, task: TaskOnData, run: RunDirectory, replay: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The content of ``results.json``. No person is tested in two folds, so a row joins all of them."""
    spec, metrics = preparation.spec, run.read_metrics()
    rows = [_row(method, spec.aggregation.aggregators, metrics, preparation, task) for method in spec.methods]
    return {
        "name": spec.name,
        "seed": spec.seed,
        "task": spec.task,
        "unit": task.metrics[0].key,
        "parameters": int(preparation.initial.size),
        "folds": [_fold(fold) for fold in preparation.folds],
        "clients": task_of(spec).describe_clients(preparation, task) or plain_clients(preparation),
        "mean_predictor": _mean_predictor(preparation.folds, task),
        "rows": rows,
        "equality": equality_of(
            metrics, {row["method"]: row["mean_error"] for row in rows}, int(preparation.initial.size)
        ),
        "replay": None if replay is None else dict(replay),
    }


def draw_samples(
    preparation: Preparation, task: TaskOnData, pool: WorkerPool, run: RunDirectory
) -> dict[str, NDArray[Any]] | None:
    """The content of ``samples.npz``: grey images of test persons with true labels and every method's prediction.

    None where nobody is tested.

    For `local`, whose clients have a model each, the predictions are those of the client that is in the middle when the
    clients are ordered by their error on the person.
    """
    tested = [(fold, person) for fold in preparation.folds for person in fold.test]
    step = max(1, -(-len(tested) // _SAMPLE_COUNT))
    if not tested:
        return None
    tested = tested[::step]
    per_person, metric = max(1, _SAMPLE_COUNT // len(tested)), task.metrics[0]
    arrays: dict[str, list[NDArray[Any]]] = {"images": [], "person": [], "true": []}
    for fold, person in tested:
        examples = task.examples(person)
        count = min(per_person, len(examples))
        rows = (np.arange(count) * 2 + 1) * len(examples) // (2 * count)
        true = task.labels_of(person)
        arrays["images"].append(task.pictures_of(examples.rows(torch.from_numpy(rows))))
        arrays["person"].append(np.array([person] * count))
        arrays["true"].append(true[rows])
        for method in preparation.spec.methods:
            models = list(_result(run, fold.name, method).vectors.values())
            predictions = pool.predict([PredictJob(person, model) for model in models])
            order = np.argsort([metric.of(predicted, true) for predicted in predictions], kind="stable")
            arrays.setdefault(f"predicted_{method}", []).append(predictions[order[len(order) // 2]][rows])
    return {name: np.concatenate(parts) for name, parts in arrays.items()}


def _fold(fold: Fold) -> dict[str, Any]:
    content: dict[str, Any] = {"fold": fold.name, "train": list(fold.train), "test": list(fold.test)}
    return content if fold.partition is None else {**content, "clients": list(fold.clients)}


def _result(run: RunDirectory, fold: str, method: str) -> Checkpoint:
    checkpoint = run.read_result(fold, method)
    if checkpoint is None:
        raise RunDirectoryError(f"{run.checkpoint_path(fold, method)} is missing", "delete the run and run again")
    return checkpoint


def _row(
    method: str,
    aggregators: int,
    metrics: Sequence[Mapping[str, Any]],
    preparation: Preparation,
    task: TaskOnData,
) -> dict[str, Any]:
    lines = [line for line in metrics if line["method"] == method]
    ends = [result_line(entries) for entries in _by_fold(lines).values()]
    per_person: dict[str, float] = {}
    for line in ends:
        per_person.update(line.get("error", {}))
    errors = list(per_person.values())
    return {
        "method": method,
        "mean_error": float(np.mean(errors)) if errors else None,
        "spread": float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
        "per_person": per_person,
        **_measures(ends),
        "seconds_per_round": _mean(lines, "seconds"),
        "seconds_exchange_per_round": _mean(lines, "seconds_exchange"),
        "bytes_up_per_client_round": _mean(lines, "bytes_up_per_client"),
        "bytes_down_per_client_round": _mean(lines, "bytes_down_per_client"),
        "bytes_up_per_client_once": _bytes_of_images(preparation, task) if method == "centralised" else 0.0,
        "learned": learned(method, aggregators, preparation.spec.aggregation.mode),
        "void_rounds": sum(1 for line in lines if _void(line) and not line.get("converged")),
        "converged": {line["fold"]: line["round"] for line in lines if line.get("converged")},
        **_stopping(lines, ends),
    }


def _measures(ends: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and persons of each further metric of the task; nothing where it has only one."""
    found: dict[str, dict[str, float]] = {}
    for line in ends:
        for key, values in line.get("measures", {}).items():
            found.setdefault(key, {}).update(values)
    means = {
        key: {"mean": float(np.mean(list(values.values()))), "per_person": values} for key, values in found.items()
    }
    return {"measures": means} if means else {}


def _stopping(lines: Sequence[Mapping[str, Any]], ends: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which round's model each fold's errors are of, where validation persons decide; else nothing."""
    if not any("best_round" in line for line in ends):
        return {}
    run = {fold: entries[-1]["round"] for fold, entries in _by_fold(lines).items()}
    return {"best_rounds": {line["fold"]: line["round"] for line in ends}, "rounds_run": run}


def _by_fold(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The lines of one method, fold by fold, each by round."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: line["round"]):
        grouped.setdefault(line["fold"], []).append(line)
    return grouped


def _bytes_of_images(preparation: Preparation, task: TaskOnData) -> float:
    """What one client uploads to the hub before centralised training: its images and labels; mean over clients."""
    counts = [np.mean(list(preparation.clients(fold).values())) for fold in preparation.folds]
    return float(np.mean(counts)) * task.bytes_per_sample


def _void(line: Mapping[str, Any]) -> bool:
    """Whether a round changed nothing: too few clients arrived, or the model had converged."""
    return bool(line["participation"].get("void"))


def _mean(lines: Sequence[Mapping[str, Any]], key: str) -> float:
    """Over the rounds that were not void: in a void one less is trained or sent, and that is no saving."""
    held = [line[key] for line in lines if not _void(line)]
    return float(np.mean(held)) if held else 0.0


def _mean_predictor(folds: Sequence[Fold], task: TaskOnData) -> dict[str, Any] | None:
    """The error of answering everything with the mean label of the training persons: what a model must beat.

    None where nobody is tested.
    """
    per_person = {}
    for fold in folds:
        mean = np.concatenate([task.labels_of(person) for person in fold.train]).mean(axis=0, dtype=np.float64)
        for person in fold.test:
            true = task.labels_of(person)
            per_person[person] = task.metrics[0].of(np.broadcast_to(mean.astype(np.float32), true.shape), true)
    if not per_person:
        return None
    return {"mean_error": float(np.mean(list(per_person.values()))), "per_person": per_person}


def equality_of(
    metrics: Sequence[Mapping[str, Any]], errors: Mapping[str, float | None], parameters: int
) -> dict[str, Any] | None:
    """How far the secure methods were from averaging the same updates in the clear, over all their rounds.

    The difference of the errors is the largest between a secure method and its counterpart in the clear; None without
    a pair. ``saturated`` of the ``coordinates`` that were averaged, and ``shortened`` of the ``updates``, were clipped
    first.
    """
    details = [line["details"] for line in metrics if METHODS[line["method"]].secure and "deviation" in line["details"]]
    if not details:
        return None
    counterparts = [(method, METHODS[method].counterpart) for method in errors]
    differences = [
        abs(ours - theirs)
        for ours, theirs in (
            (errors[method], errors.get(counterpart)) for method, counterpart in counterparts if counterpart is not None
        )
        if ours is not None and theirs is not None
    ]
    updates = sum(len(entry.get("roster", ())) for entry in details)
    return {
        "largest_deviation": max(entry["deviation"] for entry in details),
        "bound": max(entry["deviation_bound"] for entry in details),
        "ratio": max(entry["deviation"] / entry["deviation_bound"] for entry in details),
        "saturated": sum(entry.get("saturated", 0) for entry in details),
        "shortened": sum(entry.get("shortened", 0) for entry in details),
        "clipped_rounds": sum(1 for entry in details if entry.get("saturated") or entry.get("shortened")),
        "rounds": len(details),
        "updates": updates,
        "coordinates": updates * parameters,
        "error_difference": max(differences, default=None),
    }
