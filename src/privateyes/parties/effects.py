"""What a host reads before it acts, and what its act leads to: first something is stored, then something is sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from privateyes.aggregation.ledger import LedgerEntry
from privateyes.crypto.field import Elements
from privateyes.errors import MalformedError, PrivateyesError, RefusedError, RunDirectoryError
from privateyes.parties.packets import Packet, Part

Name: TypeAlias = tuple[str, bytes]
"""What a body is and what it belongs to: ("memory", H(manifest)), ("share", sid), ("kept", sid) and so on."""


Answer: TypeAlias = Sequence[Part]
"""What a handler answers: the parts of a packet."""
Draw: TypeAlias = Callable[[int], bytes]
"""Gives so many fresh secret bytes."""


class Sink(Protocol):
    """Takes a vector in pieces, so that whoever makes it need not hold the whole of it."""

    def write(self, piece: Elements, /) -> None:
        """Add a piece, which is valid during the call only."""

    def finish(self) -> Any:
        """The vector, as a body of a ``Write``."""


class _HeldVector:
    """In memory."""

    def __init__(self, count: int, dtype: np.dtype[Any]) -> None:
        self._vector, self._filled = np.empty(count, dtype), 0

    def write(self, piece: Elements, /) -> None:
        """Copy the piece."""
        self._vector[self._filled : self._filled + piece.size] = piece
        self._filled += piece.size

    def finish(self) -> Elements:
        """All pieces in one."""
        return self._vector


@contextmanager
def held_vector(_: str, count: int, dtype: np.dtype[Any]) -> Iterator[Sink]:
    """A sink that holds its vector."""
    yield _HeldVector(count, dtype)


@dataclass(frozen=True, slots=True)
class View:
    """A party's store, as it was at one moment.

    Attributes:
        bodies: memories, shares, models and kept submissions by name.
        rows: the data set's ledger, or at least what a step may need of it (``StoredParty.read``); an aggregator and
            the hub have none.
        sink: where a large body of some kind is written to in pieces: its length and type; before the write that names
            it.
    """

    bodies: Mapping[Name, Any]
    rows: tuple[LedgerEntry, ...] = ()
    sink: Callable[[str, int, np.dtype[Any]], AbstractContextManager[Sink]] = field(
        default=held_vector, repr=False, compare=False
    )

    def get(self, kind: str, key: bytes) -> Any:
        """A body, or None."""
        return self.bodies.get((kind, key))


@dataclass(frozen=True, slots=True)
class Write:
    """What must be stored before anything is sent; all of it or nothing.

    Attributes:
        bodies: by name; None erases one. A memory counts one version more than the one before it, so that a store can
            refuse the slower of two writers that began from one view.
        rows: new and changed rows of the ledger; refused if the ledger is not what the view showed.
    """

    bodies: Mapping[Name, Any] = field(repr=False)
    rows: tuple[LedgerEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Effects:
    """What a request leads to.

    Attributes:
        write: to be stored first; None if nothing changes.
        packets: to be sent then, to nobody if empty.
        failure: why a party does less than it was asked for, though it goes on: it does not submit, or complains.
    """

    write: Write | None = None
    packets: tuple[Packet, ...] = ()
    failure: PrivateyesError | None = None


class Host:
    """A party: a handler for each request, which says what to store and returns the words of the answer.

    Args:
        name: as in packets, such as "client 1".
        own: the party's state machine.
        draw: gives so many fresh secret bytes; the system's generator, but for test vectors.
    """

    def __init__(self, name: str, own: Any, draw: Draw = secrets.token_bytes) -> None:
        self.name, self.own, self.manifest, self.draw = name, own, own.manifest, draw
        self.slot = own.manifest.digest()
        self.seen = View({})
        self.setup: Any = None
        """The set-up under way; it is on no disk, and a party that is restarted makes another one."""
        self.failure: PrivateyesError | None = None
        self._write: Write | None = None

    def handle(self, packet: Packet, view: View) -> Effects:
        """What a request leads to; nothing of it is stored or sent yet.

        Raises:
            MalformedError: no such request, or it carries something else.
            ProtocolError: the party's own guards refuse it; nothing changes.
        """
        handler: Callable[[Packet], Answer | None] | None = getattr(self, f"do_{packet.step}", None)
        if handler is None or packet.receiver != self.name:
            raise MalformedError(f"{self.name} knows no {packet.step}")
        self.seen, self._write, self.failure = view, None, None
        try:
            answer = handler(packet)
            packets = () if answer is None else (packet.answer(answer),)
            return Effects(self._write, packets, self.failure)
        finally:  # what the store erases must not live on here
            self.seen, self._write = View({}), None

    def store(self, memory: Any, bodies: Mapping[Name, Any] | None = None, rows: tuple[LedgerEntry, ...] = ()) -> None:
        """Say what must be stored before the answer is sent."""
        if self._write is not None:
            raise RunDirectoryError(f"{self.name} would write twice for one request", "report this as a bug")
        self._write = Write({("memory", self.slot): memory, **(bodies or {})}, rows)

    def elements(self, kind: str, key: bytes, count: int) -> Elements | None:
        """A vector of so many elements; a store shows it as it was given, or as bytes. None if it is not there.

        Raises:
            RunDirectoryError: it is damaged.
        """
        body = self.seen.get(kind, key)
        if body is None or isinstance(body, np.ndarray):
            return body
        elements: Elements = self.manifest.field.from_bytes(memoryview(body), count)
        return elements

    def held(self) -> Any:
        """The memory that the view shows, which this step takes."""
        memory = self.seen.get("memory", self.slot)
        if memory is None:
            raise RefusedError(f"{self.name} has no memory of this task", "make a set-up first")
        return memory

    def begun(self) -> Any:
        """Its set-up under way, which the hub must have asked for before."""
        if self.setup is None:
            raise RefusedError(f"{self.name} makes no set-up", "ask it for its keys first")
        return self.setup
