"""The operator of an aggregator installs the base package: the protocol, without what training needs."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

BASE = ("errors", "crypto", "encoding", "aggregation")
TRAINING_ONLY = ("torch", "h5py", "matplotlib", "jinja2")
_PROGRAM = """
import sys
from importlib import import_module
from importlib.abc import MetaPathFinder

forbidden = frozenset(sys.argv[1].split(","))

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ImportError(f"{name} is not part of the base package")
        return None

sys.meta_path.insert(0, Blocker())
for name in sys.argv[2:]:
    import_module(name)
"""


def modules_of(part: str) -> list[str]:
    """A module's name and, of a package, those of everything below it."""
    module = import_module(f"privateyes.{part}")
    below = pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}.")
    return [module.__name__, *(entry.name for entry in below)]


def import_without(forbidden: tuple[str, ...], names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _PROGRAM, ",".join(forbidden), *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_protocol_imports_without_the_packages_of_training() -> None:
    names = [name for part in BASE for name in modules_of(part)]
    assert "privateyes.aggregation.client" in names
    answer = import_without(TRAINING_ONLY, names)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("forbidden", "name"),
    [
        ("torch", "privateyes.training.local"),
        ("h5py", "privateyes.tasks.gaze.dataset"),
        ("numpy", "privateyes.crypto.field"),
    ],
)
def test_the_blocker_would_notice_a_forbidden_import(forbidden: str, name: str) -> None:
    answer = import_without((forbidden,), [name])
    assert answer.returncode != 0
    assert f"{forbidden} is not part of the base package" in answer.stderr
