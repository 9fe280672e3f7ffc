"""What passes between the parties of a local run: every message is counted, and the record is kept.

Messages are carried as they are, not as bytes: parsing a large vector once for each receiver would cost as much as
masking it (decision 0008). What is counted is what a network would carry: a message once to each receiver, and to no
aggregator its own.

The record keeps every signed message, the hub's word on its sum, and of those that carry a vector the receipt, whose
signed statement is the same. A public task's delivery is recorded whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    Delivery,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Message,
    Opening,
    Origin,
    Signed,
    Submission,
)
from privateyes.crypto.labels import Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.parties.packets import HUB, Packet, aggregator_name

_OF_THE_HUB: Final = (HubRequest, Header, HubCommitment, HubSum, Delivery)
"""What is recorded when the hub sends it; everybody else's words are, when they come to the hub."""
_WITH_VECTOR: Final = (Submission, Opening, HubSum, Delivery)
_REPEATED: Final = ("words", "resend")
"""Answers that were recorded when they were given first."""


class Endpoint(StrEnum):
    """Where a message comes from or goes to."""

    CLIENT = "client"
    HUB = "hub"
    AGGREGATOR = "aggregator"


@dataclass(frozen=True, slots=True)
class TrafficKey:
    """One kind of message on one path."""

    message: str
    sender: Endpoint
    receiver: Endpoint


@dataclass(slots=True)
class Traffic:
    """Messages and bytes on one path."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class MessageLog:
    """Carries packets, on one thread.

    Attributes:
        manifest: the task's.
        keep: is given each recorded message's kind and bytes before the message goes out; a file, for example.
        lanes: what large vectors are hashed with.
        traffic: by kind and path.
        transcript: what was recorded, in order: kind and bytes, once however many received it.
    """

    manifest: Manifest
    keep: Callable[[str, bytes], None] | None = None
    lanes: Lanes = ONE_LANE
    traffic: dict[TrafficKey, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    transcript: list[tuple[str, bytes]] = field(default_factory=list)
    _sent: set[tuple[str, bytes]] = field(default_factory=set, repr=False)
    """What the hub sent each receiver, by name; vectors are not held."""
    _recorded: set[bytes] = field(default_factory=set, repr=False)

    def carry(self, packet: Packet) -> Packet:
        """Record and count a packet's messages; what arrives.

        Raises:
            RunDirectoryError: the record cannot be written, so nothing went out.
        """
        for message in packet.parts:
            if not isinstance(message, Message):
                continue
            head = _head(message)
            if self._is_to_be_recorded(message, packet) and head not in self._recorded:
                self.record(message)
                self._recorded.add(head)
            if (packet.receiver, head) in self._sent or _is_own(message, packet.receiver):
                continue
            if packet.sender == HUB:
                self._sent.add((packet.receiver, head))
            self.count(message, endpoint_of(packet.sender), endpoint_of(packet.receiver))
        return packet

    def _is_to_be_recorded(self, message: Message, packet: Packet) -> bool:
        if packet.step in _REPEATED:
            return False
        if packet.sender != HUB:
            return isinstance(message, Signed | Opening)
        # To aggregators alone: the roster that is sent again is a part of what they vote on.
        return isinstance(message, _OF_THE_HUB) or (
            isinstance(message, Origin) and endpoint_of(packet.receiver) is Endpoint.AGGREGATOR
        )

    def count(self, message: Message, sender: Endpoint, receiver: Endpoint, copies: int = 1) -> None:
        """Count a message to so many receivers."""
        entry = self.traffic[TrafficKey(type(message).__name__, sender, receiver)]
        entry.messages += copies
        entry.bytes += copies * size_bytes(message)

    def record(self, message: Message) -> None:
        """Record a message, or the receipt of one that carries a vector.

        Raises:
            RunDirectoryError: the record cannot be written; so the message must not go out.
        """
        kept: Message = message
        if isinstance(message, Opening | HubSum) or (isinstance(message, Delivery) and self.manifest.sealed):
            kept = message.receipt(self.manifest.bulk_hash, self.lanes)
        kind, data = type(kept).__name__, kept.to_bytes()
        self.transcript.append((kind, data))
        if self.keep is not None:
            self.keep(kind, data)

    def bytes_between(self, sender: Endpoint, receiver: Endpoint) -> int:
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


def endpoint_of(party: str) -> Endpoint:
    """The role of a party, by its name in packets."""
    return Endpoint(party.partition(" ")[0])


def size_bytes(message: Message) -> int:
    """How long a message is; its vector is not copied."""
    vector = message.share if isinstance(message, _WITH_VECTOR) else None
    return len(_head(message)) + (0 if vector is None else vector.nbytes - vector.itemsize)


def _head(message: Message) -> bytes:
    """A message with the first element of its vector alone."""
    if isinstance(message, _WITH_VECTOR):
        return replace(message, share=message.share[:1]).to_bytes()
    return message.to_bytes()


def _is_own(message: Message, receiver: str) -> bool:
    """Whether an aggregator would be sent its own word."""
    if isinstance(message, Opening):
        return receiver == aggregator_name(message.aggregator)
    if isinstance(message, Signed) and message.role is Role.AGGREGATOR:
        return receiver == aggregator_name(message.signer)
    return False
