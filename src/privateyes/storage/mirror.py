"""One folder of a party's store: a SQLite file for what is small, and a folder with a sealed file for each large body.

    <folder>/parties.sqlite         rows; secrets among them, so its owner alone can read it
    <folder>/parties.sqlite-wal     SQLite's journal, folded in and emptied where something secret was erased
    <folder>/parties.bodies/<name>  one large body, sealed; the seal stands in a row

A folder knows which store it belongs to, which of the store's mirrors it is, and how new its rows are (``Head``).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from privateyes.errors import RunDirectoryError
from privateyes.files import force_directory
from privateyes.storage.sealed_file import Seal

STORE_NAME: Final = "parties.sqlite"
BODIES_NAME: Final = "parties.bodies"

_VERSION: Final = 5
_HEAD: Final = """
CREATE TABLE mirror (
    only INTEGER PRIMARY KEY CHECK (only = 1), store BLOB NOT NULL, id BLOB NOT NULL, members TEXT NOT NULL,
    promised INTEGER NOT NULL, start INTEGER NOT NULL, generation INTEGER NOT NULL
)
"""
_SCHEMA: Final = {
    "task": "only INTEGER PRIMARY KEY CHECK (only = 1), manifest TEXT NOT NULL",
    "identity": "party TEXT PRIMARY KEY, seed BLOB NOT NULL",
    "data_set": "party TEXT PRIMARY KEY, id BLOB NOT NULL",
    "part": "party TEXT PRIMARY KEY, task BLOB NOT NULL",
    "memory": "party TEXT PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL",
    "stage": "sid BLOB NOT NULL, party TEXT NOT NULL, stage TEXT NOT NULL, body BLOB NOT NULL, "
    "PRIMARY KEY (sid, party, stage)",
    "large": "party TEXT NOT NULL, stage TEXT NOT NULL, sid BLOB NOT NULL, file TEXT NOT NULL UNIQUE, "
    "key BLOB NOT NULL, tag BLOB NOT NULL, length INTEGER NOT NULL, PRIMARY KEY (sid, party, stage)",
    "accepted": "only INTEGER PRIMARY KEY CHECK (only = 1), before BLOB NOT NULL, round INTEGER NOT NULL, "
    "report TEXT NOT NULL, file TEXT NOT NULL, key BLOB NOT NULL, tag BLOB NOT NULL, length INTEGER NOT NULL",
    "ledger": "key BLOB NOT NULL, data_set BLOB NOT NULL, weights BLOB NOT NULL, manifest BLOB NOT NULL, "
    "setup BLOB NOT NULL, round TEXT NOT NULL, state_id BLOB NOT NULL, sid BLOB NOT NULL, origin BLOB NOT NULL, "
    "header_hash BLOB NOT NULL, outcome INTEGER NOT NULL CHECK (outcome IN (0, 1, 2)), PRIMARY KEY (key, sid)",
}
"""The tables whose rows are the same in every mirror."""
_WITH_BODIES: Final = ("large", "accepted")

Value: TypeAlias = bytes | str | int


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How new rows are: of two mirrors, the one with the larger position is newer.

    Attributes:
        start: the number of the start under which they were written; 0 before the first one.
        generation: how many transactions are behind them.
    """

    start: int
    generation: int


@dataclass(frozen=True, slots=True)
class Member:
    """One mirror of a store, as all of them have it written down: its random id, and the folder that it was last in."""

    id: bytes
    folder: str


@dataclass(frozen=True, slots=True)
class Head:
    """What a mirror says about itself.

    Attributes:
        store: the store that it belongs to; drawn at random when that was made.
        id: which of its mirrors it is.
        members: the set of mirrors; empty in a fresh mirror that no set names yet.
        promised: it takes no write of a start with a smaller number.
        position: how new its rows are. Generation 0: not all of a new store's mirrors were made yet.
    """

    store: bytes
    id: bytes
    members: tuple[Member, ...]
    promised: int
    position: Position


@dataclass(frozen=True, slots=True)
class Unreached:
    """A folder in which there is no mirror to be read.

    Attributes:
        empty: nothing is there, or a mirror that never belonged to a set.
    """

    folder: Path
    problem: str
    remedy: str
    empty: bool = False

    def error(self) -> RunDirectoryError:
        """As an error of its own."""
        return RunDirectoryError(self.problem, self.remedy)


