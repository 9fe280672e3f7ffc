"""The tasks by their names. They are imported when they are asked for, so that nothing here depends on one of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from privateyes.errors import ConfigError
from privateyes.experiments.spec_tables import DEFAULT_TASK, ExperimentSpec
from privateyes.experiments.task import Task
from privateyes.experiments.task_names import TASK_PACKAGES
from privateyes.training.metric import Metric
from privateyes.training.own_code import OwnSource, import_own, is_own


def find_task(name: str) -> Task[Any, Any]:
    """The task of a name, or an object of somebody's own, named ``package.module:OBJECT`` (docs/own-tasks.md).

    Raises:
        ConfigError: there is none.
    """
    if is_own(name):
        task = import_own(name, "task")
    elif name in TASK_PACKAGES:
        task = import_module(f"{TASK_PACKAGES[name]}.experiment").TASK
    else:
        remedy = f'choose from: {", ".join(TASK_PACKAGES)}, or name one of your own, "package.module:OBJECT"'
        raise ConfigError(f'task = "{name}" is not known', remedy)
    if not isinstance(task, Task):
        raise ConfigError(f'task = "{name}" is no task', "derive its class from privateyes.experiments.task.Task")
    return task


def task_of(spec: ExperimentSpec) -> Task[Any, Any]:
    """The task of an experiment; raises as `find_task`."""
    return find_task(spec.task)


def source_of_own_task(name: str) -> OwnSource | None:
    """Where somebody's own task is written; None for a task of privateyes.

    Raises:
        ConfigError: there is no such task.
    """
    if not is_own(name):
        return None
    modules = [name.partition(":")[0], *(base.__module__ for base in type(find_task(name)).__mro__)]
    return OwnSource.of_modules(module for module in modules if module not in sys.stdlib_module_names)


def metric_of(record: Mapping[str, object]) -> Metric:
    """By what a record's errors are measured: a metrics line, a run's results or a comparison's.

    Args:
        record: its ``task`` and ``unit`` say so; those of earlier versions may lack both.

    Raises:
        ConfigError: the task is not known.
        DataError: the task has no such metric.
    """
    unit = record.get("unit")
    return find_task(str(record.get("task", DEFAULT_TASK))).metric(None if unit is None else str(unit))
