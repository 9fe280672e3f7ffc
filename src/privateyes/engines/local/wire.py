"""The wire between the parties of a local run: every message crosses it as bytes, is counted, and goes into the
transcript if signed.

A receiver parses what it gets with the same strict reader that a network would force on it, so nothing passes between
parties as a Python object.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Message, Signed

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
    """Carries messages and counts them.

    Attributes:
        manifest: gives the sizes that the receiver insists on.
        traffic: by kind and path.
        transcript: the signed messages in order, each with its kind and bytes, once however many received it.
    """

    manifest: Manifest
    traffic: dict[TrafficKey, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    transcript: list[tuple[str, bytes]] = field(default_factory=list)

    def carry(self, message: M, sender: Place, receiver: Place, copies: int = 1) -> M:
        """Send a message as bytes to ``copies`` receivers and return what they parse.

        Raises:
            MalformedError: the receiver cannot parse it.
        """
        return type(message).from_bytes(self._count(message, [(sender, receiver, copies)]), self.manifest)

    def relay(self, message: S, sender: Place, receiver: Place, copies: int = 1) -> S:
        """Send a signed message through the hub, which may only forward it; it enters the transcript.

        Raises:
            MalformedError: the receiver cannot parse it.
        """
        self.record(message)
        hops = [(sender, Place.HUB, 1), (Place.HUB, receiver, copies)]
        return type(message).from_bytes(self._count(message, hops), self.manifest)

    def _count(self, message: Message, hops: Iterable[tuple[Place, Place, int]]) -> bytes:
        data = message.to_bytes()
        for sender, receiver, copies in hops:
            entry = self.traffic[TrafficKey(type(message).__name__, sender, receiver)]
            entry.messages += copies
            entry.bytes += copies * len(data)
        return data

    def record(self, message: Signed) -> None:
        """Add a signed message to the transcript; of one that carries a vector, the commitment stands there instead."""
        if not hasattr(message, "share"):
            self.transcript.append((type(message).__name__, message.to_bytes()))

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
