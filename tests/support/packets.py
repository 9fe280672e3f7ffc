"""What is in flight between two actors: bytes, which the receiver parses with its own manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
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
    HubSum,
    Opening,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedStreamKey,
    Submission,
    Vote,
)
from privateyes.errors import MalformedError

HUB = "hub"
"""The hub's name as a sender or receiver; the others are called "aggregator 1" and "client 1"."""

ANSWERS: dict[str, type[Any]] = {
    "announce": Announcement,
    "submit": Submission,
    "vote": Vote,
    "commit": RosterCommitment,
    "agree": Agreement,
    "open": Opening,
    "certify": ResultSignature,
    "closing": Closing,
    "check": Complaint,
    "disclose": Disclosure,
    "key": AggregatorKey,
    "seal": SealedStreamKey,
    "lead": SealedGroupKey,
}
"""What a party answers to the hub's request of that name."""

REQUESTS: dict[str, type[Any]] = {
    "submit": Announcement,
    "observe": Announcement,
    "vote": Header,
    "commit": Vote,
    "agree": RosterCommitment,
    "open": Agreement,
    "certify": Opening,
    "check": Delivery,
    "disclose": Delivery,
    "settle": Closing,
    "seal": AggregatorKey,
    "stream": SealedStreamKey,
    "lead": ClientKey,
    "group": SealedGroupKey,
}
"""What the hub's request of that name carries; the last part of "agree" and "certify" is the hub's own message."""

LAST_PART: dict[str, type[Any]] = {"agree": HubCommitment, "certify": HubSum}


@dataclass(frozen=True, slots=True)
class Packet:
    """What is in flight: the hub's request to a party, or a party's answer to the hub."""

    sender: str
    receiver: str
    step: str
    parts: tuple[bytes, ...]

    def messages(self, manifest: Manifest) -> list[Any]:
        """The parts, parsed as strictly as the receiver does."""
        if self.receiver == HUB:
            kinds = [ANSWERS[self.step]] * len(self.parts)
            if self.step == "seal":
                kinds[-1] = ClientKey
        else:
            kinds = [REQUESTS[self.step]] * len(self.parts)
            if self.step in LAST_PART and kinds:
                kinds[-1] = LAST_PART[self.step]
        return [kind.from_bytes(part, manifest) for kind, part in zip(kinds, self.parts, strict=True)]


def naming(epoch: int, round_number: int, state_id: bytes) -> bytes:
    """A session as the hub names it in a request."""
    return epoch.to_bytes(8, "big") + round_number.to_bytes(8, "big") + state_id


def named(parts: Sequence[bytes]) -> tuple[int, int, bytes]:
    """The session that a request names: epoch, round and state.

    Raises:
        MalformedError: the request is no such name.
    """
    if len(parts) != 1 or len(parts[0]) != 48:
        raise MalformedError("no name of a session")
    return int.from_bytes(parts[0][:8], "big"), int.from_bytes(parts[0][8:16], "big"), parts[0][16:]
