"""The tasks by their names. They are imported when they are asked for, so that nothing here depends on one of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final

from privateyes.errors import ConfigError
from privateyes.experiments.task import Task
from privateyes.training.metric import Metric

DEFAULT: Final = "gaze"
"""What experiment files and records of earlier versions are about, which name no task."""
_KNOWN: Final[Mapping[str, str]] = MappingProxyType({"gaze": "privateyes.tasks.gaze.experiment:GAZE"})


def find_task(name: str) -> Task:
    """The task of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _KNOWN:
        raise ConfigError(f'task = "{name}" is not known', f"choose from: {', '.join(_KNOWN)}")
    module, _, attribute = _KNOWN[name].partition(":")
    task: Task = getattr(import_module(module), attribute)
    return task


def metric_of(record: Mapping[str, object]) -> Metric:
    """By what a record's errors are measured: a metrics line, a run's results or a comparison's.

    Args:
        record: its ``task`` and ``unit`` say so; those of earlier versions may lack both.

    Raises:
        ConfigError: the task is not known.
        DataError: the task has no such metric.
    """
    unit = record.get("unit")
    return find_task(str(record.get("task", DEFAULT))).metric(None if unit is None else str(unit))
