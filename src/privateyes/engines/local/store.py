"""What the parties of a local run keep on disk: one SQLite file, and a file for each large body, that survive a kill at
any moment.

Every party's rows are its own; in a real deployment each would have a file on a machine of its own. The SQLite file
holds secrets (identity keys, key chains, the group key), so it is readable by its owner alone, overwrites what it
deletes, and is emptied when the run is complete.

*Large bodies* (an aggregator's share from COMMIT on, the hub's sum, the accepted state) do not stand in the database,
which would write each of them twice and then overwrite it. Each is written once, to a file of its own, sealed under a
key drawn for it (sealed_file.py) and forced to disk before the transaction that stores the key. Erasing the row erases
the body. A file that no row names is noise: it is overwritten by the next body of its kind or removed when the store is
closed or opened.

*How far erasing goes.* A deleted row is overwritten with zeros in the database's page; the journal, which holds earlier
pages, is folded in and emptied when a result is accepted, when an announcement makes a session void and when the store
is opened or closed. Out of reach are the blocks that the emptied journal gives back to the file system, copies that the
file system or the disk itself keeps (snapshots, flash), and whatever was read into memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privateyes.engines.local.sealed_file import Seal, read_sealed, write_sealed
from privateyes.errors import RunDirectoryError

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS task (only INTEGER PRIMARY KEY CHECK (only = 1), manifest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS identity (party TEXT PRIMARY KEY, seed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS memory (party TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS stage (
    sid BLOB NOT NULL, party TEXT NOT NULL, stage TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (sid, party, stage)
);
CREATE TABLE IF NOT EXISTS large (
    party TEXT NOT NULL, stage TEXT NOT NULL, sid BLOB NOT NULL, file TEXT NOT NULL UNIQUE, key BLOB NOT NULL,
    tag BLOB NOT NULL, length INTEGER NOT NULL, PRIMARY KEY (party, stage)
);
CREATE TABLE IF NOT EXISTS accepted (
    only INTEGER PRIMARY KEY CHECK (only = 1), before BLOB NOT NULL, round INTEGER NOT NULL, report TEXT NOT NULL,
    file TEXT NOT NULL, key BLOB NOT NULL, tag BLOB NOT NULL, length INTEGER NOT NULL
);
"""
_TABLES: Final = ("task", "identity", "memory", "stage", "large", "accepted")
_STATE_FILES: Final = ("accepted-0", "accepted-1")


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A party's large body of one stage that is on disk, and the seal that it is worth nothing without."""

    party: str
    stage: str
    file: str
    seal: Seal


