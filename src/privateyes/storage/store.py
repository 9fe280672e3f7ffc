"""What a party keeps on disk, so that it survives a kill at any moment and, with mirrors, the death of a disk.

A local run keeps all its parties in one store, each with rows of its own; in a real deployment every party has one. A
store lives in one folder (mirror.py tells what is in it), or in three or more on different disks (mirrors.py). The rows
are secret (identity keys, key chains, the group key): a store is readable by its owner alone, overwrites what it
deletes, and is emptied when the run is complete.

*One act.* ``PartyStore.create`` makes a store together with what it is for: the parties' identity keys and the random
ids of their data sets. There is no way to put an old key into a new store: whoever loses a store loses its keys.

*One process.* Whoever opens a store shuts out the process that had it open before: that one writes nothing any more,
and removes and overwrites no file of the other.

*Compare and swap.* A memory has a version, and is written over the version before it alone. So of two handlers that
read one memory, one stores its word and speaks; the other is refused, and nothing goes backwards.

*Large bodies* (an aggregator's share from COMMIT on, a client's update, the accepted state) do not stand
in the database, which would write each of them twice and then overwrite it. Each is written once, to a file of its own,
sealed under a key drawn for it (sealed_file.py) and forced to disk before the transaction that stores the key. Erasing
the row erases the body. A file that no row names is noise: it is overwritten by the next body of its kind or removed
when the store is closed or opened.

*How far erasing goes.* A deleted row is overwritten with zeros in the database's page; the journal, which holds earlier
pages, is folded in and emptied when a result is accepted, when an announcement makes a session void and when the store
is opened or closed. Out of reach are the blocks that the emptied journal gives back to the file system, copies that the
file system or the disk itself keeps (snapshots, flash), a mirror whose disk is away, and whatever was read into memory.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self

from privateyes.crypto.signature import SigningKey
from privateyes.errors import RefusedError, RunDirectoryError
from privateyes.storage.ledger_rows import LedgerRows
from privateyes.storage.majority import make_set
from privateyes.storage.mirror import holds_store
from privateyes.storage.mirrors import Mirrors
from privateyes.storage.party import LargeBody, StoredParty
from privateyes.storage.sealed_file import Seal, SealedWriter, write_sealed

DATA_SET_BYTES: Final = 32


class PartyStore:
    """Durable rows of every simulated party.

    Args:
        folders: the store's folder; or its mirrors, of which more than half must be there.

    Attributes:
        ledger: the clients' submissions, for ever.

    Raises:
        RunDirectoryError: there is no store, or one of another version or of another kind; too few of its mirrors are
            there; or it cannot be written.
    """

    def __init__(self, *folders: Path) -> None:
        self._mirrors = Mirrors(folders)
        self.ledger = LedgerRows(self._mirrors)
        self._parts: dict[str, StoredParty] = {}

    @classmethod
    def create(cls, *folders: Path, parties: Collection[str] = (), data_sets: Collection[str] = ()) -> Self:
        """Make a store, with a fresh identity key for each party and a fresh id for each one's data set.

        Args:
            folders: one, or three or more on different disks; empty.
            parties: who gets an identity key.
            data_sets: who has a data set.

        Raises:
            RunDirectoryError: two folders; one of them holds something; or it cannot be written.
        """
        rows = {
            "identity": [(party, SigningKey().secret_bytes()) for party in parties],
            "data_set": [(party, secrets.token_bytes(DATA_SET_BYTES)) for party in data_sets],
        }
        make_set(folders, rows)
        return cls(*folders)

    @staticmethod
    def exists(*folders: Path) -> bool:
        """Whether one of the folders holds a store, if only a damaged one; one whose making was not finished is none.

        Raises:
            RunDirectoryError: it holds one of another version.
        """
        return any(holds_store(folder) for folder in folders)

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._mirrors.connection

    @property
    def generation(self) -> int:
        """How many transactions are behind the store; never smaller than it was."""
        return self._mirrors.head.position.generation

    @property
    def start(self) -> int:
        """Which opening of the store this is. Only the last one writes."""
        return self._mirrors.start

    def snapshot(self) -> AbstractContextManager[None]:
        """All that is read inside is of one moment.

        Raises:
            RunDirectoryError: a write may have reached some mirrors only, or another process has opened the store.
        """
        return self._mirrors.snapshot()

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside are on disk when this returns, in every mirror, or nothing may be sent.

        Raises:
            RunDirectoryError: a disk is full or fails. In a store of one folder nothing was stored. In a mirrored one
                the transaction may have reached some mirrors: then no other begins until the store is opened again.
        """
        return self._mirrors.transaction()

    def put_manifest(self, manifest: str) -> None:
        """Pin the task's manifest, once.

        Raises:
            RunDirectoryError: one is pinned.
        """
        if self._mirrors.write("INSERT INTO task VALUES (1, ?) ON CONFLICT DO NOTHING", (manifest,)) != 1:
            raise RunDirectoryError("the store has a manifest already", "start the run in a new directory")

    def manifest(self) -> str | None:
        """The manifest that the parties pinned; None before the set-up."""
        row = self._connection.execute("SELECT manifest FROM task").fetchone()
        return None if row is None else str(row[0])

    def identities(self) -> dict[str, bytes]:
        """The identity keys by party: the seeds that were drawn when the store was made."""
        return dict(self._connection.execute("SELECT party, seed FROM identity"))

    def data_sets(self) -> dict[str, bytes]:
        """The ids of the data sets by party, drawn when the store was made."""
        return dict(self._connection.execute("SELECT party, id FROM data_set"))

    def put_task(self, party: str, task: bytes) -> None:
        """Note of which task a party's part is, once."""
        self._mirrors.write("INSERT INTO part VALUES (?, ?) ON CONFLICT DO NOTHING", (party, task))

    def _require_task(self, party: str, task: bytes) -> None:
        row = self._connection.execute("SELECT task FROM part WHERE party = ?", (party,)).fetchone()
        if row is not None and bytes(row[0]) != task:
            raise _another_task(party)

    def put_memory(self, party: str, body: bytes, version: int) -> None:
        """Replace a party's memory by the next version of it.

        Args:
            version: one more than the stored one's; 1 for the first.

        Raises:
            RefusedError: another version is stored: another handler wrote first. Nothing may be sent.
        """
        if version == 1:
            statement = "INSERT INTO memory VALUES (?, 1, ?) ON CONFLICT DO NOTHING"
            changed = self._mirrors.write(statement, (party, body))
        else:
            statement = "UPDATE memory SET version = ?, body = ? WHERE party = ? AND version = ?"
            changed = self._mirrors.write(statement, (version, body, party, version - 1))
        if changed != 1:
            raise RefusedError(
                f"version {version} of the memory of {party} does not follow version {self.memory_version(party)}, "
                "which is stored: another handler wrote first",
                "read the memory again",
            )

    def memory_version(self, party: str) -> int:
        """The version of a party's memory; 0 if it has none."""
        row = self._connection.execute("SELECT version FROM memory WHERE party = ?", (party,)).fetchone()
        return 0 if row is None else int(row[0])

    def memory(self, party: str) -> bytes:
        """A party's memory.

        Raises:
            RunDirectoryError: it has none.
        """
        row = self._connection.execute("SELECT body FROM memory WHERE party = ?", (party,)).fetchone()
        if row is None:
            raise RunDirectoryError(f"the store holds no memory of {party}", "start the run in a new directory")
        return bytes(row[0])

    # One party

    def party(self, name: str, task: bytes, owner: tuple[bytes, bytes] | None = None) -> StoredParty:
        """One party's part of one task, for its host; the same one each time. For the arguments see there.

        Raises:
            RefusedError: the part of that name is of another task.
        """
        part = self._parts.get(name)
        if part is None:
            self._require_task(name, task)
            part = self._parts[name] = StoredParty(self, name, task, owner)
        if part.task != task:
            raise _another_task(name)
        return part

    def small_bodies(self, party: str) -> dict[tuple[str, bytes], bytes]:
        """A party's small bodies, by stage and session."""
        rows = self._connection.execute("SELECT stage, sid, body FROM stage WHERE party = ?", (party,))
        return {(stage, bytes(sid)): bytes(body) for stage, sid, body in rows}

    def large_bodies(self, party: str) -> dict[tuple[str, bytes], LargeBody]:
        """Where a party's large bodies are, by stage and session."""
        columns = "stage, sid, file, key, tag, length"
        rows = self._connection.execute(f"SELECT {columns} FROM large WHERE party = ?", (party,))  # noqa: S608
        return {
            (stage, bytes(sid)): LargeBody(bytes(sid), party, stage, file, Seal(bytes(key), bytes(tag), length))
            for stage, sid, file, key, tag, length in rows
        }

    def put_stage(self, sid: bytes, party: str, stage: str, body: bytes) -> None:
        """Store how far a party is in a session. A second, different word about one stage is impossible.

        Raises:
            RunDirectoryError: that stage is stored already.
        """
        statement = "INSERT INTO stage VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        if self._mirrors.write(statement, (sid, party, stage, body)) != 1:
            raise _said_already(party, stage)

    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]:
        """The bodies of one stage of a session, by party."""
        rows = self._connection.execute("SELECT party, body FROM stage WHERE sid = ? AND stage = ?", (sid, stage))
        return {party: bytes(body) for party, body in rows}

    def remove_stage(self, sid: bytes, party: str, stage: str) -> None:
        """Take back what was stored of one stage, small or large."""
        for table in ("stage", "large"):
            statement = f"DELETE FROM {table} WHERE sid = ? AND party = ? AND stage = ?"  # noqa: S608 - ours
            self._mirrors.write(statement, (sid, party, stage))

    # Large bodies

    def writer(self, file: str) -> SealedWriter:
        """What writes a large body to its file in every mirror, in pieces; ``put_large`` it then. For any thread."""
        return SealedWriter(self._mirrors.body_files(file))

    def seal(self, file: str, body: bytes | memoryview) -> Seal:
        """Write a large body to its file in every mirror, and force it to disk; ``put_large`` it then. From any thread.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        return write_sealed(self._mirrors.body_files(file), [body])

    def put_large(self, body: LargeBody) -> None:
        """Store the seal of a large body, which is on disk already; as ``put_stage`` otherwise.

        Raises:
            RunDirectoryError: that stage is stored already.
        """
        row = (body.party, body.stage, body.sid, body.file, body.seal.key, body.seal.tag, body.seal.length_bytes)
        if self._mirrors.write("INSERT INTO large VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row) != 1:
            raise _said_already(body.party, body.stage)

    def large(self, sid: bytes, party: str, stage: str) -> bytearray | None:
        """A large body of a session; None if it was not stored.

        Raises:
            RunDirectoryError: its file is missing, torn or damaged.
        """
        row = self._connection.execute(
            "SELECT file, key, tag, length FROM large WHERE sid = ? AND party = ? AND stage = ?", (sid, party, stage)
        ).fetchone()
        return None if row is None else self._mirrors.read_body(row[0], Seal(bytes(row[1]), bytes(row[2]), row[3]))

    def read_large(self, body: LargeBody) -> bytearray:
        """A large body; from any thread.

        Raises:
            RunDirectoryError: its file is missing, torn or damaged.
        """
        return self._mirrors.read_body(body.file, body.seal)

    def clear_stages(self, but: Collection[bytes] = ()) -> bool:
        """Overwrite and delete what sessions left behind: shares, sums, rosters; of all parties and tasks.

        Args:
            but: sessions that may still need them.

        Returns:
            Whether there was anything. Then fold the journal, which still holds it.
        """
        return self._clear(self._sids_but(but))

    def clear_stages_of(self, parties: Collection[str], but: Collection[bytes] = ()) -> bool:
        """As ``clear_stages``, of some parties alone."""
        sids = self._sids_but(but)
        cleared = [self._clear(sids, party) for party in parties]
        return any(cleared)

    def _sids_but(self, but: Collection[bytes]) -> list[bytes]:
        rows = self._connection.execute("SELECT sid FROM stage UNION SELECT sid FROM large")
        return [bytes(sid) for (sid,) in rows if bytes(sid) not in but]

    def _clear(self, sids: Sequence[bytes], party: str | None = None) -> bool:
        where = "sid = ?" if party is None else "sid = ? AND party = ?"
        changed = [
            self._mirrors.write(f"DELETE FROM {table} WHERE {where}", (sid,) if party is None else (sid, party))  # noqa: S608
            for sid in sids
            for table in ("stage", "large")
        ]
        return any(changed)

    # The accepted state

    def write_state(self, pieces: Iterable[bytes | memoryview]) -> tuple[str, Seal]:
        """Write the state that is about to be accepted beside the one that was accepted last.

        Raises:
            RunDirectoryError: the disk is full or fails; the last accepted state is as it was.
        """
        row = self._connection.execute("SELECT file FROM accepted").fetchone()
        places = [f"accepted-{self.start}.{place}" for place in range(2)]
        free = places[0] if row is None or row[0] != places[0] else places[1]
        return free, write_sealed(self._mirrors.body_files(free), pieces)

    def put_accepted(self, before: bytes, round_number: int, state: tuple[str, Seal], report: str) -> None:
        """Store which state the clients accepted, which one it followed and what the round cost.

        Args:
            before: the digest of the state that it followed.
            round_number: how many rounds it has behind it.
            state: from ``write_state``.
        """
        file, seal = state
        row = (before, round_number, report, file, seal.key, seal.tag, seal.length_bytes)
        self._mirrors.write("DELETE FROM accepted")
        self._mirrors.write("INSERT INTO accepted VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)

    def amend_report(self, report: str) -> None:
        """Replace the cost of the round that was accepted last: what it took is known once it is stored.

        Not forced to disk: a power cut may take it back, and nothing else.

        Raises:
            RunDirectoryError: the disk is full or fails.
        """
        with self._mirrors.unforced():
            self._mirrors.write("UPDATE accepted SET report = ?", (report,))

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
        return self._mirrors.read_body(row[0], Seal(bytes(row[1]), bytes(row[2]), row[3])), str(row[4])

    def accepted_round(self) -> int | None:
        """How many rounds the state that was accepted last has behind it."""
        row = self._connection.execute("SELECT round FROM accepted").fetchone()
        return None if row is None else int(row[0])

    # Mirrors

    def missing_mirrors(self) -> tuple[str, ...]:
        """The folders of mirrors that were not there: the store goes on without them, and one disk fewer may die."""
        return self._mirrors.missing()

    def problem_of(self, mirror: str) -> str:
        """Why a mirror that is there cannot be used; empty if nothing is there, or it was not looked for."""
        return self._mirrors.problem_of(mirror)

    def mirror_folders(self) -> tuple[str, ...]:
        """The folders of all mirrors, absolute; of one folder, that one."""
        return self._mirrors.folders()

    def add_mirror(self, folder: Path) -> None:
        """Put one more mirror into a mirrored store; it is complete when this returns.

        Raises:
            RunDirectoryError: the store is in one folder; the folder is not empty; or a disk is full or fails.
        """
        self._mirrors.add(folder)

    def remove_mirror(self, folder: Path) -> None:
        """Take the mirror that is, or was, in a folder out of the store, and erase it if it is there.

        Raises:
            RunDirectoryError: there is none; two would be left; too few of the others are there; or a disk fails.
        """
        self._mirrors.remove(folder)

    def replace_mirror(self, folder: Path, fresh: Path) -> None:
        """Put a fresh mirror in the place of one that is, or was, in a folder.

        Args:
            fresh: an empty folder; the same one, if the old mirror is gone from it.

        Raises:
            RunDirectoryError: as ``add_mirror`` and ``remove_mirror``.
        """
        self._mirrors.replace(folder, fresh)

    # The end

    def destroy(self) -> None:
        """Overwrite every key and remove the files: the task is over, and its last state is safe elsewhere."""
        self._mirrors.destroy()

    def fold_journal(self) -> None:
        """Write the journal back and empty it: until then it holds earlier pages, and with them erased keys.

        Raises:
            RunDirectoryError: the disk is full or fails; what was stored stays stored, in the journal.
        """
        self._mirrors.fold_journals()

    def close(self) -> None:
        """Close the files, the journal folded in."""
        self._mirrors.close()


def _said_already(party: str, stage: str) -> RunDirectoryError:
    return RunDirectoryError(f"{party} is past {stage} in this session already", "announce a new round")


def _another_task(party: str) -> RefusedError:
    return RefusedError(
        f"the part {party!r} of this store is of another task",
        "give each task's part a name of its own; one store and its ledger are for all of them",
    )
