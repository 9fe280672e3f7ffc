"""The parties of a local run with a store of their own, set up and ready for a first round."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privateyes.aggregation.memory import TrainingState
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.engines.local.parties import (
    Identities,
    LocalParties,
    SecurePlan,
    aggregator_name,
    client_name,
    draw_identities,
    parties_from,
    set_up,
)
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Wire

INITIAL = TrainingState(bytes(32), bytes([1]) * 32, 0)
"""The training state that these tasks begin with."""


def local_parties(plan: SecurePlan, identities: Identities | None = None, lanes: Lanes = ONE_LANE) -> LocalParties:
    """The parties before any set-up."""
    return parties_from(plan, identities or draw_identities(plan), INITIAL.digest, lanes)


def set_up_in(store: PartyStore, parties: LocalParties, wire: Wire | None = None) -> None:
    """The first set-up, each memory stored as it comes."""
    set_up(parties, INITIAL, wire or Wire(parties.manifest), lambda bound: put_all(store, parties, bound, {}))
    put_all(store, parties, parties.aggregator_memories, parties.client_memories)


def put_all(
    store: PartyStore, parties: LocalParties, aggregators: Mapping[int, Any], clients: Mapping[int, Any]
) -> None:
    """Store memories by number."""
    for number, memory in aggregators.items():
        store.put_memory(aggregator_name(number), memory.to_bytes(), memory.version)
    for number, memory in clients.items():
        name = client_name(parties.manifest.clients[number - 1].name)
        store.put_memory(name, memory.to_bytes(), memory.version)


def local_task(plan: SecurePlan, folder: Path) -> tuple[LocalParties, PartyStore]:
    """Parties that are set up, and their store."""
    parties, store = local_parties(plan), PartyStore.create(folder)
    set_up_in(store, parties)
    return parties, store
