"""Where secrets are made there is no generator that was built for statistics: neither `random`, numpy's nor torch's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import privateyes

SOURCE = Path(privateyes.__file__).parent
ENGINE = ("secure", "session", "parties", "message_log")
PARTS = ("crypto", "encoding", "aggregation", "parties", "storage")
FILES = sorted(
    [path for part in PARTS for path in (SOURCE / part).rglob("*.py")]
    + [SOURCE / "engines" / "local" / f"{name}.py" for name in ENGINE]
)
_BANNED_MODULES = frozenset({"random", "numpy.random", "torch.random"})
# Attributes that reach a generator whatever name the module was given: np.random, torch.Generator, torch.randn.
_BANNED_ATTRIBUTES = frozenset(
    {"random", "default_rng", "RandomState", "Generator", "SeedSequence", "manual_seed", "rand", "randn", "randint",
     "randperm", "rand_like", "randn_like", "randint_like"}
)  # fmt: skip


def generators_in(source: str) -> list[str]:
    """Every use of a statistical generator, as ``line: what``."""
    return [f"{line}: {what}" for line, what in _uses(ast.parse(source))]


def _uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_banned(alias.name) or alias.name.partition(".")[0] == "torch":
                    yield node.lineno, f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                if _is_banned(module) or _is_banned(full) or module.partition(".")[0] == "torch":
                    yield node.lineno, f"from {module} import {alias.name}"
        elif isinstance(node, ast.Attribute) and node.attr in _BANNED_ATTRIBUTES:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and node.value in _BANNED_MODULES:
            yield node.lineno, f"the module's name as text: {node.value}"


def _is_banned(module: str) -> bool:
    return any(module == banned or module.startswith(f"{banned}.") for banned in _BANNED_MODULES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_secrets_come_from_the_system_or_from_keyed_streams_only(path: Path) -> None:
    assert generators_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "snippet",
    [
        "import random",
        "import random as secrets",
        "from random import randbytes",
        "import numpy.random as r",
        "from numpy import random",
        "from numpy.random import default_rng",
        "import numpy as np\nkey = np.random.bytes(32)",
        "import numpy as np\ndef draw():\n    return np.random.default_rng(1)",
        "import torch",
        "from torch import randn",
        "def draw(anything):\n    return anything.Generator()",
        "import importlib\nimportlib.import_module('random')",
    ],
)
def test_the_scan_finds_a_forbidden_generator(snippet: str) -> None:
    assert generators_in(snippet)


def test_the_scan_leaves_the_systems_randomness_alone() -> None:
    assert generators_in("import secrets\nimport os\nkey = secrets.token_bytes(32) + os.urandom(1)") == []
    assert len(FILES) > 20
