"""Reads the files of a run's directory and refuses what is missing or damaged.

``experiment.toml`` and ``environment.json`` are written before anything is trained, so every run has them. The other
files appear as the run goes on; where one is not there yet, the page says so.
"""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from privateyes.errors import DataError, RunDirectoryError
from privateyes.experiments.report.schema import Results, RoundLine, Samples
from privateyes.experiments.spec_tables import DEFAULT_TASK
from privateyes.experiments.tasks import find_task
from privateyes.training.metric import Metric

_RESTORE = "restore the file from a copy, or run the experiment again in a new directory"
_PREFIX = "predicted_"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a run's directory holds.

    Attributes:
        experiment: ``experiment.toml`` as nested tables.
        environment: ``environment.json``.
        rounds: the lines of ``metrics.jsonl``, one per (fold, method, round), in the order of the file.
        results: ``results.json``, or None while the run is unfinished.
        samples: ``samples.npz``, or None where it is absent or was not asked for.
        notes: sentences for the reader about what had to be left out.
    """

    experiment: dict[str, Any]
    environment: dict[str, Any]
    rounds: tuple[RoundLine, ...]
    results: Results | None
    samples: Samples | None
    notes: tuple[str, ...]

    @property
    def metric(self) -> Metric:
        """What all errors are."""
        key = self.results.unit if self.results is not None else next((line.unit for line in self.rounds), None)
        return find_task(self.task).metric(key)

    @property
    def further_metrics(self) -> tuple[Metric, ...]:
        """By what else the methods are measured, beside `metric`."""
        found = [line.measures for line in self.rounds]
        keys = dict.fromkeys(key for measures in found for key in measures)
        return tuple(find_task(self.task).metric(key) for key in keys)

    @property
    def task(self) -> str:
        """The name of what is learned."""
        return str(self.experiment.get("task", DEFAULT_TASK))

    def table(self, name: str) -> dict[str, Any]:
        """A table of ``experiment.toml``; empty where it has none of that name."""
        value = self.experiment.get(name, {})
        return value if isinstance(value, dict) else {}


def read_run(directory: Path, with_samples: bool = True) -> RunFiles:
    """Reads a run's directory.

    Args:
        directory: as ``privateyes train`` wrote it; the run may be unfinished.
        with_samples: whether to read the sample pictures at all.

    Raises:
        RunDirectoryError: the directory is missing, is no run or lacks a file that must be there.
        DataError: a file is there and damaged.
    """
    if not directory.is_dir():
        raise RunDirectoryError(f"{directory} is not a directory", "name the directory of a run, such as runs/demo")
    experiment_path, environment_path = directory / "experiment.toml", directory / "environment.json"
    if not experiment_path.is_file():
        raise RunDirectoryError(
            f"{directory} holds no run: it has no experiment.toml", "name the directory of a run, such as runs/demo"
        )
    experiment = _parsed(experiment_path, tomllib.loads)
    methods = experiment.get("methods", [])
    if not isinstance(methods, list) or not all(isinstance(key, str) for key in methods):
        raise DataError(f"{experiment_path} is damaged: methods is no list of names", _RESTORE)
    if not environment_path.is_file():
        raise RunDirectoryError(f"{directory} has lost its environment.json", _RESTORE)
    environment = _parsed(environment_path, json.loads)
    if not isinstance(environment, dict):
        raise DataError(f"{environment_path} holds no JSON object", _RESTORE)
    results = _read_results(directory / "results.json")
    rounds, notes = _read_metrics(directory / "metrics.jsonl")
    if results is not None and not rounds:
        raise RunDirectoryError(f"{directory} has results but no rounds in metrics.jsonl", _RESTORE)
    samples_path = directory / "samples.npz"
    task = find_task(str(experiment.get("task", DEFAULT_TASK)))
    samples = None
    if with_samples and samples_path.is_file():
        samples = read_samples(samples_path, task.label_shape)
    return RunFiles(experiment, environment, rounds, results, samples, notes)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read: {error.strerror}", "check the file's permissions") from error


def _parsed(path: Path, parse: Callable[[str], _T]) -> _T:
    content = _read_bytes(path)
    try:
        return parse(content.decode("utf-8-sig"))
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}", _RESTORE) from error


def _first_fault(error: ValidationError) -> str:
    """The first thing wrong with a record, in words: the key, then what is wrong with it."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(part) for part in fault["loc"]) or "the whole"
    return f"{key}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _read_results(path: Path) -> Results | None:
    if not path.is_file():
        return None
    content = _parsed(path, json.loads)
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {_first_fault(error)}", _RESTORE) from error


def _read_metrics(path: Path) -> tuple[tuple[RoundLine, ...], tuple[str, ...]]:
    """The rounds and notes. A last line that broke off is left out: a run that is killed while writing leaves one."""
    if not path.is_file():
        return (), ()
    lines = _read_bytes(path).split(b"\n")
    rounds: dict[tuple[str, str, int], RoundLine] = {}
    notes: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            # every whole line ends with a newline, so that only what follows the last one can be half-written
            if number == len(lines):
                notes.append("The last line of metrics.jsonl is only half written and was ignored.")
                continue
            raise DataError(f"{path} is damaged in line {number}: {error}", _RESTORE) from error
        if not isinstance(record, dict):
            raise DataError(f"{path} is damaged in line {number}: it holds no JSON object", _RESTORE)
        if record.get("event") != "round":
            continue
        try:
            entry = RoundLine.model_validate(record)
        except ValidationError as error:
            raise DataError(f"{path} is damaged in line {number}: {_first_fault(error)}", _RESTORE) from error
        rounds[entry.fold, entry.method, entry.round] = entry
    return tuple(rounds.values()), tuple(notes)


def read_samples(path: Path, label_shape: tuple[int, ...] | None = None) -> Samples:
    """Reads ``samples.npz``.

    Args:
        path: the file.
        label_shape: what one label must be; None for any shape, if all have it.

    Raises:
        DataError: the archive or an array in it is damaged.
    """
    content = io.BytesIO(_read_bytes(path))
    if not zipfile.is_zipfile(content):
        raise DataError(f"{path} is damaged: it is no complete archive", _RESTORE)
    content.seek(0)
    try:
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {error}", _RESTORE) from error
    missing = [name for name in ("images", "person", "true") if name not in arrays]
    if missing:
        raise DataError(f"{path} is damaged: it has no array {missing[0]!r}", _RESTORE)
    images, person = arrays["images"], arrays["person"]
    if images.dtype != np.uint8 or images.ndim != 3 or 0 in images.shape[1:]:
        raise DataError(f"{path} is damaged: images are {images.dtype} {images.shape}, not uint8 (K, H, W)", _RESTORE)
    if person.shape != (len(images),) or person.dtype.kind not in "US":
        raise DataError(f"{path} is damaged: person must hold one name for each of {len(images)} images", _RESTORE)
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in person.tolist()]
    shape = (len(images), *(arrays["true"].shape[1:] if label_shape is None else label_shape))
    predicted = {
        name.removeprefix(_PREFIX): _labels(path, name, array, shape)
        for name, array in arrays.items()
        if name.startswith(_PREFIX)
    }
    return Samples(images, tuple(names), _labels(path, "true", arrays["true"], shape), predicted)


def _labels(path: Path, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        what = "pairs" if shape[1:] == (2,) else f"arrays of shape {shape[1:]}"
        raise DataError(f"{path} is damaged: {name} must be {shape[0]} finite {what}", _RESTORE)
    return array.astype(np.float64)
