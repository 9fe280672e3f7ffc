"""Code of somebody's own, named ``package.module:Object`` in an experiment file: a model, or a whole task.

Naming a module imports it, and importing runs it: an experiment file is as trustworthy as the code that it names.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from privateyes.errors import ConfigError

# What code of somebody else may raise; anything beyond keeps its traceback.
FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, RuntimeError,
                 SyntaxError, TypeError, ValueError)  # fmt: skip
_NOT_OWN: Final = frozenset({"torch", "privateyes", "builtins"})


def is_own(name: str) -> bool:
    """Whether a name is ``package.module:Object``."""
    return ":" in name


def import_own(name: str, key: str) -> object:
    """The object that ``package.module:Object`` names.

    Args:
        name: the name.
        key: of the experiment file, for messages.

    Raises:
        ConfigError: there is none, or its module cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ConfigError(f'{key} = "{name}" names nothing', 'write "package.module:Object"')
    try:
        return getattr(import_module(module), attribute)
    except FAULTS as error:
        problem = f'{key} = "{name}" cannot be had ({type(error).__name__}: {error})'
        raise ConfigError(problem, "install its package, or run with PYTHONPATH=/its/folder") from error


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
