"""What a session keeps on disk beside the parties' memories, and how one that all agreed on is read back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.codec import Reader
from privateyes.aggregation.kept import KeptSubmission
from privateyes.aggregation.ledger import LedgerEntry
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    NO_SESSION,
    Agreement,
    HubCommitment,
    HubSum,
    Origin,
    RosterCommitment,
    Submission,
)
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.steps import OwnShare, Words
from privateyes.crypto.field import Elements
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.engines.local.parties import LocalParties, aggregator_name, client_name
from privateyes.engines.local.store import LargeBody
from privateyes.errors import RunDirectoryError

SHARE, SUM, UPDATES = "share", "sum", "updates"
"""Large bodies: an aggregator's share, the hub's sum, and the clients' encoded updates, one after the other."""
KEPT, CLIPPED, OPENING = "kept", "clipped", "opening"
"""Small ones: what a client keeps of its submission; how much was clipped; that the hub passes n agreements on, after
which it never gives the session up, with the roster and the commitments to it.
"""
HUB: Final = "hub"
CLIENTS: Final = "clients"
_LENGTH_BYTES: Final = 4


class Store(Protocol):
    """What a session needs of a store; store.py has the durable one."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def put_memory(self, party: str, body: bytes, version: int) -> None: ...
    def ledger(self, weights: bytes) -> list[LedgerEntry]: ...
    def put_ledger(self, entries: Sequence[LedgerEntry], seen: Sequence[LedgerEntry]) -> None: ...
    def put_stage(self, sid: bytes, party: str, stage: str, body: bytes) -> None: ...
    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]: ...
    def write_large(
        self, sid: bytes, bodies: Mapping[tuple[str, str], Sequence[bytes | memoryview]]
    ) -> list[LargeBody]: ...
    def put_large(self, body: LargeBody) -> None: ...
    def large(self, sid: bytes, party: str, stage: str) -> bytearray | None: ...
    def clear_stages(self, but: Collection[bytes] = ()) -> bool: ...
    def clear_stages_of(self, parties: Collection[str], but: Collection[bytes] = ()) -> bool: ...
    def fold_journal(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HubSession:
    """What the hub holds from COMMIT on."""

    group_check: bytes
    entries: Entries
    total: HubSum
    commitment: HubCommitment


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session that all aggregators agreed on, read back."""

    hub: HubSession
    commitments: Sequence[RosterCommitment]
    shares: Mapping[int, OwnShare]
    agreements: Sequence[Agreement]
    clipped: int


def agreed_by_all(parties: LocalParties, sid: bytes) -> list[Words] | None:
    """Every aggregator's words on a session, if all signed one T: then it can be opened, and must not be given up."""
    words = []
    for own in parties.aggregators:
        memory = parties.aggregator_memories[own.number]
        record = memory.record_of(sid)
        if record is None or record.given_up or not record.commitments:
            return None
        words.append(own.words(memory, sid))
    agreements = [said.agreement for said in words if said.agreement is not None]
    return words if hub.agreed_transcript(parties.manifest, agreements) is not None else None


