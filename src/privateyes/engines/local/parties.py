"""All parties of a task in one process: identities, manifest and set-up, over the wire and on disk.

One process playing every party demonstrates the protocol and measures it. It separates no trust: that takes aggregators
on machines of independent operators.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client
from privateyes.aggregation.manifest import SEALED_MODE, Manifest, Party
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory, TrainingState
from privateyes.aggregation.messages import BIND, NO_SESSION, HubRequest
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import PUBLIC_KEY_BYTES, SigningKey
from privateyes.crypto.statement import HASH_BYTES, KEY_BYTES
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.wire import Place, Wire

HUB_NAME: Final = "hub"
_FIRST_EPOCH: Final = 1
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
        return [*aggregators, *(client_name(name) for name in self.clients), HUB_NAME]

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
        names = [*(aggregator_name(s) for s in range(1, self.aggregators + 1)), *self.clients, HUB_NAME]
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
    """Every party of one task and what each remembers."""

    manifest: Manifest
    hub: SigningKey
    aggregators: tuple[Aggregator, ...]
    clients: tuple[Client, ...]
    aggregator_memories: dict[int, AggregatorMemory]
    client_memories: dict[int, ClientMemory]

    def number_of(self, client: str) -> int:
        """The manifest's number of a client."""
        return next(i for i, party in enumerate(self.manifest.clients, start=1) if party.name == client)

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
    return LocalParties(manifest, hub, aggregators, clients, {}, {})


def _keep_nothing(_: Mapping[int, AggregatorMemory]) -> None:
    """For parties that live in memory alone."""


def set_up(
    parties: LocalParties,
    initial: TrainingState,
    wire: Wire,
    keep: Callable[[Mapping[int, AggregatorMemory]], None] = _keep_nothing,
    leader: int = 1,
) -> None:
    """Exchange the keys of the first set-up and fill in every party's memory (protocol, "Setup").

    Args:
        initial: the training state that every client starts from; the manifest pins it.
        keep: stores that the aggregators are bound to this set-up, by their numbers, before anything is unsealed.
        leader: the client that makes the group key.
    """
    manifest = parties.manifest
    aggregators = [
        AggregatorSetup(manifest, own.number, own.identity, _FIRST_EPOCH, leader) for own in parties.aggregators
    ]
    clients = [ClientSetup(manifest, own.number, own.identity, None, initial) for own in parties.clients]
    receivers = len(clients) + len(aggregators) - 1
    offered = [wire.relay(own.key(), Place.AGGREGATOR, Place.CLIENT, copies=receivers) for own in aggregators]
    setup, _ = require_one_setup(manifest, offered)
    request = HubRequest(BIND, setup, 0, NO_SESSION).signed_by(parties.hub, setup)
    request = wire.tell(request, Place.HUB, Place.AGGREGATOR, copies=len(aggregators))
    bound = {
        number: own.bind(parties.aggregator_memories.get(number), offered, request)
        for number, own in enumerate(aggregators, start=1)
    }
    keep(bound)
    client_keys = {}
    for number, client in enumerate(clients, start=1):
        client.bind(offered)
        stream_keys = [secrets.token_bytes(KEY_BYTES) for _ in aggregators]
        for aggregator, sealed in zip(aggregators, client.seal_stream_keys(stream_keys), strict=True):
            aggregator.receive(bound[sealed.aggregator], wire.relay(sealed, Place.CLIENT, Place.AGGREGATOR))
        client_keys[number] = wire.relay(client.key(), Place.CLIENT, Place.CLIENT)
    for sealed_group_key in clients[leader - 1].lead(client_keys, secrets.token_bytes(KEY_BYTES)):
        received = wire.relay(sealed_group_key, Place.CLIENT, Place.CLIENT)
        clients[received.recipient - 1].receive_group_key(received)
    for number, aggregator in enumerate(aggregators, start=1):
        parties.aggregator_memories[number] = aggregator.start(bound[number])
    for number, client in enumerate(clients, start=1):
        parties.client_memories[number] = client.start(None)
