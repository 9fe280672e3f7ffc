"""A party's store in memory: for tests, and for parties whose keys end with the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from privateyes.aggregation.ledger import LedgerEntry
from privateyes.errors import RunDirectoryError
from privateyes.parties.effects import Name, View, Write


class MemoryStore:
    """One party's store, over all its tasks. A write is one transaction, over what its writer had read.

    Nothing that it holds is changed in place: a view stays as it was read.
    """

    def __init__(self) -> None:
        self._view = View({}, ())

    def read(self) -> View:
        """Everything, as it is now."""
        return self._view

    def write(self, seen: View, what: Write) -> None:
        """All of it or nothing.

        Args:
            seen: what the writer had read.

        Raises:
            RunDirectoryError: another writer stored a memory, or a row of the ledger, since it was read.
        """
        self.require_unchanged(seen, what)
        bodies = {name: body for name, body in {**self._view.bodies, **what.bodies}.items() if body is not None}
        self._view = View(bodies, _with_rows(self._view.rows, what.rows) if what.rows else self._view.rows)

    def require_unchanged(self, seen: View, what: Write) -> None:
        """Compare, before the swap: of two handlers that began from one view, only one may speak.

        Raises:
            RunDirectoryError: the other one was first.
        """
        _require_next_versions(self._view.bodies, what.bodies)
        if what.rows and seen.rows is not self._view.rows:
            raise RunDirectoryError("another task wrote to the ledger first", "begin again from what is stored")


def _require_next_versions(stored: Mapping[Name, Any], changes: Mapping[Name, Any]) -> None:
    for name, body in changes.items():
        if name[0] == "memory":
            before = stored.get(name)
            if body.version != (0 if before is None else before.version) + 1:
                raise RunDirectoryError("another handler stored its word first", "begin again from what is stored")


def _with_rows(before: tuple[LedgerEntry, ...], rows: tuple[LedgerEntry, ...]) -> tuple[LedgerEntry, ...]:
    changed = {(row.sid, row.key): row for row in rows}
    kept = tuple(changed.pop((row.sid, row.key), row) for row in before)
    return (*kept, *changed.values())
