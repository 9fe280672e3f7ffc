"""One party's part of a store on disk, as its host reads and writes it.

A store may hold one party, as an operator's does, or all parties of a local run; and its parts may be of several tasks,
which share its ledger. Small bodies stand in rows and large ones in sealed files. A read shows everything at one
moment; a large body is opened when it is asked for. A write has two halves: ``prepare`` forces large bodies to disk, on
any thread; ``put`` writes the rows, in a transaction that parties of one store may share. Until then nothing of it is
stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import numpy as np

from privateyes.aggregation.ledger import SessionEnd
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.crypto.field import Elements
from privateyes.errors import RunDirectoryError
from privateyes.parties.effects import Name, View, Write
from privateyes.storage.sealed_file import Seal, SealedWriter

if TYPE_CHECKING:
    from privateyes.storage.store import PartyStore

_LARGE_BYTES: Final = 1 << 16
_NAME_DIGITS: Final = 16


class _Reserved:
    """A file that a handler writes to, until its rows are stored or nobody holds this any more."""


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A party's large body that is on disk, and the seal that it is worth nothing without."""

    sid: bytes
    party: str
    stage: str
    file: str
    seal: Seal
    reserved: _Reserved | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A body that was written in pieces: its file, and what opens it."""

    file: str
    seal: Seal
    reserved: _Reserved


class _SealedSink:
    """Writes a vector to its file in every mirror."""

    def __init__(self, file: str, reserved: _Reserved, writer: SealedWriter) -> None:
        self._file, self._reserved, self._writer = file, reserved, writer

    def write(self, piece: Elements, /) -> None:
        """Encrypt and write the piece.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        self._writer.write(piece.data.cast("B"))

    def finish(self) -> _Sealed:
        """Force all of it to disk.

        Raises:
            RunDirectoryError: a disk is full or fails.
        """
        return _Sealed(self._file, self._writer.seal(), self._reserved)


