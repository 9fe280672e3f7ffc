"""The wire between the parties of a local run: every message crosses it as bytes, is counted, and is recorded.

A receiver parses what it gets with the same strict reader that a network would force on it, so nothing passes between
parties as a Python object. What reaches several receivers in the same bytes is parsed once.

The record keeps every signed message, the hub's word on its sum, and of those that carry a vector the receipt, whose
signed statement is the same. A public task's delivery is recorded whole.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Delivery, HubSum, Message, Opening, Signed

M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=Signed)


class Place(StrEnum):
    """Where a message comes from or goes to."""

    CLIENT = "client"
    HUB = "hub"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class TrafficKey:
    """One kind of message on one path."""

    message: str
    sender: Place
    receiver: Place


@dataclass(slots=True)
class Traffic:
    """Messages and bytes on one path."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Wire:
    """Carries messages and counts them. Several threads may call ``carry`` and ``forward``, one the rest.

    Attributes:
        manifest: gives the sizes that parsing needs.
        keep: is given each recorded message's kind and bytes before the message goes out; a file, for example.
        traffic: by kind and path.
        transcript: what was recorded, in order: kind and bytes, once however many received it.
    """

    manifest: Manifest
    keep: Callable[[str, bytes], None] | None = None
    traffic: dict[TrafficKey, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    transcript: list[tuple[str, bytes]] = field(default_factory=list)
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def carry(self, message: M, sender: Place, receiver: Place, copies: int = 1) -> M:
        """Send a message as bytes to ``copies`` receivers and return what they parse.

        Raises:
            MalformedError: the receiver cannot parse it.
        """
        return type(message).from_bytes(self._count(message, [(sender, receiver, copies)]), self.manifest)

    def relay(self, message: S, sender: Place, receiver: Place, copies: int = 1) -> S:
        """Send a signed message through the hub, which may only forward it; it is recorded.

        Raises:
            MalformedError: the receiver cannot parse it.
            RunDirectoryError: the record cannot be written; nothing was sent.
        """
        self.record(message)
        return self.forward(message, sender, receiver, copies)

    def tell(self, message: M, sender: Place, receiver: Place, copies: int = 1) -> M:
        """As ``relay``, but straight to the receivers; it is recorded.

        Raises:
            MalformedError: the receiver cannot parse it.
            RunDirectoryError: the record cannot be written; nothing was sent.
        """
        self.record(message)
        return self.carry(message, sender, receiver, copies)

    def forward(self, message: M, sender: Place, receiver: Place, copies: int = 1) -> M:
        """As ``relay``, for a message that is recorded already; from any thread.

        Raises:
            MalformedError: the receiver cannot parse it.
        """
        hops = [(sender, Place.HUB, 1), (Place.HUB, receiver, copies)]
        return type(message).from_bytes(self._count(message, hops), self.manifest)

    def _count(self, message: Message, hops: Iterable[tuple[Place, Place, int]]) -> bytes:
        data = message.to_bytes()
        with self._counting:
            for sender, receiver, copies in hops:
                entry = self.traffic[TrafficKey(type(message).__name__, sender, receiver)]
                entry.messages += copies
                entry.bytes += copies * len(data)
        return data

    def record(self, message: Message) -> None:
        """Record a message, or the receipt of one that carries a vector.

        Raises:
            RunDirectoryError: the record cannot be written; so the message must not go out.
        """
        kept: Message = message
        if isinstance(message, Opening | HubSum) or (isinstance(message, Delivery) and self.manifest.sealed):
            kept = message.receipt(self.manifest.bulk_hash)
        kind, data = type(kept).__name__, kept.to_bytes()
        self.transcript.append((kind, data))
        if self.keep is not None:
            self.keep(kind, data)

    def bytes_between(self, sender: Place, receiver: Place) -> int:
        """All bytes on one path."""
        return sum(
            entry.bytes for key, entry in self.traffic.items() if (key.sender, key.receiver) == (sender, receiver)
        )

    def table(self) -> list[dict[str, Any]]:
        """The traffic as rows that JSON can hold."""
        return [
            {
                "message": key.message,
                "from": key.sender.value,
                "to": key.receiver.value,
                "messages": entry.messages,
                "bytes": entry.bytes,
            }
            for key, entry in self.traffic.items()
        ]