def load_session(store: Store, parties: LocalParties, words: Sequence[Words], lanes: Lanes = ONE_LANE) -> StoredSession:
    """Read back a session that all aggregators agreed on. Where the hub's sum is lost, it is added up again from what
    the clients kept, and held against com_0 under T.

    Raises:
        RunDirectoryError: a share or an update is missing, or a file was damaged.
        MalformedError: a stored word is damaged.
        AbortError: the sum is not the one that was agreed on.
    """
    agreements = [said.agreement for said in words if said.agreement is not None]
    commitments = [said.commitment for said in words if said.commitment is not None]
    sid = agreements[0].sid
    shares = {}
    for own in parties.aggregators:
        shares[own.number] = own.own_share(_elements(parties, store.large(sid, aggregator_name(own.number), SHARE)))
    votes = [said.vote for said in words if said.vote is not None]
    entries = hub.choose_roster(parties.manifest, votes)
    kept = kept_submissions(store, parties, sid)
    body = store.large(sid, HUB, SUM)
    if body is not None:
        total = HubSum(sid, _elements(parties, body))
        commitment = HubCommitment(sid, words[0].commitments[0])
    else:
        shares_of = resent(store, parties, sid, kept)
        total, commitment = hub.add_shares(parties.manifest, sid, entries, lambda i: shares_of[i].share, lanes)
        hub.require_agreed_sum(commitment, commitments[0].rho, commitments, agreements[0].transcript)
    group_check = kept[entries[0][0]].header.group_check
    clipped = int.from_bytes(store.stages(sid, CLIPPED).get(CLIENTS, b""), "big")
    return StoredSession(HubSession(group_check, entries, total, commitment), commitments, shares, agreements, clipped)


def _elements(parties: LocalParties, body: bytearray | None) -> Elements:
    if body is None:
        raise RunDirectoryError(
            "the store of a session that was agreed on is incomplete: a share is lost",
            "see what `privateyes task continue` offers",
        )
    manifest = parties.manifest
    return np.array(manifest.field.from_bytes(memoryview(body), manifest.share_elements))


def kept_submissions(store: Store, parties: LocalParties, sid: bytes) -> dict[int, KeptSubmission]:
    """What the clients kept of their submissions to a session, by client number."""
    bodies = store.stages(sid, KEPT)
    names = {client_name(party.name): number for number, party in enumerate(parties.manifest.clients, start=1)}
    return {
        names[name]: KeptSubmission.from_bytes(body, parties.manifest) for name, body in bodies.items() if name in names
    }


def encoded_updates(store: Store, parties: LocalParties, sid: bytes, clients: Collection[int]) -> dict[int, Elements]:
    """The encoded updates q that were stored with a session, by client number.

    Raises:
        RunDirectoryError: they are missing, or their file is damaged.
    """
    body = store.large(sid, CLIENTS, UPDATES)
    manifest = parties.manifest
    size = manifest.dimension * manifest.field.element_bytes
    if body is None or len(body) != size * len(clients):
        raise RunDirectoryError(
            "the clients' updates of a session are lost", "see what `privateyes task continue` offers"
        )
    view = memoryview(body)
    return {
        number: manifest.field.from_bytes(view[place * size : (place + 1) * size], manifest.dimension)
        for place, number in enumerate(sorted(clients))
    }


def resent(
    store: Store, parties: LocalParties, sid: bytes, kept: Mapping[int, KeptSubmission]
) -> dict[int, Submission]:
    """Every client's submission to a session once more, byte for byte."""
    origin = next(iter(kept.values())).header.origin
    updates = encoded_updates(store, parties, sid if origin == NO_SESSION else origin, kept)
    return {
        own.number: own.resend(parties.client_memories[own.number], kept[own.number].with_update(updates[own.number]))
        for own in parties.clients
        if own.number in kept
    }


@dataclass(frozen=True, slots=True)
class Again:
    """A session whose updates may be sent again: its roster, and every aggregator's commitment to it."""

    origin: Origin
    commitments: tuple[RosterCommitment, ...]

    def to_bytes(self) -> bytes:
        """For the hub's store."""
        return b"".join(
            len(body).to_bytes(_LENGTH_BYTES, "big") + body
            for body in (message.to_bytes() for message in (self.origin, *self.commitments))
        )

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> Again:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: the store is damaged.
        """
        reader = Reader(data, manifest, "a stored roster")
        messages = [
            reader.take(int.from_bytes(reader.take(_LENGTH_BYTES), "big")) for _ in range(len(manifest.aggregators) + 1)
        ]
        reader.finish()
        origin, *commitments = messages
        return cls(
            Origin.from_bytes(origin, manifest),
            tuple(RosterCommitment.from_bytes(body, manifest) for body in commitments),
        )
