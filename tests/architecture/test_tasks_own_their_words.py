"""Nothing but a task imports a task, for types neither (import-linter leaves those out); tasks are found by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import privateyes
from privateyes.experiments.task_names import TASK_PACKAGES
from privateyes.experiments.tasks import find_task

PACKAGE = Path(privateyes.__file__).parent


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


SURFACE = "__init__.py"
"""What ``import privateyes as pe`` offers names what tasks add, and imports it when it is asked for."""


def importers() -> list[str]:
    sources = sorted(PACKAGE.rglob("*.py"))
    return [
        str(path.relative_to(PACKAGE))
        for path in sources
        if any(name.startswith("privateyes.tasks") for name in imported_by(path))
    ]


def test_nothing_outside_tasks_imports_a_task() -> None:
    found = importers()
    assert found, "the tasks' own modules import each other"
    assert not [path for path in found if not path.startswith("tasks/") and path != SURFACE]


def test_every_task_is_found_by_its_name() -> None:
    for name in TASK_PACKAGES:
        assert find_task(name).metrics
