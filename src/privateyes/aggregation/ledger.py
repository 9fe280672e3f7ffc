"""The ledger of a data set: from which weights its updates were ever submitted, and what became of them.

An update depends on the data and on the weights that training began with. If two sums of different rosters contain the
same update, their difference may be it. So a client submits from one model once, over all its keys, tasks and
manifests; only a session that all n aggregators call void frees the model again, and a session that is sent again is
sent with the same update to the same roster (protocol, "The ledger").

The rows stand in the data set's own store, one for all its tasks. A transition is given those at the client's current
weights and returns what is to be written, in the same write as its memory. That write must fail if another task's has
changed the rows at these weights since they were read: two tasks could otherwise each find the weights unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from privateyes.aggregation.keys import session_id
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import RefusedError


class SessionEnd(IntEnum):
    """What a client knows of a session that it submitted to."""

    UNKNOWN = 0
    VOID = 1
    ACCEPTED = 2


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One submission.

    Attributes:
        key: the public key that signed it, 32 bytes.
        data_set: the random name of the data set whose update it carries, 32 bytes.
        weights: W, the digest of the weights that training began with.
        manifest: H(manifest).
        setup, round, state_id: what aggregators are asked about the session by, for as long as it is not settled.
        origin: the session whose update it sends again; no session for an ordinary one.
        header_hash: of its header.
        end: what became of it.
    """

    key: bytes = field(repr=False)
    data_set: bytes
    weights: bytes = field(repr=False)
    manifest: bytes
    setup: bytes
    round: int
    state_id: bytes
    origin: bytes
    header_hash: bytes
    end: SessionEnd = SessionEnd.UNKNOWN

    @property
    def sid(self) -> bytes:
        """The session's id."""
        return session_id(self.setup, self.round, self.state_id)

    @property
    def chain(self) -> bytes:
        """The first session of its chain: a session and what sends it again count as one entry."""
        return self.sid if self.origin == NO_SESSION else self.origin


def at_weights(entries: Iterable[LedgerEntry], weights: bytes, key: bytes, data_set: bytes) -> tuple[LedgerEntry, ...]:
    """The entries that stand in the way of a submission from these weights: of this key, or of this data set."""
    return tuple(
        entry for entry in entries if entry.weights == weights and (entry.key == key or entry.data_set == data_set)
    )


def unsettled(entries: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """Those that are not void: their sum was opened, or may still be."""
    return tuple(entry for entry in entries if entry.end is not SessionEnd.VOID)


def require_unused(entries: Sequence[LedgerEntry]) -> None:
    """Refuse a fresh update from weights from which one was sent already.

    Args:
        entries: from ``at_weights``.

    Raises:
        RefusedError: a session from these weights was opened, or is not proven void.
    """
    if unsettled(entries):
        raise RefusedError(
            "a session from these weights was opened, or is not proven void, and its result was not accepted",
            "a second update from them could reveal this client's; accept that result, show every aggregator's word "
            "that it is void, or send the same update to the same roster again",
        )


def chain_of(entries: Sequence[LedgerEntry], origin: bytes, key: bytes, manifest: bytes) -> LedgerEntry:
    """The first entry of the only chain at these weights that is not void, to be sent again.

    Args:
        entries: from ``at_weights``.
        origin: the chain's first session.

    Raises:
        RefusedError: nothing was sent to that session with this key in this manifest, or another chain is not settled.
    """
    first = next((entry for entry in entries if entry.sid == origin and entry.key == key), None)
    if first is None or first.origin != NO_SESSION or first.manifest != manifest:
        raise RefusedError(
            "this client did not submit to the session that is to be sent again", "name the chain's first session"
        )
    open_chains = {entry.chain for entry in unsettled(entries)}
    if open_chains != {origin}:
        raise RefusedError(
            "only the one session from these weights that is not settled can be sent again",
            "settle the others, or submit a fresh update where all are void",
        )
    return first


def ended(entries: Iterable[LedgerEntry], sid: bytes, end: SessionEnd) -> tuple[LedgerEntry, ...]:
    """The entries of a session with what became of it; those that knew already are left out."""
    return tuple(replace(entry, end=end) for entry in entries if entry.sid == sid and entry.end is SessionEnd.UNKNOWN)


def is_void(entries: Iterable[LedgerEntry], chain: bytes) -> bool:
    """Whether a session and everything that sent its update again are void: only then is anything refunded."""
    return not unsettled(entry for entry in entries if entry.chain == chain)
