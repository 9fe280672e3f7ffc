"""Compiles nothing: keeps the names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

Kind = SimpleNamespace(JAX=1)


def compile(kind: int, function: Any, arguments: Any, keywords: Any, inputs: Any, visible: Any, name: Any) -> Any:
    """The names of what goes in and comes out."""
    outputs = name([None] * len(inputs))
    return SimpleNamespace(inputs=inputs, outputs=outputs), None
