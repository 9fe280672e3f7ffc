"""What a client's store keeps of its submissions: the ledger, and what it sent, to be sent again.

A ledger entry is never erased; only its outcome changes, once. What was sent is kept under the weights that it was
computed from: one update q for each, however often a chain of sessions repeats it, and for each session a small part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

from privateyes.aggregation.ledger import LedgerEntry, SessionEnd, at_weights
from privateyes.errors import RefusedError
from privateyes.storage.mirrors import Mirrors
from privateyes.storage.sealed_file import Seal, SealedWriter

_PARTY_DIGITS: Final = 16


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


@dataclass(frozen=True, slots=True)
class KeptUpdate:
    """An update that is on disk, and the seal that it is worth nothing without."""

    party: str
    weights: bytes
    file: str
    seal: Seal


class UpdateSink:
    """Takes an update in pieces; ``KeptRows.sink`` gives it."""

    def __init__(self, party: str, weights: bytes, file: str, writer: SealedWriter) -> None:
        self._party, self._weights, self._file, self._writer = party, weights, file, writer

    def write(self, piece: bytes | memoryview) -> None:
        """Add a piece.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        self._writer.write(piece)

    def finish(self) -> KeptUpdate:
        """Force the update to disk, in every mirror. Then ``KeptRows.put_update`` it.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        return KeptUpdate(self._party, self._weights, self._file, self._writer.seal())


class KeptRows:
    """The submissions that a store keeps until a later step, or the end of all sessions at their weights."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    @contextmanager
    def sink(self, party: str, weights: bytes) -> Iterator[UpdateSink]:
        """Where an update is written to, in pieces. Nothing is stored until ``put_update``.

        Raises:
            RefusedError: an update from these weights is kept: there is one, and it is sent again.
            RunDirectoryError: a disk is full or fails.
        """
        connection = self._mirrors.connection
        found = connection.execute("SELECT 1 FROM kept_update WHERE party = ? AND weights = ?", (party, weights))
        if found.fetchone() is not None:
            raise _one_update(party)
        named = {file for (file,) in connection.execute("SELECT file FROM kept_update")}
        stem = hashlib.sha256(party.encode()).hexdigest()[:_PARTY_DIGITS]  # a name may hold what a file's may not
        # The first free place: its blocks are on the disk already.
        file = next(name for name in (f"{stem}.update-{place}" for place in count()) if name not in named)
        with SealedWriter(self._mirrors.body_files(file)) as writer:
            yield UpdateSink(party, weights, file, writer)

    def put_update(self, update: KeptUpdate) -> None:
        """Store the seal of an update, which is on disk already.

        Raises:
            RefusedError: an update from these weights is kept.
        """
        seal = update.seal
        row = (update.party, update.weights, update.file, seal.key, seal.tag, seal.length_bytes)
        statement = "INSERT INTO kept_update VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        if self._mirrors.write(statement, row) != 1:
            raise _one_update(update.party)

    def update(self, party: str, weights: bytes) -> bytearray | None:
        """The update from these weights; None if none is kept.

        Raises:
            RunDirectoryError: its file is missing, torn or damaged.
        """
        row = self._mirrors.connection.execute(
            "SELECT file, key, tag, length FROM kept_update WHERE party = ? AND weights = ?", (party, weights)
        ).fetchone()
        if row is None:
            return None
        return self._mirrors.read_body(row[0], Seal(bytes(row[1]), bytes(row[2]), row[3]))

    def put(self, party: str, sid: bytes, weights: bytes, body: bytes) -> None:
        """Store what a session's submission has beside the update.

        Raises:
            RefusedError: the update is not kept, or the session's submission is kept already.
        """
        statement = (
            "INSERT INTO kept SELECT ?, ?, ?, ? "
            "WHERE EXISTS (SELECT 1 FROM kept_update WHERE party = ? AND weights = ?) ON CONFLICT DO NOTHING"
        )
        if self._mirrors.write(statement, (party, sid, weights, body, party, weights)) != 1:
            raise RefusedError(f"{party} keeps no update from these weights, or this session's submission already")

    def at(self, party: str, weights: bytes) -> dict[bytes, bytes]:
        """The small parts of all submissions from these weights, by session, in the order of their sessions."""
        rows = self._mirrors.connection.execute(
            "SELECT sid, body FROM kept WHERE party = ? AND weights = ? ORDER BY rowid", (party, weights)
        )
        return {bytes(sid): bytes(body) for sid, body in rows}

    def erase(self, party: str, weights: bytes) -> bool:
        """Overwrite and delete everything that is kept from these weights.

        Returns:
            Whether there was anything. Then fold the journal, which still holds it.
        """
        changed = [
            self._mirrors.write(f"DELETE FROM {table} WHERE party = ? AND weights = ?", (party, weights))  # noqa: S608
            for table in ("kept", "kept_update")
        ]
        return any(changed)


def _one_update(party: str) -> RefusedError:
    return RefusedError(f"{party} keeps an update from these weights already", "send that one again")
