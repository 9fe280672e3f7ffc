"""The vectors, and a second implementation that shares no code with privateyes."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Reads one file of vectors/ by its name."""

    @cache
    def read(name: str) -> Any:
        return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))

    return read


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """tests/vectors/reference: everything in its modules, by name."""
    folder, name = Path(__file__).with_name("reference"), "second_implementation"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(folder)
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    modules = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    return SimpleNamespace(**{module: importlib.import_module(f"{name}.{module}") for module in modules})
