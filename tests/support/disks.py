"""What a party stored: all that outlives its process, and how a test loses it."""

from __future__ import annotations

from typing import Any

from privateyes.parties.effects import View, Write
from privateyes.storage.memory import MemoryStore


class Disk(MemoryStore):
    """A store that can be lost.

    Attributes:
        of_its_key: whether it was made in the same act as the party's key. A new one after a loss was not.
        compares: whether a write fails where another handler wrote since; a test double's does not.
    """

    def __init__(self, of_its_key: bool = True, compares: bool = True) -> None:
        super().__init__()
        self.of_its_key, self.compares = of_its_key, compares

    def require_unchanged(self, seen: View, what: Write) -> None:
        if self.compares:
            super().require_unchanged(seen, what)

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
