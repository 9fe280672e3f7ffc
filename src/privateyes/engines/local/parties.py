"""All parties of a task in one process: identities, manifest and the set-up of an epoch, over the wire and on disk.

One process playing every party demonstrates the protocol and measures it. It separates no trust: that takes aggregators
on machines of independent operators.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client
from privateyes.aggregation.manifest import SEALED_MODE, Manifest, Party
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import PUBLIC_KEY_BYTES, SigningKey
from privateyes.crypto.statement import KEY_BYTES
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.wire import Place, Wire

FIRST_EPOCH: Final = 1


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
        privacy: the limit of an update's L2 norm; None for none.
    """

    clients: tuple[str, ...]
    dimension: int
    aggregators: int
    encoding: FixedPoint
    roster_min: int
    corrupt_clients: int = 0
    mode: str = SEALED_MODE
    privacy: Privacy | None = None

    def party_names(self) -> list[str]:
        """``aggregator 1`` .. ``aggregator n``, then ``client NAME``: the keys of the store."""
        return [aggregator_name(s) for s in range(1, self.aggregators + 1)] + [
            client_name(name) for name in self.clients
        ]

    def require_safe(self) -> None:
        """Refuse an unsafe plan before any key is drawn.

        Raises:
            ParameterError: as for the manifest.
        """
        placeholders = [number.to_bytes(PUBLIC_KEY_BYTES, "big") for number in range(len(self.party_names()))]
        self.manifest(placeholders)

    def manifest(self, public_keys: Sequence[bytes]) -> Manifest:
        """The manifest, from public keys in the order of ``party_names``.

        Raises:
            ParameterError: the plan is unsafe.
        """
        names = [*(aggregator_name(s) for s in range(1, self.aggregators + 1)), *self.clients]
        parties = [Party(name, key) for name, key in zip(names, public_keys, strict=True)]
        return Manifest(
            dimension=self.dimension,
            encoding=self.encoding,
            roster_min=self.roster_min,
            corrupt_clients=self.corrupt_clients,
            leader=1,
            aggregators=tuple(parties[: self.aggregators]),
            clients=tuple(parties[self.aggregators :]),
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
class LocalParties:
    """Every party of one task and what each remembers."""

    manifest: Manifest
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


def draw_identities(plan: SecurePlan) -> dict[str, bytes]:
    """Fresh identity keys by party name."""
    return {name: SigningKey().secret_bytes() for name in plan.party_names()}


def parties_from(plan: SecurePlan, identities: dict[str, bytes], lanes: Lanes = ONE_LANE) -> LocalParties:
    """The parties with these identity keys, before any epoch.

    Args:
        lanes: where an aggregator's work on several clients is done side by side.

    Raises:
        ParameterError: the plan is unsafe.
    """
    keys = [SigningKey(identities[name]) for name in plan.party_names()]
    manifest = plan.manifest([key.public_bytes for key in keys])
    aggregators = tuple(Aggregator(manifest, s, key, lanes) for s, key in enumerate(keys[: plan.aggregators], start=1))
    clients = tuple(Client(manifest, i, key) for i, key in enumerate(keys[plan.aggregators :], start=1))
    return LocalParties(manifest, aggregators, clients, {}, {})


def set_up_epoch(parties: LocalParties, state_digest: bytes, wire: Wire) -> None:
    """Exchange the keys of the first epoch and fill in every party's memory (protocol, "Setup").

    Args:
        state_digest: the training state that every client starts from.
    """
    manifest, epoch = parties.manifest, FIRST_EPOCH
    aggregators = [
        AggregatorSetup(manifest, own.number, own.identity, epoch, None, never_ran=True) for own in parties.aggregators
    ]
    clients = [ClientSetup(manifest, own.number, own.identity, epoch, state_digest) for own in parties.clients]
    offered = [wire.relay(own.key(), Place.AGGREGATOR, Place.CLIENT, copies=len(clients)) for own in aggregators]
    client_keys = {}
    for number, client in enumerate(clients, start=1):
        stream_keys = [secrets.token_bytes(KEY_BYTES) for _ in aggregators]
        for aggregator, sealed in zip(aggregators, client.seal_stream_keys(offered, stream_keys), strict=True):
            aggregator.receive(wire.relay(sealed, Place.CLIENT, Place.AGGREGATOR))
        client_keys[number] = wire.relay(client.key(), Place.CLIENT, Place.CLIENT)
    leader = clients[manifest.leader - 1]
    for sealed_group_key in leader.lead(client_keys, secrets.token_bytes(KEY_BYTES)):
        received = wire.relay(sealed_group_key, Place.CLIENT, Place.CLIENT)
        clients[received.recipient - 1].receive_group_key(received)
    for number, aggregator in enumerate(aggregators, start=1):
        parties.aggregator_memories[number] = aggregator.start(None)
    for number, client in enumerate(clients, start=1):
        parties.client_memories[number] = client.start(None)
