"""What a local run notes of its sessions beside what the parties remember, and what it reads from their memories."""

from __future__ import annotations

from typing import Final

from privateyes.aggregation import hub
from privateyes.aggregation.memory import FollowedSession
from privateyes.aggregation.steps import Words
from privateyes.engines.local.parties import LocalParties, client_name
from privateyes.storage.store import PartyStore

OPENING: Final = "opening"
"""The hub's own: it passes n agreements on, after which it never gives the session up; with an ``Again``."""
CLIPPED, REFUSED, AGAIN = "clipped", "refused", "again"
"""The run's: how much was clipped; which clients refused at which check; and that people let it be sent again."""
CLIENTS: Final = "clients"


def agreed_by_all(parties: LocalParties, store: PartyStore, sid: bytes) -> list[Words] | None:
    """Every aggregator's words on a session, if all signed one T: then it can be opened, and must not be given up."""
    words, memories = [], parties.aggregator_memories(store)
    for own in parties.aggregators:
        memory = memories.get(own.number)
        record = None if memory is None else memory.record_of(sid)
        if memory is None or record is None or record.given_up or not record.commitments:
            return None
        words.append(own.words(memory, sid))
    agreements = [said.agreement for said in words if said.agreement is not None]
    return words if hub.agreed_transcript(parties.manifest, agreements) is not None else None


def followed_by(parties: LocalParties, store: PartyStore) -> list[FollowedSession]:
    """The sessions whose end a client does not know, in their order, as one that submitted knows them, if one did."""
    known: dict[bytes, FollowedSession] = {}
    for memory in parties.client_memories(store).values():
        for session in memory.followed:
            if session.sid not in known or session.submitted:
                known[session.sid] = session
    return sorted(known.values(), key=lambda session: session.round)


def client_party(parties: LocalParties, number: int) -> str:
    """How the store calls client i."""
    return client_name(parties.manifest.clients[number - 1].name)
