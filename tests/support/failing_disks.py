"""Mirror folders that die, come back and are copied, for tests of the store."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from privateyes.storage import majority
from privateyes.storage.mirror import Mirror
from privateyes.storage.store import PartyStore


class Killed(BaseException):
    """The process dies."""


class Fuse:
    """Dies at the k-th step; never, while ``left`` is negative. ``steps`` counts them."""

    def __init__(self) -> None:
        self.left, self.steps = -1, 0
        self._lock = Lock()  # bodies are written side by side

    def step(self) -> None:
        with self._lock:
            self.steps += 1
            if self.left == 0:
                raise Killed
            self.left -= 1

    def around(self, patch: pytest.MonkeyPatch, owner: Any, names: Iterable[str]) -> None:
        """Count a step before and after each of these calls."""
        for name in names:
            patch.setattr(owner, name, self._watched(getattr(owner, name)))

    def at_every_write(self, patch: pytest.MonkeyPatch) -> None:
        """Count a step before and after each write of each mirror, and in each start; nothing is forced to a disk."""
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=_Unforced))
        patch.setattr(os, "fsync", lambda _: None)
        self.around(patch, os, ["fsync"])
        self.around(patch, Mirror, ["promise", "begin", "commit", "fold_journal"])
        self.around(patch, majority, ["copy_sealed"])

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            self.step()
            result = call(*args, **named)
            self.step()
            return result

        return watched


class _Unforced(sqlite3.Connection):
    """The process dies here, not the machine."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous = OFF"
        return super().execute(statement, *values)


def kill(store: PartyStore) -> None:
    """Let go of a store as a kill does: nothing is written."""
    for mirror in store._mirrors._mirrors:
        mirror.connection.close()


def copy(folder: Path, to: Path) -> Path:
    """What is on a disk now, on another one."""
    shutil.rmtree(to, ignore_errors=True)
    if folder.exists():
        # Without SQLite's shared memory, which every process makes anew.
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"))
    return to


def lose(folder: Path) -> None:
    """The disk is gone."""
    shutil.rmtree(folder, ignore_errors=True)
