"""What a party stored: all that outlives its process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.ledger import LedgerEntry
from privateyes.errors import RunDirectoryError

Name = tuple[str, bytes]
"""What a body is and what it belongs to: ("memory", H(manifest)), ("share", sid), ("kept", sid) and so on."""


@dataclass(frozen=True, slots=True)
class View:
    """What a handler read, all at once, before it began.

    Attributes:
        bodies: memories, shares, models and kept submissions by name.
        rows: the data set's ledger.
    """

    bodies: Mapping[Name, Any]
    rows: tuple[LedgerEntry, ...]

    def get(self, kind: str, key: bytes) -> Any:
        """A body, or None."""
        return self.bodies.get((kind, key))


class Disk:
    """One party's store, over all its tasks. A write is one transaction, over what its writer had read.

    Attributes:
        of_its_key: whether it was made in the same act as the party's key. A new one after a loss was not.
        compares: whether a write fails where another handler wrote since; a test double's does not.
    """

    def __init__(self, of_its_key: bool = True, compares: bool = True) -> None:
        self.of_its_key, self.compares = of_its_key, compares
        self._view = View({}, ())

    def read(self) -> View:
        """Everything, as it is now."""
        return self._view

    def write(self, seen: View, changes: Mapping[Name, Any], rows: tuple[LedgerEntry, ...] = ()) -> None:
        """All of it or nothing.

        Args:
            seen: what the writer had read.
            changes: new bodies by name; None erases one. A memory counts one version more than the one before it.
            rows: new and changed rows of the ledger.

        Raises:
            RunDirectoryError: another handler wrote a memory, or a row of the ledger, since it was read.
        """
        now = self._view
        if self.compares:
            self._require_unchanged(seen, changes, bool(rows))
        bodies = {name: body for name, body in {**now.bodies, **changes}.items() if body is not None}
        self._view = View(bodies, _with_rows(now.rows, rows) if rows else now.rows)

    def _require_unchanged(self, seen: View, changes: Mapping[Name, Any], with_rows: bool) -> None:
        for name, body in changes.items():
            if name[0] == "memory":
                stored = self._view.bodies.get(name)
                if body.version != (stored.version if stored is not None else 0) + 1:
                    raise RunDirectoryError("another handler stored its word first", "begin again from what is stored")
        if with_rows and seen.rows is not self._view.rows:
            raise RunDirectoryError("another task wrote to the ledger first", "begin again from what is stored")

    def put(self, kind: str, key: bytes, body: Any) -> None:
        """Put a body there as if it had always been; for tests."""
        self._view = View({**self._view.bodies, (kind, key): body}, self._view.rows)

    def forget_rows(self) -> None:
        """Empty the ledger; for tests."""
        self._view = View(self._view.bodies, ())

    def clear(self) -> None:
        """Begin anew, as on the day when the party's key was made; for tests."""
        self._view = View({}, ())

    def lose(self) -> None:
        """Everything is gone; a new store stands in its place."""
        self._view, self.of_its_key = View({}, ()), False


def _with_rows(before: tuple[LedgerEntry, ...], rows: tuple[LedgerEntry, ...]) -> tuple[LedgerEntry, ...]:
    changed = {(row.sid, row.key): row for row in rows}
    kept = tuple(changed.pop((row.sid, row.key), row) for row in before)
    return (*kept, *changed.values())
