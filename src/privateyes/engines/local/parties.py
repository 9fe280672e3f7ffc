"""All parties of a task in one process: identities, manifest and set-up, on the wire and on disk.

One process playing every party demonstrates the protocol and measures it. It separates no trust: that takes aggregators
on machines of independent operators.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client
from privateyes.aggregation.manifest import SEALED_MODE, Manifest, Party
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import PUBLIC_KEY_BYTES, SigningKey
from privateyes.crypto.statement import HASH_BYTES
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.parties import packets
from privateyes.parties.packets import HUB
from privateyes.storage.party import StoredParty
from privateyes.storage.store import PartyStore

_MOST_LEADERS: Final = 3  # the usual one, and two to step in for it


@dataclass(frozen=True, slots=True)
class SecurePlan:
    """What a local run's manifest is made from.

    Attributes:
        clients: client names; they become the manifest's clients in this order.
        dimension: d.
        aggregators: n, 2..7.
        encoding: field, clip, scale, weight and roster bounds.
        roster_min: R_min.
        corrupt_clients: clients assumed corrupt.
        mode: ``sealed``, the average goes to the clients alone, or ``public``, to everyone.
        settings: the canonical file of the settings that clients train with; the manifest pins its SHA-256.
        bulk_hash: what large vectors are hashed with.
        privacy: the limit of an update's L2 norm; None for none.
    """

    clients: tuple[str, ...]
    dimension: int
    aggregators: int
    encoding: FixedPoint
    roster_min: int
    corrupt_clients: int = 0
    mode: str = SEALED_MODE
    settings: bytes = b""
    bulk_hash: BulkHash = BulkHash.BLAKE3
    privacy: Privacy | None = None

    def party_names(self) -> list[str]:
        """``aggregator 1`` .. ``aggregator n``, then ``client NAME``, then the hub: the keys of the store."""
        aggregators = [aggregator_name(s) for s in range(1, self.aggregators + 1)]
        return [*aggregators, *(client_name(name) for name in self.clients), HUB]

    def require_safe(self) -> None:
        """Refuse an unsafe plan before any key is drawn.

        Raises:
            ParameterError: as for the manifest.
        """
        placeholders = [number.to_bytes(PUBLIC_KEY_BYTES, "big") for number in range(len(self.party_names()))]
        self.manifest(placeholders, bytes(HASH_BYTES))

    def manifest(self, public_keys: Sequence[bytes], initial_state: bytes) -> Manifest:
        """The manifest.

        Args:
            public_keys: in the order of ``party_names``.
            initial_state: H(state) of the state that the task begins with.

        Raises:
            ParameterError: the plan is unsafe.
        """
        names = [*(aggregator_name(s) for s in range(1, self.aggregators + 1)), *self.clients, HUB]
        *parties, hub = [Party(name, key) for name, key in zip(names, public_keys, strict=True)]
        return Manifest(
            dimension=self.dimension,
            encoding=self.encoding,
            roster_min=self.roster_min,
            corrupt_clients=self.corrupt_clients,
            leaders=tuple(range(1, len(self.clients) + 1)[:_MOST_LEADERS]),
            aggregators=tuple(parties[: self.aggregators]),
            clients=tuple(parties[self.aggregators :]),
            hub_key=hub.public_key,
            initial_state=initial_state,
            settings=hashlib.sha256(self.settings).digest(),
            bulk_hash=self.bulk_hash,
            mode=self.mode,
            privacy=self.privacy,
        )


def aggregator_name(number: int) -> str:
    """How the store and people call aggregator s."""
    return f"aggregator {number}"


def client_name(name: str) -> str:
    """How the store calls a client."""
    return f"client {name}"


@dataclass(frozen=True, slots=True)
class Identities:
    """What is drawn at random when the parties' store is made.

    Attributes:
        keys: the seeds of the identity keys, by party.
        data_sets: the names of the clients' data sets, by party.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    data_sets: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class LocalParties:
    """Every party of one task."""

    manifest: Manifest
    hub: SigningKey
    aggregators: tuple[Aggregator, ...]
    clients: tuple[Client, ...]

    def number_of(self, client: str) -> int:
        """The manifest's number of a client."""
        return next(i for i, party in enumerate(self.manifest.clients, start=1) if party.name == client)

    def person(self, host: str) -> str:
        """The manifest's name of a client, by its host's."""
        return self.manifest.clients[int(host.split()[1]) - 1].name

    def parts(self, store: PartyStore) -> dict[str, StoredParty]:
        """Everybody's part of their store, by the name of the host."""
        task = self.manifest.digest()
        parts = {HUB: store.party(HUB, task)}
        for aggregator in self.aggregators:
            name = aggregator_name(aggregator.number)
            parts[packets.aggregator_name(aggregator.number)] = store.party(name, task)
        for client in self.clients:
            host, owner = packets.client_name(client.number), (client.identity.public_bytes, client.data_set)
            parts[host] = store.party(client_name(self.person(host)), task, owner)
        return parts

    def aggregator_memories(self, store: PartyStore) -> dict[int, AggregatorMemory]:
        """What the aggregators remember, by number, once they were bound to a set-up."""
        parts = self.parts(store)
        found = {own.number: parts[packets.aggregator_name(own.number)].memory for own in self.aggregators}
        return {number: memory for number, memory in found.items() if memory is not None}

    def client_memories(self, store: PartyStore) -> dict[int, ClientMemory]:
        """What the clients remember, by number, once they started a set-up."""
        parts = self.parts(store)
        found = {own.number: parts[packets.client_name(own.number)].memory for own in self.clients}
        return {number: memory for number, memory in found.items() if memory is not None}

    def with_aggregator(self, aggregator: Aggregator) -> LocalParties:
        """The same parties with one aggregator replaced, for example by one that misbehaves."""
        others = tuple(aggregator if own.number == aggregator.number else own for own in self.aggregators)
        return replace(self, aggregators=others)


def draw_identities(plan: SecurePlan) -> Identities:
    """Fresh identity keys and names of data sets, for parties that live in memory alone."""
    return Identities(
        {name: SigningKey().secret_bytes() for name in plan.party_names()},
        {client_name(name): secrets.token_bytes(HASH_BYTES) for name in plan.clients},
    )


def parties_from(
    plan: SecurePlan, identities: Identities, initial_state: bytes, lanes: Lanes = ONE_LANE
) -> LocalParties:
    """The parties with these identity keys, before any set-up.

    Args:
        identities: from the store, or from ``draw_identities``.
        initial_state: H(state) of the state that the task begins with.
        lanes: where an aggregator's work on several clients is done side by side.

    Raises:
        ParameterError: the plan is unsafe.
    """
    *keys, hub = [SigningKey(identities.keys[name]) for name in plan.party_names()]
    manifest = plan.manifest([key.public_bytes for key in (*keys, hub)], initial_state)
    aggregators = tuple(Aggregator(manifest, s, key, lanes) for s, key in enumerate(keys[: plan.aggregators], start=1))
    clients = tuple(
        Client(manifest, i, key, identities.data_sets[client_name(name)])
        for i, (key, name) in enumerate(zip(keys[plan.aggregators :], plan.clients, strict=True), start=1)
    )
    return LocalParties(manifest, hub, aggregators, clients)