class PartyStore:
    """Durable rows of every simulated party.

    Args:
        path: the file; made if it is missing. The large bodies stand in a directory beside it.

    Raises:
        RunDirectoryError: the file is no party store, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.stem}.bodies")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except (OSError, sqlite3.OperationalError) as error:  # a full disk, a missing right: not the file's fault
            raise self._unwritable(error) from None
        except sqlite3.DatabaseError as error:
            raise RunDirectoryError(
                f"{path} is not a party store ({error})", "start the run in a new directory"
            ) from None
        self._remove_files(but=self._files_in_use())

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA secure_delete = ON")
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        known = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if known and version != _VERSION:
            self._connection.close()
            raise RunDirectoryError(
                f"{self._path} was made by another version of privateyes (store {version}, not {_VERSION})",
                "finish the run with that version, or start it in a new directory",
            )
        if not known:
            # All of it or nothing: a kill in between must not look like another version's store.
            self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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

    def put_manifest(self, manifest: str) -> None:
        """Pin the task's manifest, once."""
        self._connection.execute("INSERT INTO task VALUES (1, ?)", (manifest,))

    def manifest(self) -> str | None:
        """The manifest that the parties pinned; None before the set-up."""
        row = self._connection.execute("SELECT manifest FROM task").fetchone()
        return None if row is None else str(row[0])

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
            raise _said_already(party, stage) from None

    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]:
        """The bodies of one stage of a session, by party."""
        rows = self._connection.execute("SELECT party, body FROM stage WHERE sid = ? AND stage = ?", (sid, stage))
        return {party: bytes(body) for party, body in rows}

    # Large bodies

    def write_large(self, bodies: Mapping[tuple[str, str], Sequence[bytes | memoryview]]) -> list[LargeBody]:
        """Write large bodies to their files, side by side, and force them to disk. Then ``put_large`` each.

        Args:
            bodies: (party, stage) -> the body in pieces.

        Raises:
            RunDirectoryError: a party has such a body, and overwriting its file would lose it; or the disk is full or
                fails.
        """
        for party, stage in bodies:
            found = self._connection.execute("SELECT 1 FROM large WHERE party = ? AND stage = ?", (party, stage))
            if found.fetchone() is not None:
                raise _said_already(party, stage)
        files = {name: self._folder / f"{name[0].replace(' ', '-')}.{name[1]}" for name in bodies}
        # On threads of its own, whatever the size: forcing to disk is waiting, and waiting side by side is once.
        with ThreadPoolExecutor(len(bodies), "privateyes-store") as threads:
            seals = list(threads.map(lambda name: write_sealed(files[name], bodies[name]), bodies))
        return [
            LargeBody(party, stage, files[party, stage].name, seal)
            for (party, stage), seal in zip(bodies, seals, strict=True)
        ]

    def put_large(self, sid: bytes, body: LargeBody) -> None:
        """Store the seal of a large body, which is on disk already; as ``put_stage`` otherwise.

        Raises:
            RunDirectoryError: that stage is stored already.
        """
        row = (body.party, body.stage, sid, body.file, body.seal.key, body.seal.tag, body.seal.length_bytes)
        try:
            self._connection.execute("INSERT INTO large VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise _said_already(body.party, body.stage) from None

    def large(self, sid: bytes, party: str, stage: str) -> bytearray | None:
        """A large body of a session; None if it was not stored.

        Raises:
            RunDirectoryError: its file is missing, torn or damaged.
        """
        row = self._connection.execute(
            "SELECT file, key, tag, length FROM large WHERE sid = ? AND party = ? AND stage = ?", (sid, party, stage)
        ).fetchone()
        return None if row is None else read_sealed(self._folder / row[0], Seal(bytes(row[1]), bytes(row[2]), row[3]))

    def clear_stages(self) -> bool:
        """Overwrite and delete what sessions left behind: shares, salts, sums.

        Returns:
            Whether there was anything. Then fold the journal, which still holds it.
        """
        small = self._connection.execute("DELETE FROM stage")
        large = self._connection.execute("DELETE FROM large")
        return small.rowcount + large.rowcount > 0

    def clear_stages_of(self, party: str) -> None:
        """Overwrite and delete one party's words: it stopped the session that they belong to."""
        self._connection.execute("DELETE FROM stage WHERE party = ?", (party,))
        self._connection.execute("DELETE FROM large WHERE party = ?", (party,))

    # The accepted state

    def write_state(self, pieces: Iterable[bytes | memoryview]) -> tuple[Path, Seal]:
        """Write the state that is about to be accepted beside the one that was accepted last.

        Raises:
            RunDirectoryError: the disk is full or fails; the last accepted state is as it was.
        """
        row = self._connection.execute("SELECT file FROM accepted").fetchone()
        free = _STATE_FILES[0] if row is None or row[0] != _STATE_FILES[0] else _STATE_FILES[1]
        return self._folder / free, write_sealed(self._folder / free, pieces)

    def put_accepted(self, before: bytes, round_number: int, state: tuple[Path, Seal], report: str) -> None:
        """Store which state the clients accepted, which one it followed and what the round cost.

        Args:
            before: the digest of the state that it followed.
            round_number: how many rounds it has behind it.
            state: from ``write_state``.
        """
        file, seal = state
        row = (before, round_number, report, file.name, seal.key, seal.tag, seal.length_bytes)
        self._connection.execute("DELETE FROM accepted")
        self._connection.execute("INSERT INTO accepted VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)

    def amend_report(self, report: str) -> None:
        """Replace the cost of the round that was accepted last: what it took is known once it is stored.

        Not forced to disk: a power cut may take it back, and nothing else.

        Raises:
            RunDirectoryError: the disk is full or fails.
        """
        try:
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("UPDATE accepted SET report = ?", (report,))
        except sqlite3.Error as error:
            raise self._unwritable(error) from None
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")

    def accepted_after(self, before: bytes) -> tuple[bytearray, str] | None:
        """The state that the clients accepted last, if it followed ``before``, and what its round cost.

        Raises:
            RunDirectoryError: its file is missing, torn or damaged.
        """
        row = self._connection.execute(
            "SELECT file, key, tag, length, report FROM accepted WHERE before = ?", (before,)
        ).fetchone()
        if row is None:
            return None
        return read_sealed(self._folder / row[0], Seal(bytes(row[1]), bytes(row[2]), row[3])), str(row[4])

    def accepted_round(self) -> int | None:
        """How many rounds the state that was accepted last has behind it."""
        row = self._connection.execute("SELECT round FROM accepted").fetchone()
        return None if row is None else int(row[0])

    # The end

    def destroy(self) -> None:
        """Overwrite every key and remove the files: the task is over, and its last state is safe elsewhere."""
        with self.transaction():
            for table in _TABLES:
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from this module
        self.close()
        with suppress(OSError):
            self._folder.rmdir()
        for suffix in ("-wal", "-shm", ""):  # the file itself last: as long as it is there, this can be done again
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
        """Close the files, the journal folded in."""
        try:
            self.fold_journal()
            self._remove_files(but=self._files_in_use())
        finally:
            self._connection.close()

    def _files_in_use(self) -> set[str]:
        rows = self._connection.execute("SELECT file FROM large UNION SELECT file FROM accepted")
        return {name for (name,) in rows}

    def _remove_files(self, but: set[str]) -> None:
        """Remove what a kill or an ended session left behind: without its key it is noise, but it takes space."""
        for file in self._folder.iterdir():
            if file.name not in but:
                with suppress(OSError):  # the next time, then
                    file.unlink()

    def _unwritable(self, error: sqlite3.Error | OSError) -> RunDirectoryError:
        return RunDirectoryError(f"{self._path} cannot be written ({error})", "free some space and resume the run")


def _said_already(party: str, stage: str) -> RunDirectoryError:
    return RunDirectoryError(f"{party} is past {stage} in this session already", "announce a new round")
