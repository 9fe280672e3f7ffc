"""What the parties of a local run keep on disk: one SQLite file that survives a kill at any moment.

Every party's rows are its own; in a real deployment each would have a file on a machine of its own. The file holds
secrets (identity keys, key chains, the group key), so it is readable by its owner alone, overwrites what it deletes,
and is emptied when the run is complete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privateyes.errors import RunDirectoryError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (party TEXT PRIMARY KEY, seed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS memory (party TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stage (
    sid BLOB NOT NULL, party TEXT NOT NULL, stage TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (sid, party, stage)
);
CREATE TABLE IF NOT EXISTS accepted (only INTEGER PRIMARY KEY CHECK (only = 1), before BLOB NOT NULL, after BLOB NOT
NULL, report TEXT NOT NULL);
"""


class PartyStore:
    """Durable rows of every simulated party.

    Args:
        path: the file; made if it is missing.

    Raises:
        RunDirectoryError: the file is no party store, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._path = path
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:  # a full disk, a missing right: not the file's fault
            raise self._unwritable(error) from None
        except sqlite3.DatabaseError as error:
            raise RunDirectoryError(
                f"{path} is not a party store ({error})", "start the run in a new directory"
            ) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are on disk when this returns, or none is.

        Raises:
            RunDirectoryError: the disk is full or fails; nothing was stored, so nothing may be sent.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it by itself when the disk is full
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def put_identity(self, party: str, seed: bytes) -> None:
        """Store a party's identity key, once."""
        self._connection.execute("INSERT INTO identity VALUES (?, ?)", (party, seed))

    def identities(self) -> dict[str, bytes]:
        """All identity keys by party; empty before the set-up."""
        return dict(self._connection.execute("SELECT party, seed FROM identity"))

    def put_memory(self, party: str, body: bytes) -> None:
        """Replace a party's memory."""
        self._connection.execute(
            "INSERT INTO memory VALUES (?, ?) ON CONFLICT (party) DO UPDATE SET body = excluded.body", (party, body)
        )

    def memory(self, party: str) -> bytes:
        """A party's memory.

        Raises:
            RunDirectoryError: it has none.
        """
        row = self._connection.execute("SELECT body FROM memory WHERE party = ?", (party,)).fetchone()
        if row is None:
            raise RunDirectoryError(f"{self._path} holds no memory of {party}", "start the run in a new directory")
        return bytes(row[0])

    def put_stage(self, sid: bytes, party: str, stage: str, body: bytes) -> None:
        """Store how far a party is in a session. A second, different word about one stage is impossible.

        Raises:
            RunDirectoryError: that stage is stored already.
        """
        try:
            self._connection.execute("INSERT INTO stage VALUES (?, ?, ?, ?)", (sid, party, stage, body))
        except sqlite3.IntegrityError:
            raise RunDirectoryError(
                f"{party} is past {stage} in this session already", "announce a new round"
            ) from None

    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]:
        """The bodies of one stage of a session, by party."""
        rows = self._connection.execute("SELECT party, body FROM stage WHERE sid = ? AND stage = ?", (sid, stage))
        return {party: bytes(body) for party, body in rows}

    def clear_stages(self) -> None:
        """Overwrite and delete what sessions left behind: shares, salts, sums."""
        self._connection.execute("DELETE FROM stage")

    def clear_stages_of(self, party: str) -> None:
        """Overwrite and delete one party's words: it has closed the sessions that they belong to."""
        self._connection.execute("DELETE FROM stage WHERE party = ?", (party,))

    def put_accepted(self, before: bytes, after: bytes, report: str) -> None:
        """Store the state that the clients accepted: which one it followed, its bytes, and what the round cost."""
        self._connection.execute("DELETE FROM accepted")
        self._connection.execute("INSERT INTO accepted VALUES (1, ?, ?, ?)", (before, after, report))

    def amend_report(self, report: str) -> None:
        """Replace the cost of the round that was accepted last: what it took is known once it is stored."""
        self._connection.execute("UPDATE accepted SET report = ?", (report,))

    def accepted(self) -> tuple[bytes, bytes, str] | None:
        """What ``put_accepted`` stored last."""
        row = self._connection.execute("SELECT before, after, report FROM accepted").fetchone()
        return None if row is None else (bytes(row[0]), bytes(row[1]), str(row[2]))

    def destroy(self) -> None:
        """Overwrite every key and remove the file: the task is over, and its last state is safe elsewhere."""
        with self.transaction():
            for table in ("identity", "memory", "stage", "accepted"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def fold_journal(self) -> None:
        """Write the journal back and empty it: until then it holds earlier pages, and with them erased keys.

        Raises:
            RunDirectoryError: the disk is full or fails; what was stored stays stored, in the journal.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Close the file, its journal folded in."""
        try:
            self.fold_journal()
        finally:
            self._connection.close()

    def _unwritable(self, error: sqlite3.Error) -> RunDirectoryError:
        return RunDirectoryError(f"{self._path} cannot be written ({error})", "free some space and resume the run")
