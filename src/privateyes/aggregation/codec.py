"""How messages become bytes: fixed layouts whose sizes follow from the manifest, and strict parsing.

A message class annotates each field with one of the codecs below. Writing concatenates them after one kind byte;
reading takes exactly those bytes, refuses anything missing, trailing or non-canonical, and copies nothing large.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from privateyes.aggregation.manifest import Manifest
from privateyes.crypto.field import Elements
from privateyes.errors import MalformedError


class Reader:
    """A cursor over received bytes.

    Args:
        data: one whole message.
        manifest: gives the size of a vector.
        what: the message's name, for errors.
    """

    def __init__(self, data: bytes | memoryview, manifest: Manifest, what: str) -> None:
        self.manifest = manifest
        self._view = memoryview(data).toreadonly()
        self._position = 0
        self._what = what

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes.

        Raises:
            MalformedError: fewer are left.
        """
        end = self._position + count
        if end > self._view.nbytes:
            raise MalformedError(f"{self._what} ends after {self._view.nbytes} bytes, before byte {end}")
        piece = self._view[self._position : end]
        self._position = end
        return piece

    def rest(self) -> memoryview:
        """All bytes that are left."""
        return self.take(self._view.nbytes - self._position)

    def finish(self) -> None:
        """Refuse trailing bytes.

        Raises:
            MalformedError: some are left.
        """
        if self._position != self._view.nbytes:
            raise MalformedError(f"{self._what} has {self._view.nbytes - self._position} trailing bytes")


class Codec(Protocol):
    """How one field is written and read."""

    def write(self, value: Any) -> bytes | memoryview:
        """The field's bytes."""
        ...

    def read(self, reader: Reader) -> Any:
        """The field's value, strictly."""
        ...


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A big-endian unsigned integer of ``size`` bytes."""

    size: int

    def write(self, value: int) -> bytes:
        """The integer's bytes."""
        return value.to_bytes(self.size, "big")

    def read(self, reader: Reader) -> int:
        """The integer."""
        return int.from_bytes(reader.take(self.size), "big")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Exactly ``size`` bytes."""

    size: int

    def write(self, value: bytes) -> bytes:
        """The bytes themselves.

        Raises:
            MalformedError: another length.
        """
        if len(value) != self.size:
            raise MalformedError(f"a field of {self.size} bytes was given {len(value)}")
        return value

    def read(self, reader: Reader) -> bytes:
        """The bytes."""
        return bytes(reader.take(self.size))


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes of any length from ``least`` on, after an eight-byte count."""

    least: int

    def write(self, value: bytes) -> bytes:
        """The count and the bytes.

        Raises:
            MalformedError: too few.
        """
        if len(value) < self.least:
            raise MalformedError(f"a field of at least {self.least} bytes was given {len(value)}")
        return len(value).to_bytes(8, "big") + value

    def read(self, reader: Reader) -> bytes:
        """The bytes.

        Raises:
            MalformedError: too few.
        """
        count = int.from_bytes(reader.take(8), "big")
        if count < self.least:
            raise MalformedError(f"a field of at least {self.least} bytes has {count}")
        return bytes(reader.take(count))


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of at most 255 equal-sized values: one for each aggregator, for example."""

    item: Fixed

    def write(self, values: tuple[bytes, ...]) -> bytes:
        """A count byte and the values."""
        return len(values).to_bytes(1, "big") + b"".join(self.item.write(value) for value in values)

    def read(self, reader: Reader) -> tuple[bytes, ...]:
        """The values in order."""
        count = reader.take(1)[0]
        return tuple(self.item.read(reader) for _ in range(count))


@dataclass(frozen=True, slots=True)
class RosterEntries:
    """Pairs (client, header hash), strictly ascending by client, so that a roster has one encoding."""

    def write(self, entries: tuple[tuple[int, bytes], ...]) -> bytes:
        """A four-byte count, then a four-byte client and a 32-byte hash for each."""
        return len(entries).to_bytes(4, "big") + b"".join(
            client.to_bytes(4, "big") + value for client, value in entries
        )

    def read(self, reader: Reader) -> tuple[tuple[int, bytes], ...]:
        """The entries.

        Raises:
            MalformedError: more than the manifest's clients, or not strictly ascending.
        """
        count = int.from_bytes(reader.take(4), "big")
        if count > len(reader.manifest.clients):
            raise MalformedError(f"a roster of {count} clients, of {len(reader.manifest.clients)} in the manifest")
        entries = tuple((int.from_bytes(reader.take(4), "big"), bytes(reader.take(32))) for _ in range(count))
        if any(left[0] >= right[0] for left, right in pairwise(entries)):
            raise MalformedError("a roster is not sorted by client, or names one twice")
        return entries


@dataclass(frozen=True, slots=True)
class ShareVector:
    """d + 1 + k field elements, in the manifest's field; its length needs no count."""

    def write(self, elements: Elements) -> memoryview:
        """The elements' little-endian bytes, not copied."""
        return elements.data.cast("B")

    def read(self, reader: Reader) -> Elements:
        """The elements, read-only and not copied.

        Raises:
            MalformedError: wrong length or a word that is not below p.
        """
        manifest = reader.manifest
        count = manifest.share_elements
        return manifest.field.from_bytes(reader.take(count * manifest.field.element_bytes), count)
