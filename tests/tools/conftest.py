"""The parts of tools/mutation.py, and a tiny project to run it on."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports one module of tools/mutants by its name."""
    monkeypatch.syspath_prepend(TOOLS)
    return lambda name: importlib.import_module(f"mutants.{name}")


@dataclass(frozen=True)
class TinyProject:
    """A folder with one package, its tests, and a method to run the tool on it."""

    root: Path

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def mutate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = ("src/tiny", "--root", str(self.root), "--tests", "tests/tiny")
        command = [sys.executable, str(TOOLS / "mutation.py"), *places, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOOLS)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyProject:
    project = TinyProject(tmp_path)
    project.write("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n')
    project.write("src/tiny/__init__.py", "")
    return project
