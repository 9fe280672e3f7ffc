"""What an aggregator's transitions return (aggregator.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    Agreement,
    Message,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.crypto.field import Elements

M = TypeVar("M", bound=Message)


class Point(IntEnum):
    """The step of the protocol that a session had reached when an aggregator gave it up; an ``Abort`` names it."""

    ROSTER = 2
    COMMIT = 3
    OPEN = 4


@dataclass(frozen=True, slots=True)
class Step(Generic[M]):
    """The outcome of a transition.

    Attributes:
        message: for everyone; the hub relays it.
        memory: to be stored before the message is sent; None where the word was stored before.
    """

    message: M
    memory: AggregatorMemory | None


@dataclass(frozen=True, slots=True)
class Voted(Step[Vote]):
    """A vote. ``rejected`` says by client why a header was left out, for this aggregator's operator."""

    rejected: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class OwnShare:
    """Z_s with its root, so that nothing is opened but what was committed to.

    Attributes:
        elements: Z_s, (d + 1 + k,).
        root: its Merkle root, computed from the elements; see ``Aggregator.own_share``.
    """

    elements: Elements = field(repr=False)
    root: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Words:
    """All that an aggregator said in one session, for a hub that lost it; None for what it has not said.

    Attributes:
        commitments: com_0..com_n under its T.
        opening: without the vector.
    """

    vote: Vote | None
    commitment: RosterCommitment | None
    agreement: Agreement | None
    commitments: tuple[bytes, ...]
    opening: OpeningReceipt | None
    result: ResultSignature | None


@dataclass(frozen=True, slots=True)
class Committed(Step[RosterCommitment]):
    """A commitment; and Z_s, stored with the memory, shown to nobody before ``open``; None if it was stored before."""

    share: OwnShare | None = field(default=None, repr=False)
