"""The ledger in a client's store. An entry is never erased; only its outcome changes, once."""

from __future__ import annotations

from collections.abc import Sequence

from privateyes.aggregation.ledger import LedgerEntry, SessionEnd, at_weights
from privateyes.errors import RefusedError
from privateyes.storage.mirrors import Mirrors


class LedgerRows:
    """The ledger of a store: entries are added, their ends written down, and nothing is ever taken away."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def append(self, entry: LedgerEntry, seen: Sequence[LedgerEntry]) -> None:
        """Add an entry, if those that stand in its way are still the ones that were looked at.

        Args:
            seen: what ``at`` gave before the submission was made, and possibly more.

        Raises:
            RefusedError: another handler wrote at these weights in between; or this key has an entry of this session.
        """
        with self._mirrors.joined():
            self._require_as_seen(entry, seen)
            self._insert(entry)

    def _require_as_seen(self, entry: LedgerEntry, seen: Sequence[LedgerEntry]) -> None:
        known = self.at(entry.weights, entry.key, entry.data_set)
        if set(known) != set(at_weights(seen, entry.weights, entry.key, entry.data_set)):
            raise RefusedError(
                "another task has submitted from these weights, or settled what was, since the ledger was read",
                "read it again",
            )

    def _insert(self, entry: LedgerEntry) -> None:
        values = (
            entry.key, entry.data_set, entry.weights, entry.manifest, entry.setup, str(entry.round), entry.state_id,
            entry.sid, entry.origin, entry.header_hash, int(entry.end),
        )  # fmt: skip
        statement = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, sid) DO NOTHING"
        if self._mirrors.write(statement, values) != 1:
            raise RefusedError("the ledger has an entry of this key for this session already")

    def end(self, entry: LedgerEntry) -> None:
        """Write down how an entry's session ended; writing the same again changes nothing.

        Raises:
            RefusedError: there is no such entry, or it ended in another way.
        """
        statement = "UPDATE ledger SET outcome = ? WHERE key = ? AND sid = ? AND outcome IN (?, ?)"
        values = (int(entry.end), entry.key, entry.sid, int(SessionEnd.UNKNOWN), int(entry.end))
        if self._mirrors.write(statement, values) != 1:
            raise RefusedError("the ledger has no entry of this key for this session that could end so")

    def at(self, weights: bytes, key: bytes, data_set: bytes) -> list[LedgerEntry]:
        """The entries at these weights of the key or of the data set, in the order in which they were added."""
        return self._read("weights = ? AND (key = ? OR data_set = ?)", (weights, key, data_set))

    def from_weights(self, weights: bytes) -> list[LedgerEntry]:
        """The entries at these weights of everybody in this store."""
        return self._read("weights = ?", (weights,))

    def concerning(self, key: bytes, data_set: bytes, weights: bytes, sids: Sequence[bytes]) -> list[LedgerEntry]:
        """What a client's next step may need: the entries at its weights, as ``at``; and of its key those that are not
        settled, and those of some sessions.
        """
        own = f"outcome = {int(SessionEnd.UNKNOWN)} OR sid IN ({', '.join('?' * len(sids))})"
        where = f"(weights = ? AND (key = ? OR data_set = ?)) OR (key = ? AND ({own}))"
        return self._read(where, (weights, key, data_set, key, *sids))

    def of_session(self, key: bytes, sid: bytes) -> list[LedgerEntry]:
        """The entry of a key for a session, if there is one."""
        return self._read("key = ? AND sid = ?", (key, sid))

    def _read(self, where: str, values: tuple[bytes, ...]) -> list[LedgerEntry]:
        columns = "key, data_set, weights, manifest, setup, round, state_id, origin, header_hash, outcome"
        rows = self._mirrors.connection.execute(
            f"SELECT {columns} FROM ledger WHERE {where} ORDER BY rowid",  # noqa: S608
            values,
        )
        return [
            LedgerEntry(key, data_set, weights, manifest, setup, int(number), state_id, origin, header, SessionEnd(end))
            for key, data_set, weights, manifest, setup, number, state_id, origin, header, end in rows
        ]