class Mirror:
    """An open mirror. ``open_mirror`` and ``make_mirror`` give one."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder, self.connection = folder, connection
        self._path, self._bodies = folder / STORE_NAME, folder / BODIES_NAME
        self._file = self._identity()

    # What it says about itself

    def head(self) -> Head:
        """As it is stored now, or as this transaction has it."""
        columns = "store, id, members, promised, start, generation"
        with self.guarded():
            row = self.connection.execute(f"SELECT {columns} FROM mirror").fetchone()  # noqa: S608 - from above
        store, own_id, members, promised, start, generation = row
        return Head(bytes(store), bytes(own_id), _load_members(members), promised, Position(start, generation))

    def put_members(self, members: Sequence[Member]) -> None:
        """Write the set of mirrors down; inside a transaction."""
        with self.guarded():
            self.connection.execute("UPDATE mirror SET members = ?", (_dump_members(members),))

    def put_position(self, position: Position) -> None:
        """Write down how new the rows are; inside a transaction."""
        with self.guarded():
            self.connection.execute(
                "UPDATE mirror SET start = ?, generation = ?", (position.start, position.generation)
            )

    def promise(self, start: int) -> None:
        """From now on, take no write of an earlier start.

        Raises:
            RunDirectoryError: a later start has this promise already, or it cannot be written.
        """
        with self.guarded():
            cursor = self.connection.execute("UPDATE mirror SET promised = ? WHERE promised < ?", (start, start))
        if cursor.rowcount != 1:
            raise RunDirectoryError(f"another process opens the store in {self.folder}", "let one of them use it")

    def is_sound(self) -> bool:
        """Whether SQLite finds its file undamaged."""
        try:
            return bool(self.connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
        except sqlite3.Error:
            return False

    # Transactions

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Errors of the database name the folder.

        Raises:
            RunDirectoryError: the disk is full or fails.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise self.unwritable(error) from None

    def force(self, always: bool) -> None:
        """Whether a transaction is on disk when ``commit`` returns. If not, a power cut may take it back."""
        with self.guarded():
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if always else 'NORMAL'}")

    def begin(self) -> None:
        """Begin a transaction, as the only writer."""
        with self.guarded():
            self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End the transaction: all of it is stored."""
        with self.guarded():
            self.connection.execute("COMMIT")

    def roll_back(self) -> None:
        """End the transaction, if one is left: nothing of it is stored."""
        if self.connection.in_transaction:  # SQLite ends it by itself when the disk is full
            self.connection.execute("ROLLBACK")

    def require_in_place(self) -> None:
        """Refuse to write into a file that somebody removed or replaced: SQLite would not notice.

        Raises:
            RunDirectoryError: the file is another one, or gone.
        """
        try:
            if self._identity() == self._file:
                return
            problem = "another file is in its place"
        except OSError as error:
            problem = str(error)
        raise self.unwritable(problem)

    def _identity(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino

    def take_over(self, source: Mirror) -> None:
        """Replace all rows by those of a newer mirror; inside a transaction."""
        for table in _SCHEMA:
            rows = source.connection.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608 - ours
            self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from this module
            if rows:
                places = ", ".join("?" * len(rows[0]))
                self.connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - as above

    def unwritable(self, error: sqlite3.Error | OSError | str) -> RunDirectoryError:
        """The error for a mirror that a word could not be written to."""
        return _unwritable(self.folder, error)

    # Large bodies

    def body(self, file: str) -> Path:
        """The file of a large body."""
        return self._bodies / file

    def bodies(self) -> list[tuple[str, Seal]]:
        """The file and the seal of every large body that a row names."""
        found = []
        for table in _WITH_BODIES:
            rows = self.connection.execute(f"SELECT file, key, tag, length FROM {table}")  # noqa: S608 - ours
            found += [(str(file), Seal(bytes(key), bytes(tag), length)) for file, key, tag, length in rows]
        return found

    def remove_strays(self, start: int) -> None:
        """Remove what a kill or an ended session left behind: without its key it is noise, but it takes space.

        Args:
            start: if a later one has the promise, the files may be those that it is writing, and are left.
        """
        try:
            with suppress(RunDirectoryError, sqlite3.Error, OSError):  # the next time, then
                self.begin()
                named = {file for file, _ in self.bodies()}
                for path in self._bodies.iterdir() if self.head().promised == start else ():
                    if path.name not in named:
                        path.unlink(missing_ok=True)
        finally:
            self.roll_back()

    # The end

    def fold_journal(self) -> None:
        """Write the journal back and empty it.

        Raises:
            RunDirectoryError: the disk is full or fails; what was stored stays stored, in the journal.
        """
        with self.guarded():
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the files, the journal folded in.

        Raises:
            RunDirectoryError: as ``fold_journal``; closed it is all the same.
        """
        try:
            self.fold_journal()
        finally:
            self.connection.close()

    def clear(self) -> None:
        """Overwrite every row; inside a transaction."""
        for table in _SCHEMA:
            self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from this module

    def unlink(self) -> None:
        """Remove the files, once closed."""
        with suppress(OSError):
            self._bodies.rmdir()
        _unlink(self._path)


def open_mirror(folder: Path) -> Mirror | Unreached:
    """Open the mirror in a folder.

    Raises:
        RunDirectoryError: it is of another version.
    """
    path = folder / STORE_NAME
    remedy = "attach its disk; a store is made once, together with its keys, and never again for the same keys"
    if not path.is_file():
        return Unreached(folder, f"{folder} holds no store", remedy, empty=True)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            made = _prepare(connection, path)
            if made:
                (folder / BODIES_NAME).mkdir(mode=0o700, exist_ok=True)
                return Mirror(folder, connection)
        except BaseException:
            connection.close()
            raise
        connection.close()
        return Unreached(folder, f"the making of the store in {folder} was not finished", "make it again", empty=True)
    except (OSError, sqlite3.OperationalError) as error:  # a full disk, a missing right: not the file's fault
        unwritable = _unwritable(folder, error)
        return Unreached(folder, unwritable.problem, unwritable.remedy)
    except sqlite3.DatabaseError as error:
        return Unreached(folder, f"{path} is not a party store ({error})", "start the run in a new directory")


def _prepare(connection: sqlite3.Connection, path: Path) -> bool:
    """Set the connection up; whether a mirror is there that belongs to a set."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    known = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not known:
        return False
    if version != _VERSION:
        raise RunDirectoryError(
            f"{path} was made by another version of privateyes (store {version}, not {_VERSION})",
            "finish the run with that version, or start it in a new directory",
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return bool(connection.execute("SELECT count(*) FROM mirror WHERE members <> '[]'").fetchone()[0])


def make_mirror(folder: Path, head: Head, rows: Mapping[str, Collection[tuple[Value, ...]]]) -> Mirror:
    """Make a mirror where there is none, all of it or nothing.

    Args:
        folder: made if it is missing. What a making that was not finished left there is replaced.
        head: what the mirror says about itself.
        rows: its first rows, by table.

    Raises:
        RunDirectoryError: a store is there, or something else; or the disk is full or fails.
    """
    require_empty(folder)
    path = folder / STORE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _unlink(path)
        path.touch(mode=0o600)
        (folder / BODIES_NAME).mkdir(mode=0o700, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            _prepare(connection, path)
            _fill(connection, head, rows)
            force_directory(folder)
            force_directory(folder.parent)
            return Mirror(folder, connection)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise _unwritable(folder, error) from None


def _fill(connection: sqlite3.Connection, head: Head, rows: Mapping[str, Collection[tuple[Value, ...]]]) -> None:
    """Tables and first rows in one transaction: a kill in between must not look like another version's store."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_HEAD)
    for table, columns in _SCHEMA.items():
        connection.execute(f"CREATE TABLE {table} ({columns})")
    connection.execute("CREATE INDEX ledger_weights ON ledger (weights)")
    connection.execute("CREATE INDEX ledger_unsettled ON ledger (key) WHERE outcome = 0")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    start, generation = head.position.start, head.position.generation
    own: tuple[Any, ...] = (head.store, head.id, _dump_members(head.members), head.promised, start, generation)
    connection.execute("INSERT INTO mirror VALUES (1, ?, ?, ?, ?, ?, ?)", own)
    for table, given in rows.items():
        for row in given:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - ours
    connection.execute("COMMIT")


def holds_store(folder: Path) -> bool:
    """Whether a folder holds a store, or a file in its place that is none; not one whose making was not finished.

    Raises:
        RunDirectoryError: it holds one of another version.
    """
    found = open_mirror(folder)
    if isinstance(found, Unreached):
        return not found.empty
    generation = found.head().position.generation
    found.connection.close()
    return generation > 0


def require_empty(folder: Path) -> None:
    """Refuse to overwrite a store, or a file that is none. One whose making was not finished may be overwritten.

    Raises:
        RunDirectoryError: something is there.
    """
    if holds_store(folder):
        found = open_mirror(folder)
        if isinstance(found, Unreached):
            raise found.error()
        found.connection.close()
        raise RunDirectoryError(f"{folder} holds a store already", "open it, or name a new folder")


def remove_unfinished(folder: Path) -> None:
    """Remove what a making that was not finished left: no row is in it."""
    with suppress(OSError):
        (folder / BODIES_NAME).rmdir()
    _unlink(folder / STORE_NAME)


def _unlink(path: Path) -> None:
    for suffix in ("-wal", "-shm", ""):  # the file itself last: as long as it is there, this can be done again
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _unwritable(folder: Path, error: sqlite3.Error | OSError | str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{folder} cannot be written ({error})", "free some space or repair the disk, and resume the run"
    )


def _dump_members(members: Sequence[Member]) -> str:
    return json.dumps([[member.id.hex(), member.folder] for member in members])


def _load_members(text: str) -> tuple[Member, ...]:
    return tuple(Member(bytes.fromhex(own_id), folder) for own_id, folder in json.loads(text))


def label_of(folder: Path) -> str:
    """How a mirror's folder is written down and named in errors."""
    return os.path.abspath(folder)
