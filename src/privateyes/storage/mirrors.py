"""One store in one folder, or in three or more mirror folders on different disks: all of them have every word before it
is sent.

A transaction runs in every mirror and commits in one after the other; large bodies are forced to every disk before it
begins. Only when the last mirror has it does the call return, and only then is a word sent. Several files do not commit
together, so a kill can leave a transaction in some of them: each mirror therefore counts them (its ``Position``), and a
start brings all to the newest (majority.py). Either outcome of such a kill is right, as the word was not sent: without
the transaction nothing was said; with it, a word counts as said that nobody heard, and it comes back byte for byte.

A write that fails in one mirror after another has it stops the store: nothing is written or read any more until it is
opened again. Else the word would be read where it stands, and sent, though the others do not have it. A store of one
folder is the same with a set of one: it rolls back and goes on.

A mirror lies on a disk of this machine, or on one that looks so: SQLite's journal is not for network file systems.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from privateyes.errors import RunDirectoryError
from privateyes.storage.ended import note_ended
from privateyes.storage.majority import (
    FEWEST_MIRRORS,
    MIRROR_ID_BYTES,
    open_set,
    require_majority,
    settle,
    transaction_in,
)
from privateyes.storage.mirror import (
    Head,
    Member,
    Mirror,
    Position,
    Unreached,
    Value,
    label_of,
    make_mirror,
    open_mirror,
    remove_unfinished,
)
from privateyes.storage.sealed_file import Seal, read_sealed


class Mirrors:
    """The mirrors of an open store that were reached, as one.

    Args:
        folders: of the store, or of its mirrors.

    Attributes:
        start: the number of this start. The names of large bodies hold it: who was shut out writes over none of them.

    Raises:
        RunDirectoryError: as ``open_set``.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._mirrors, unreached, self.start = open_set(folders)
        self._problems = {label_of(one.folder): one.problem for one in unreached if not one.empty}
        self._writing = self._torn = self._stopped = False

    @property
    def connection(self) -> sqlite3.Connection:
        """Where rows are read.

        Raises:
            RunDirectoryError: a write may have reached some mirrors only, or another process has opened the store: what
                is read here may be lost, so nothing may be sent for it.
        """
        self.require_usable()
        return self._mirrors[0].connection

    def require_usable(self) -> None:
        """Refuse to go on after a write that may have reached some mirrors only, or under another process's start.

        Raises:
            RunDirectoryError: as said.
        """
        self._require_whole()
        if not self._mirrors[0].connection.in_transaction:  # which has looked when it began
            self._require_promise()

    def _require_promise(self) -> None:
        if self._mirrors[0].head().promised != self.start:
            raise self._shut_out()

    def _require_whole(self) -> None:
        if self._stopped:
            raise self._half_written()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All rows that are read inside are of one moment, at which no other process had opened the store.

        Raises:
            RunDirectoryError: as ``connection``.
        """
        connection = self._mirrors[0].connection
        if connection.in_transaction:
            yield
            return
        self._require_whole()
        try:
            with self._mirrors[0].guarded():
                connection.execute("BEGIN")  # with the first row that is read, the promise, the moment is fixed
            self._require_promise()
            yield
        finally:
            self._mirrors[0].roll_back()

    def _shut_out(self) -> RunDirectoryError:
        return RunDirectoryError(
            f"another process has opened the store in {self._mirrors[0].folder}", "let one of them use it"
        )

    def _half_written(self) -> RunDirectoryError:
        return RunDirectoryError(
            f"a write reached some mirrors of the store in {self._mirrors[0].folder} and not all; nothing was sent",
            "open the store again: the newest mirror brings the others up",
        )

    @property
    def head(self) -> Head:
        """What the first mirror says about itself."""
        return self._mirrors[0].head()

    def missing(self) -> tuple[str, ...]:
        """The folders of the set that were not reached."""
        reached = self._reached_ids()
        return tuple(member.folder for member in self.head.members if member.id not in reached)

    def problem_of(self, folder: str) -> str:
        """Why a mirror in this folder could not be reached; empty if nothing is there."""
        return self._problems.get(folder, "")

    def folders(self) -> tuple[str, ...]:
        """The folders of the set, reached or not."""
        return tuple(member.folder for member in self.head.members)

    # Rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are in every mirror when this returns, and on its disk.

        Raises:
            RunDirectoryError: a disk is full or fails, or another process has opened the store. Nothing may be sent.
        """
        self._require_idle()
        try:
            with transaction_in(self._mirrors):
                position = self._common_position()
                self._writing = True
                yield
                if self._torn:
                    raise self._mirrors[0].unwritable("a write did not do the same in all mirrors")
                for mirror in self._mirrors:
                    mirror.put_position(replace(position, generation=position.generation + 1))
                self._stopped = True  # until all of them have committed, or none
            self._stopped = False
        except sqlite3.Error as error:
            raise self._mirrors[0].unwritable(error) from None
        finally:
            self._writing = self._torn = False
            self._go_on_if_even()

    def _go_on_if_even(self) -> None:
        """After a transaction that failed at its end: if all mirrors are at one position, no word is in some only."""
        if self._stopped:
            with suppress(RunDirectoryError):
                self._stopped = len({mirror.head().position for mirror in self._mirrors}) > 1

    @contextmanager
    def unforced(self) -> Iterator[None]:
        """As ``transaction``, but not forced to disk: a power cut may take it back."""
        try:
            for mirror in self._mirrors:
                mirror.force(False)
            with self.transaction():
                yield
        finally:
            for mirror in self._mirrors:
                mirror.force(True)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """The transaction that is open, or else one of its own: nobody writes between what is read and written inside.

        Raises:
            RunDirectoryError: as ``transaction``.
        """
        with nullcontext() if self._writing else self.transaction():
            yield

    def _require_idle(self) -> None:
        if self._writing:  # before SQLite refuses it, and ends the transaction that is open
            raise self._mirrors[0].unwritable("a transaction is open already")

    def _common_position(self) -> Position:
        """Where all mirrors are.

        Raises:
            RunDirectoryError: they differ, or another start has their promise.
        """
        self._require_whole()
        heads = [mirror.head() for mirror in self._mirrors]
        if any(head.promised != self.start for head in heads):
            raise self._shut_out()
        if len({head.position for head in heads}) > 1:
            raise self._half_written()
        for mirror in self._mirrors:
            mirror.require_in_place()
        return heads[0].position

    def write(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Write rows in every mirror; outside a transaction, in one of its own.

        Returns:
            How many rows it changed.

        Raises:
            RunDirectoryError: as ``transaction``.
        """
        if not self._writing:
            with self.transaction():
                return self.write(statement, values)
        changed = []
        try:
            for mirror in self._mirrors:
                with mirror.guarded():
                    changed.append(mirror.connection.execute(statement, values).rowcount)
        finally:
            if len(changed) not in {0, len(self._mirrors)} or len(set(changed)) > 1:
                self._torn = True  # whatever the caller makes of the error
        return changed[0]

    def fold_journals(self) -> None:
        """Write every journal back and empty it: until then it holds earlier pages, and with them erased keys.

        Raises:
            RunDirectoryError: a disk is full or fails; what was stored stays stored, in the journal.
        """
        for mirror in self._mirrors:
            mirror.fold_journal()

    # Large bodies

    def body_files(self, name: str) -> list[Path]:
        """The files of one large body, one in each mirror; to write one. From any thread.

        Raises:
            RunDirectoryError: a write may have reached some mirrors only; what looks free here may be named in others.
        """
        self._require_whole()
        return [mirror.body(name) for mirror in self._mirrors]

    def read_body(self, name: str, seal: Seal) -> bytearray:
        """A large body, from the first mirror that has it whole.

        Raises:
            RunDirectoryError: in each of them, its file is missing, torn or damaged.
        """
        *others, last = [mirror.body(name) for mirror in self._mirrors]
        for path in others:
            with suppress(RunDirectoryError):
                return read_sealed(path, seal)
        return read_sealed(last, seal)

    # The set

    def add(self, folder: Path) -> None:
        """Put a fresh mirror into an empty folder and into the set.

        After a kill, open the store with that folder too: if the mirror is there, it is in the set, or is refused.

        Raises:
            RunDirectoryError: the store is in one folder; the folder holds something; or a disk is full or fails.
        """
        self._require_idle()
        head = self.head
        if len(head.members) < FEWEST_MIRRORS:
            raise RunDirectoryError(
                f"the store in {self._mirrors[0].folder} was made in one folder", "a mirrored store is made so"
            )
        member = Member(secrets.token_bytes(MIRROR_ID_BYTES), label_of(folder))
        fresh = make_mirror(folder, Head(head.store, member.id, (), self.start, Position(0, 0)), {})
        try:
            # The fresh one first: where it is written down, it is complete.
            self._settle([fresh, *self._mirrors], [*head.members, member])
        except BaseException:
            fresh.connection.close()
            raise
        self._mirrors.append(fresh)

    def remove(self, folder: Path) -> None:
        """Take the mirror that is, or was, in this folder out of the set. If it was reached, it is erased.

        Raises:
            RunDirectoryError: the set does not name it, it would be left with two, or more than half of it could not be
                reached; or a disk is full or fails.
        """
        self._drop(self._member_at(folder))

    def replace(self, folder: Path, fresh: Path) -> None:
        """Put a fresh mirror in the place of another: ``add``, then ``remove``. Called again, it ends what it began.

        Args:
            folder: where the other is, or was.
            fresh: an empty folder; the same one, if the other is gone from it.

        Raises:
            RunDirectoryError: as ``add`` and ``remove``.
        """
        old = self._member_at(folder)
        if label_of(fresh) not in {label_of(mirror.folder) for mirror in self._mirrors}:
            self.add(fresh)
        elif old.id in self._reached_ids():
            raise RunDirectoryError(f"the mirror in {folder} is in use", "name an empty folder for the fresh one")
        self._drop(old)

    def _settle(self, mirrors: Sequence[Mirror], members: Sequence[Member]) -> None:
        self._require_whole()
        self._stopped = True
        try:
            settle(mirrors, members, self.start)
            self._stopped = False
        finally:
            self._go_on_if_even()

    def _reached_ids(self) -> set[bytes]:
        return {mirror.head().id for mirror in self._mirrors}

    def _member_at(self, folder: Path) -> Member:
        """The mirror in this folder; of two that the set has there, the one that is gone."""
        members, reached = self.head.members, self._reached_ids()
        found = [member for member in members if member.folder == label_of(folder)]
        if not found:
            known = ", ".join(member.folder for member in members)
            raise RunDirectoryError(f"{folder} is no mirror of this store", f"its mirrors are: {known}")
        return min(found, key=lambda member: member.id in reached)

    def _drop(self, dropped: Member) -> None:
        self._require_idle()
        members = [member for member in self.head.members if member.id != dropped.id]
        if len(members) < FEWEST_MIRRORS:
            raise RunDirectoryError(
                f"the store would be left with {len(members)} mirrors, and with two, losing either is final",
                "replace the mirror, or add another one first",
            )
        gone = [mirror for mirror in self._mirrors if mirror.head().id == dropped.id]
        left = [mirror for mirror in self._mirrors if mirror not in gone]
        require_majority(left, members, [])
        self._settle(left, members)
        self._mirrors = left
        for mirror in gone:
            _destroy(mirror)

    # The end

    def destroy(self) -> None:
        """Overwrite every row and remove all files."""
        if len(self.head.members) == 1:  # what is in one folder can be copied as a whole
            with suppress(OSError):  # a full disk stops no erasing
                note_ended(self._mirrors[0].folder, self.head.store)
        with self.transaction():
            for mirror in self._mirrors:
                mirror.clear()
        self.close()
        for mirror in self._mirrors:
            mirror.unlink()

    def close(self) -> None:
        """Close every mirror, its journal folded in.

        Raises:
            RunDirectoryError: as ``fold_journals``; closed they are all the same.
        """
        with ExitStack() as stack:
            for mirror in self._mirrors:
                stack.callback(mirror.close)
                stack.callback(mirror.remove_strays, self.start)


def erase_mirror(folder: Path) -> None:
    """Erase a mirror that belongs to no set any more, or whose making was not finished.

    Raises:
        RunDirectoryError: a disk fails.
    """
    found = open_mirror(folder)
    if not isinstance(found, Unreached):
        _destroy(found)
    elif found.empty:
        remove_unfinished(folder)


def _destroy(mirror: Mirror) -> None:
    with transaction_in([mirror]), mirror.guarded():
        mirror.clear()
    mirror.remove_strays(mirror.head().promised)
    mirror.close()
    mirror.unlink()
