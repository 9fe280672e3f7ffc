"""What was changed since a run began: its own copy of the experiment, or the source of its model.

A run writes down what decides its results when it begins, beside the experiment file that people read and may edit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from privateyes.errors import RunDirectoryError
from privateyes.experiments.spec_tables import DEFAULT_TASK, ExperimentSpec
from privateyes.experiments.tasks import find_task, source_of_own_task, task_of
from privateyes.training.own_code import OwnSource

BEGUN: Final = "begun.json"
"""In a run's directory: `ExperimentSpec.result_key` of the experiment that it began with."""
_SHOWN: Final = 3


def as_begun(spec: ExperimentSpec) -> dict[str, Any]:
    """The content of `BEGUN`."""
    return {"experiment": spec.result_key()}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """``training.rounds was 3 and is 4`` for every key whose value differs.

    Args:
        before: nested tables, as JSON or TOML hold them; None stands for a key that is not there.
        after: the same.
    """
    one, other = dict(_leaves(before)), dict(_leaves(after))
    return [
        f"{key} was {_written(one.get(key))} and is {_written(other.get(key))}"
        for key in [*one, *(key for key in other if key not in one)]
        if one.get(key) != other.get(key)
    ]


def listed(found: list[str]) -> str:
    """The first few differences, and how many there are beside them."""
    more = len(found) - _SHOWN
    return "; ".join(found[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def require_as_begun(path: Path, spec: ExperimentSpec, ignoring: tuple[str, ...] = ()) -> None:
    """Refuse a run whose own copy of the experiment was edited.

    Args:
        path: the run's directory. One that was begun by an earlier version wrote nothing down, and is believed.
        spec: what the copy says now.
        ignoring: keys, or tables, that may have changed.

    Raises:
        RunDirectoryError: the copy differs; names the keys.
    """
    try:
        content = json.loads((path / BEGUN).read_bytes())["experiment"]
        tables = find_task(content.get("task", DEFAULT_TASK)).experiment
        before = tables.model_validate(content).result_key()  # with defaults of keys that came later
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "restore the file, or start a new run with another --out"
        raise RunDirectoryError(f"{path / BEGUN} is damaged ({error!r})", remedy) from error
    found = [
        text
        for text in differences(before, spec.result_key())
        if not text.startswith(tuple(f"{key}{end}" for key in ignoring for end in (" ", ".")))
    ]
    if found:
        problem = f"the experiment.toml of {path} was changed since the run began ({listed(found)})"
        raise RunDirectoryError(problem, "put it back, or start a new run with another --out")


def digests_of_sources(spec: ExperimentSpec) -> dict[str, str]:
    """SHA-256, in hexadecimal, of what is somebody's own code: ``model_sha256`` and ``task_sha256``, if they are.

    Raises:
        ConfigError: the model's class or the task cannot be had.
    """
    digests = {key: source.digest() for key, (_, source) in _own_sources(spec).items()}
    return {key: digest for key, digest in digests.items() if digest is not None}


def _own_sources(spec: ExperimentSpec) -> dict[str, tuple[str, OwnSource]]:
    """Key of the environment -> what it is, and where it is written."""
    found = {
        "model_sha256": (f"model {spec.model.name}", task_of(spec).own_model(spec)),
        "task_sha256": (f"task {spec.task}", source_of_own_task(spec.task)),
    }
    return {key: (what, source) for key, (what, source) in found.items() if source is not None}


def require_same_source(path: Path, environment: Mapping[str, Any], spec: ExperimentSpec) -> None:
    """Refuse a run whose model or task has another source than it was trained with.

    Args:
        path: the run's directory.
        environment: what was written down when it began.
        spec: its experiment.

    Raises:
        RunDirectoryError: the source differs; names its files.
        ConfigError: the model's class or the task cannot be had.
    """
    for key, (what, source) in _own_sources(spec).items():
        if environment.get(key) not in (None, source.digest()):
            files = ", ".join(str(file) for file in source.files)
            problem = f"the source of {what} ({files}) has changed since the run in {path} began"
            raise RunDirectoryError(problem, "put the source back, or start a new run with another --out")


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _written(value: object) -> str:
    return "not there" if value is None else json.dumps(value, ensure_ascii=False)
