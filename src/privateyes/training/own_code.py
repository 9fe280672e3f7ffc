"""Code of somebody's own, named ``package.module:Object`` in an experiment file: a model, or a whole task.

Naming a module imports it, and importing runs it: an experiment file is as trustworthy as the code that it names.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NOT_OWN: Final = frozenset({"torch", "privateyes", "builtins"})


def is_own(name: str) -> bool:
    """Whether a name is ``package.module:Object``."""
    return ":" in name


@dataclass(frozen=True, slots=True)
class OwnSource:
    """The files that somebody's own code is written in."""

    files: tuple[Path, ...]

    @classmethod
    def of_modules(cls, modules: Iterable[str]) -> OwnSource:
        """Of imported modules, by their names; what is installed with torch or privateyes is no part of it."""
        own = [module for module in dict.fromkeys(modules) if module.partition(".")[0] not in _NOT_OWN]
        files = [getattr(sys.modules.get(module), "__file__", None) for module in own]
        return cls(tuple(dict.fromkeys(Path(file) for file in files if file is not None and Path(file).is_file())))

    def digest(self) -> str | None:
        """SHA-256 of their contents, in hexadecimal; None where there is no file."""
        if not self.files:
            return None
        contents = [hashlib.sha256(file.read_bytes()).digest() for file in self.files]
        return hashlib.sha256(b"".join(contents)).hexdigest()
