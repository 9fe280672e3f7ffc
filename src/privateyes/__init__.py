"""privateyes: train vision models across people who must never share their images, and show what leaked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privateyes.engines.memory import Average as Average
    from privateyes.engines.memory import SecureAverage as SecureAverage

__version__ = "0.1.0"
__all__ = ["Average", "SecureAverage"]


def __getattr__(name: str) -> object:
    """Import what is asked for, and nothing before: the package itself costs no time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("privateyes.engines.memory"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
