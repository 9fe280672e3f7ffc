"""What a session keeps on disk beside the parties' memories, and how one that all agreed on is read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.codec import Reader
from privateyes.aggregation.kept import Kept, KeptSubmission
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory, FollowedSession
from privateyes.aggregation.messages import (
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
from privateyes.errors import RunDirectoryError
from privateyes.storage.store import PartyStore

SHARE, SUM = "share", "sum"
"""Large bodies: an aggregator's share, and the hub's sum."""
CLIPPED, OPENING, REFUSED, AGAIN = "clipped", "opening", "refused", "again"
"""Small ones: how much was clipped; that the hub passes n agreements on, after which it never gives the session up,
with the roster and the commitments to it; which clients refused at which check; and that people let it be sent again.
"""
HUB: Final = "hub"
CLIENTS: Final = "clients"
_LENGTH_BYTES: Final = 4


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
    shortened: int


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


def followed_by(parties: LocalParties) -> list[FollowedSession]:
    """The sessions whose end a client does not know, in their order, as one that submitted knows them, if one did."""
    known: dict[bytes, FollowedSession] = {}
    for memory in parties.client_memories.values():
        for session in memory.followed:
            if session.sid not in known or session.submitted:
                known[session.sid] = session
    return sorted(known.values(), key=lambda session: session.round)


def load_session(
    store: PartyStore, parties: LocalParties, words: Sequence[Words], lanes: Lanes = ONE_LANE
) -> StoredSession:
    """Read back a session that all aggregators agreed on. Where the hub's sum is lost or damaged, it is added up again
    from what the clients kept, and held against com_0 under T.

    Raises:
        RunDirectoryError: a share is missing or damaged, or an update that is needed.
        MalformedError: a stored word is damaged.
        AbortError: the sum is not the one that was agreed on.
    """
    agreements = [said.agreement for said in words if said.agreement is not None]
    commitments = [said.commitment for said in words if said.commitment is not None]
    sid = agreements[0].sid
    shares = {}
    for own in parties.aggregators:
        shares[own.number] = own.own_share(_elements(parties, _share_body(store, sid, aggregator_name(own.number))))
    votes = [said.vote for said in words if said.vote is not None]
    entries = hub.choose_roster(parties.manifest, votes)
    body = None
    with suppress(RunDirectoryError):
        body = store.large(sid, HUB, SUM)
    if body is not None:
        total = HubSum(sid, _elements(parties, body))
        commitment = HubCommitment(sid, words[0].commitments[0])
    else:
        total, commitment = hub.add_shares(
            parties.manifest, sid, entries, lambda number: _resent(store, parties, sid, number).share, lanes
        )
        hub.require_agreed_sum(commitment, commitments[0].rho, commitments, agreements[0].transcript)
    session = parties.client_memories[entries[0][0]].session(sid)
    if session is None:
        raise RunDirectoryError("nobody waits for that session", "run the next round")
    counts = store.stages(sid, CLIPPED).get(CLIENTS, b"")
    clipped, shortened = int.from_bytes(counts[:8], "big"), int.from_bytes(counts[8:], "big")
    held = HubSession(session.group.check_value(), entries, total, commitment)
    return StoredSession(held, commitments, shares, agreements, clipped, shortened)


def _share_body(store: PartyStore, sid: bytes, party: str) -> bytearray:
    problem = "nothing of it is stored"
    try:
        body = store.large(sid, party, SHARE)
    except RunDirectoryError as error:
        body, problem = None, error.problem
    if body is None:
        raise RunDirectoryError(
            f"the share of {party} in a session that was agreed on is lost: {problem}",
            "see what `privateyes task continue` offers",
        )
    return body


def _elements(parties: LocalParties, body: bytearray) -> Elements:
    manifest = parties.manifest
    return np.array(manifest.field.from_bytes(memoryview(body), manifest.share_elements))


def client_party(parties: LocalParties, number: int) -> str:
    """How the store calls client i."""
    return client_name(parties.manifest.clients[number - 1].name)


def put_memories(
    store: PartyStore,
    parties: LocalParties,
    aggregators: Mapping[int, AggregatorMemory],
    clients: Mapping[int, ClientMemory],
) -> None:
    """Store what parties remember, by their numbers; inside a transaction."""
    for number, memory in aggregators.items():
        store.put_memory(aggregator_name(number), memory.to_bytes(), memory.version)
    for number, client in clients.items():
        store.put_memory(client_party(parties, number), client.to_bytes(), client.version)


def kept_submission(store: PartyStore, parties: LocalParties, number: int, sid: bytes) -> Kept | None:
    """What a client kept of its submission to a session from its current weights; None if it keeps nothing of it.

    Raises:
        RunDirectoryError: the update's file is missing, torn or damaged.
        MalformedError: the store is damaged.
    """
    name, weights = client_party(parties, number), parties.client_memories[number].state.weights
    body = store.kept.at(name, weights).get(sid)
    update = None if body is None else store.kept.update(name, weights)
    if body is None or update is None:
        return None
    manifest = parties.manifest
    encoded = manifest.field.from_bytes(memoryview(update), manifest.dimension)
    return KeptSubmission.from_bytes(body, manifest).with_update(encoded)


def _resent(store: PartyStore, parties: LocalParties, sid: bytes, number: int) -> Submission:
    """A client's submission to a session once more, byte for byte."""
    kept = kept_submission(store, parties, number, sid)
    if kept is None:
        raise RunDirectoryError(
            f"{client_party(parties, number)} does not keep its submission to a session that was agreed on",
            "see what `privateyes task continue` offers",
        )
    return parties.clients[number - 1].resend(parties.client_memories[number], kept)


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
