"""What is in flight between two parties: bytes, which the receiver parses with its own manifest.

The hub asks, and the others answer. ``REQUESTS`` and ``ANSWERS`` say what each request carries, and what comes back.
Within one process the messages themselves may be carried: ``Packet.encoded`` is what goes over a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Message,
    Opening,
    OpeningReceipt,
    Origin,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Submission,
    Vote,
    Voucher,
)
from privateyes.errors import MalformedError

HUB: Final = "hub"
"""The hub's name as a sender or receiver."""


def aggregator_name(number: int) -> str:
    """An aggregator's, such as "aggregator 1"."""
    return f"aggregator {number}"


def client_name(number: int) -> str:
    """A client's, such as "client 1": the protocol knows clients by their number in the manifest."""
    return f"client {number}"


Part: TypeAlias = bytes | Message
Kinds: TypeAlias = tuple[type[Any], ...]

ANSWERS: Final[dict[str, Kinds]] = {
    "announce": (Announcement,),
    "submit": (Submission,),
    "again": (Submission,),
    "resend": (Submission,),
    "vote": (Vote,),
    "commit": (RosterCommitment,),
    "agree": (Agreement,),
    "open": (Opening,),
    "certify": (ResultSignature,),
    "closing": (Closing,),
    "give_up": (Abort,),
    "words": (Vote, RosterCommitment, Agreement, HubCommitment, OpeningReceipt, ResultSignature),
    "check": (Complaint,),
    "disclose": (Disclosure,),
    "key": (AggregatorKey,),
    "seal": (SealedStreamKey, ClientKey),
    "lead": (SealedGroupKey,),
    "vouch": (Voucher,),
    "give": (SealedState,),
}
"""What a party answers to the hub's request of that name."""

REQUESTS: Final[dict[str, Kinds]] = {
    "announce": (HubRequest,),
    "closing": (HubRequest,),
    "give_up": (HubRequest,),
    "submit": (Announcement,),
    "again": (Announcement, Origin, RosterCommitment),
    "observe": (Announcement,),
    "vote": (Header, Origin),
    "commit": (Vote, Header, Origin),
    "agree": (RosterCommitment, HubCommitment),
    "open": (Agreement,),
    "certify": (Opening, HubSum),
    "finish": (ResultSignature,),
    "check": (Delivery,),
    "disclose": (Delivery,),
    "settle": (Closing,),
    "bind": (AggregatorKey, HubRequest),
    "seal": (AggregatorKey,),
    "stream": (SealedStreamKey,),
    "lead": (ClientKey,),
    "group": (SealedGroupKey,),
    "give": (ClientKey,),
    "state": (SealedState, Voucher),
    "jump": (Voucher,),
}
"""What the hub's request of that name carries, behind its plain bytes."""

PLAIN: Final = {"key", "vote", "words", "resend", "jump"}
"""Requests that begin with plain bytes: the label of a set-up, a session's id, a model."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What is in flight: the hub's request to a party, or a party's answer to the hub."""

    sender: str
    receiver: str
    step: str
    parts: tuple[Part, ...] = field(repr=False)

    def answer(self, parts: Sequence[Part]) -> Packet:
        """The receiver's answer to this request."""
        return Packet(self.receiver, self.sender, self.step, tuple(parts))

    def messages(self, manifest: Manifest) -> list[Any]:
        """The parts, parsed as strictly as the receiver does, without the plain bytes.

        Raises:
            MalformedError: a part is no such message.
        """
        kinds = (ANSWERS if self.receiver == HUB else REQUESTS).get(self.step, ())
        parts = self.parts[len(self.plain()) :]
        if parts and not kinds:
            raise MalformedError(f"{self.step} carries no messages")
        return [_parsed(part, kinds, manifest) for part in parts]

    def encoded(self) -> Packet:
        """The same, with bytes alone."""
        return replace(self, parts=tuple(part if isinstance(part, bytes) else part.to_bytes() for part in self.parts))

    def plain(self) -> tuple[Part, ...]:
        """The plain bytes that a request begins with, if its kind does."""
        return self.parts[:1] if self.receiver != HUB and self.step in PLAIN else ()

    def subject(self) -> bytes:
        """Those bytes.

        Raises:
            MalformedError: they are missing.
        """
        (subject, *_) = (*self.plain(), None)
        if not isinstance(subject, bytes):
            raise MalformedError(f"{self.step} names nothing")
        return subject

    def with_messages(self, messages: Sequence[Any]) -> Packet:
        """The same request with other messages."""
        return replace(self, parts=(*self.plain(), *messages)).encoded()


def _parsed(part: Part, kinds: Kinds, manifest: Manifest) -> Any:
    if not isinstance(part, bytes):
        if type(part) not in kinds:
            raise MalformedError(f"a {type(part).__name__} is not what was asked for")
        return part
    kind = next((kind for kind in kinds if part[:1] == bytes((kind.kind,))), kinds[0])
    return kind.from_bytes(part, manifest)


def of_kind(messages: Sequence[Any], kind: type[Any]) -> list[Any]:
    """Those of a request's messages that are of one kind."""
    return [message for message in messages if isinstance(message, kind)]


def one_of_kind(messages: Sequence[Any], kind: type[Any]) -> Any:
    """The only message of a kind in a request, or None.

    Raises:
        MalformedError: more than one.
    """
    found = of_kind(messages, kind)
    if len(found) > 1:
        raise MalformedError(f"more than one {kind.__name__}")
    return found[0] if found else None


def label_of_setup(epoch: int, leader: int) -> bytes:
    """What the hub names when it asks for keys of a new set-up."""
    return epoch.to_bytes(8, "big") + leader.to_bytes(4, "big")


def setup_named(label: bytes) -> tuple[int, int]:
    """Epoch and leader.

    Raises:
        MalformedError: it is no such label.
    """
    if len(label) != 12:
        raise MalformedError("no label of a set-up")
    return int.from_bytes(label[:8], "big"), int.from_bytes(label[8:], "big")