class _Bodies(Mapping[Name, Any]):
    """A party's bodies: the small ones, and how each large one is opened."""

    def __init__(
        self, small: Mapping[Name, Any], large: Mapping[Name, LargeBody], opened: Callable[[LargeBody], Any]
    ) -> None:
        self._small, self.large, self._opened = small, large, opened

    def __getitem__(self, name: Name) -> Any:
        return self._small[name] if name in self._small else self._opened(self.large[name])

    @property
    def files(self) -> set[str]:
        """The files that are taken."""
        return {body.file for body in self.large.values()}

    def __contains__(self, name: object) -> bool:
        return name in self._small or name in self.large  # opens nothing

    def __iter__(self) -> Iterator[Name]:
        return iter((*self._small, *self.large))

    def __len__(self) -> int:
        return len(self._small) + len(self.large)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A write whose large bodies are on disk.

    Attributes:
        seen: what its writer had read.
        what: all but large bodies; of a share, the elements too.
        large: those, by name.
    """

    seen: View
    what: Write
    large: Mapping[Name, LargeBody]

    @property
    def erases(self) -> bool:
        """Whether something that is there will be gone: then the journal still holds it."""
        return any(body is None and name in self.seen.bodies for name, body in self.what.bodies.items())


class StoredParty:
    """One party's part; ``PartyStore.party`` gives it.

    Args:
        store: holds it.
        name: the party's, in the store; another one for each task.
        task: H(manifest) of the task that its memory is of.
        owner: of a client's part, its public key and the name of its data set: whose ledger it is shown.
    """

    def __init__(self, store: PartyStore, name: str, task: bytes, owner: tuple[bytes, bytes] | None) -> None:
        self.name, self.task, self._store, self._owner = name, task, store, owner
        self._memory: Any = None
        self._finding = Lock()
        self._named: set[str] = set()  # files that rows name
        self._written: WeakValueDictionary[str, _Reserved] = WeakValueDictionary()
        self._shares: dict[Name, Any] = {}
        """What was committed to in this process: it is needed again in a moment."""

    @property
    def memory(self) -> Any:
        """What the party remembers; None before its first set-up.

        Raises:
            MalformedError: the store is damaged.
        """
        if self._memory is None and self._store.memory_version(self.name):
            kind = AggregatorMemory if self._owner is None else ClientMemory
            self._memory = kind.from_bytes(self._store.memory(self.name))
        return self._memory

    def forget(self) -> None:
        """Know only what is on disk."""
        self._memory, self._shares = None, {}

    def read(self) -> View:
        """Everything, as it is now. Of the ledger the rows that a step may need: those at the party's weights, those
        that are not settled, and those of sessions of which something is kept.

        Raises:
            MalformedError: the store is damaged.
            RunDirectoryError: a write may have reached some mirrors only, or another process has opened the store.
        """
        with self._store.snapshot():
            small: dict[Name, Any] = dict(self._store.small_bodies(self.name))
            if self.memory is not None:
                small["memory", self.task] = self.memory
            bodies = _Bodies(small, self._store.large_bodies(self.name), self._opened)
            with self._finding:
                self._named = bodies.files
            return View(bodies, self._rows(bodies), partial(self._sink, bodies))

    @contextmanager
    def _sink(self, bodies: _Bodies, kind: str, _count: int, _dtype: np.dtype[Any]) -> Iterator[_SealedSink]:
        """One body of a kind at a time; the write that names it follows."""
        file, reserved = self._free_place(kind, bodies.files)
        with self._store.writer(file) as writer:
            yield _SealedSink(file, reserved, writer)

    def _free_place(self, kind: str, seen: Collection[str]) -> tuple[str, _Reserved]:
        """The first one: its blocks are on the disk already. Of two handlers that began from one view, the second would
        else write over what the first one committed to.
        """
        with self._finding:
            taken = self._named.union(seen, self._written)
            file = next(name for name in self._places(kind) if name not in taken)
            reserved = self._written[file] = _Reserved()
        return file, reserved

    def _places(self, kind: str) -> Iterator[str]:
        """File names for bodies of a kind."""
        own = self.name.replace(" ", "-")
        if not re.fullmatch("[a-z]{1,20}(-[0-9]{1,9})?", own):  # a name may hold what a file's may not
            own = hashlib.sha256(self.name.encode()).hexdigest()[:_NAME_DIGITS]
        return (f"{own}.{self._store.start}.{place}.{kind}" for place in count())

    def _rows(self, bodies: _Bodies) -> tuple[Any, ...]:
        if self._owner is None or self.memory is None:
            return ()
        kept = [sid for kind, sid in bodies if kind == "kept"]
        return tuple(self._store.ledger.concerning(*self._owner, self.memory.state.weights, kept))

    def _opened(self, body: LargeBody) -> Any:
        held = self._shares.get((body.stage, body.sid))
        return self._store.read_large(body) if held is None else held

    # Writing

    def write(self, seen: View, what: Write) -> None:
        """All of it or nothing.

        Args:
            seen: what the writer had read.

        Raises:
            RefusedError: another writer stored a memory, or a row of the ledger, since it was read.
            RunDirectoryError: a disk is full or fails; nothing may be sent.
        """
        write_together(self._store, [(self, self.prepare(seen, what))])

    def prepare(self, seen: View, what: Write) -> Prepared:
        """Write the large bodies to their files and force them to disk; from any thread.

        Raises:
            RunDirectoryError: a disk is full or fails, or the view is of another store.
        """
        if not isinstance(seen.bodies, _Bodies):
            raise RunDirectoryError(f"{self.name} was shown another store", "begin again from what is stored")
        files, large = seen.bodies.files, {}
        for (kind, key), body in what.bodies.items():
            if isinstance(body, _Sealed):
                large[kind, key] = LargeBody(key, self.name, kind, body.file, body.seal, body.reserved)
            elif isinstance(body, np.ndarray) or (isinstance(body, bytes) and len(body) > _LARGE_BYTES):
                file, reserved = self._free_place(kind, files)
                piece = body if isinstance(body, bytes) else body.data.cast("B")
                large[kind, key] = LargeBody(key, self.name, kind, file, self._store.seal(file, piece), reserved)
        kept = {name: body for name, body in what.bodies.items() if name not in large or name[0] == "share"}
        return Prepared(seen, Write(kept, what.rows), large)

    def put(self, prepared: Prepared) -> None:
        """Write the rows; inside a transaction, after which ``took`` is called.

        Raises:
            RefusedError: as ``write``.
            RunDirectoryError: what nobody saw is there already, or a disk is full or fails.
        """
        store, seen = self._store, prepared.seen
        store.put_task(self.name, self.task)
        for (kind, key), body in prepared.what.bodies.items():
            if kind == "memory":
                store.put_memory(self.name, body.to_bytes(), body.version)
            elif body is None or (kind, key) in seen.bodies:
                store.remove_stage(key, self.name, kind)
            if kind != "memory" and body is not None and (kind, key) not in prepared.large:
                store.put_stage(key, self.name, kind, body)
        for name, large in prepared.large.items():
            if name in seen.bodies:
                store.remove_stage(large.sid, self.name, large.stage)
            store.put_large(large)
        for row in prepared.what.rows:
            if row.end is SessionEnd.UNKNOWN:
                store.ledger.append(row, seen.rows)
            else:
                store.ledger.end(row)

    def took(self, prepared: Prepared) -> None:
        """What was put is on disk."""
        with self._finding:
            self._named |= {body.file for body in prepared.large.values()}
        for name, body in prepared.what.bodies.items():
            if name[0] == "memory":
                self._memory = body
            elif body is None:
                self._shares.pop(name, None)
            elif name in prepared.large:
                self._shares[name] = body


def write_together(
    store: PartyStore, writes: Sequence[tuple[StoredParty, Prepared]], besides: Iterable[Callable[[], object]] = ()
) -> None:
    """The writes of several parties of one store, all of them or none.

    Args:
        besides: what else is written in the same transaction.

    Raises:
        RefusedError, RunDirectoryError: as ``StoredParty.write``.
    """
    try:
        with store.transaction():
            for party, prepared in writes:
                party.put(prepared)
            for write in besides:
                write()
        for party, prepared in writes:
            party.took(prepared)
    except BaseException:  # another handler was first, or nobody knows what is on disk: look there
        for party, _ in writes:
            party.forget()
        raise
    if any(prepared.erases for _, prepared in writes):
        store.fold_journal()
