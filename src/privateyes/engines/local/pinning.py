"""The manifest that the parties pinned, held against another one that claims to be the same."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from privateyes.errors import RunDirectoryError

_ABSENT = object()


def first_difference(pinned: str, other: str) -> str | None:
    """The first key, in the pinned manifest's order, in which two manifests differ, with both values; None if in none.

    Args:
        pinned, other: TOML.

    Raises:
        tomllib.TOMLDecodeError: one of them is no TOML.
    """
    ours, theirs = (dict(_flat(tomllib.loads(text), "")) for text in (pinned, other))
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        left, right = ours.get(key, _ABSENT), theirs.get(key, _ABSENT)
        if left != right or type(left) is not type(right):
            return f"{key} is {_shown(right)} where the parties pinned {_shown(left)}"
    return None


def require_pinned(path: Path, pinned: str) -> None:
    """Refuse a manifest file that is not the pinned manifest; a missing one is no fault.

    Raises:
        RunDirectoryError: it differs, or cannot be read.
    """
    remedy = "remove that file: the parties hold copies of their own, from which it is written again"
    try:
        difference = first_difference(pinned, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunDirectoryError(f"{path} cannot be read as a manifest ({error})", remedy) from None
    if difference is not None:
        raise RunDirectoryError(f"{path} is not this task's manifest: {difference}", remedy)


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Keys and values, ``[[clients]]`` counted from 1 as ``clients[1]``."""
    for key, value in table.items():
        if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            for position, entry in enumerate(value, start=1):
                yield from _flat(entry, f"{prefix}{key}[{position}].")
        else:
            yield prefix + key, value


def _shown(value: object) -> str:
    return "missing" if value is _ABSENT else repr(value)
