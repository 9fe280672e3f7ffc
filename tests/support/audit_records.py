"""Records of a world for tests of the audit: what was said, altered, left out, forged, signed by a culprit."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Finding, Level
from privateyes.aggregation.client import SubmissionSecrets, Update
from privateyes.aggregation.messages import (
    AggregatorKey,
    Delivery,
    DeliveryReceipt,
    HubSum,
    Message,
    Opening,
    Submission,
)
from privateyes.aggregation.result import require_result_signatures
from privateyes.aggregation.setup import ClientSetup
from privateyes.crypto.labels import Role
from privateyes.crypto.signature import SigningKey
from world import INITIAL, World

OTHER = bytes([9]) * 32
ALL = ("aggregator 1", "aggregator 2", "aggregator 3")

_STEPS = ("votes", "commitments", "hub_commitment", "agreements", "openings", "total", "results", "delivery")


def record_of(world: Any) -> list[Message]:
    """All that was said in the session that a world is at, vectors included."""
    said = [*world.announcements, *world.submissions.values()]
    for name in _STEPS:
        value = getattr(world, name, ())
        said += value if isinstance(value, list) else [value] if isinstance(value, Message) else []
    return [message for message in said if getattr(message, "sid", world.sid) == world.sid]


def set_up_of(world: Any) -> list[Message]:
    """All that was said in the set-up that a world is at."""
    sealed = [message for own in world.stream_keys.values() for message in own]
    return [*world.offers, *sealed, *world.client_keys_said, *world.group_keys]


def as_receipts(world: Any, messages: Sequence[Message]) -> list[Message]:
    """The same as a record on disk has it."""
    bulk = world.manifest.bulk_hash
    kept = [message.header if isinstance(message, Submission) else message for message in messages]
    return [message.receipt(bulk) if isinstance(message, Opening | HubSum | Delivery) else message for message in kept]


def write_record(path: Path, messages: Sequence[Message]) -> Path:
    """A record as a run writes it."""
    lines = [json.dumps({"type": type(m).__name__, "bytes": m.to_bytes().hex()}) + "\n" for m in messages]
    path.write_text("".join(lines))
    return path


def without(messages: Sequence[Message], *kinds: type[Message], of: int | None = None) -> list[Message]:
    """The record less messages of these classes, all or one party's."""
    return [
        message
        for message in messages
        if not (isinstance(message, kinds) and (of is None or getattr(message, "aggregator", of) == of))
    ]


def context_of(world: Any, message: Any) -> bytes:
    """What a message is signed under."""
    if isinstance(message, AggregatorKey):
        return bytes(world.manifest.digest())
    return bytes(message.sid if hasattr(message, "sid") else message.setup)


def resigned(world: Any, message: Any, **changes: Any) -> Any:
    """A signed message, altered and signed again by the party that it names."""
    altered = replace(message, **changes)
    keys = {Role.AGGREGATOR: world.aggregator_keys, Role.CLIENT: world.client_keys, Role.HUB: {0: world.hub_key}}
    return altered.signed_by(keys[altered.role][altered.signer], context_of(world, altered))


def forged(world: Any, message: Any) -> Any:
    """The same message with the signature of somebody else."""
    return message.signed_by(SigningKey(bytes(32)), context_of(world, message))


def preimage(world: Any, **changes: Any) -> DeliveryReceipt:
    """An unsigned delivery, which anybody can write: it only tells what a signed hash stands for."""
    return replace(world.delivery.receipt(world.manifest.bulk_hash), **changes)


def result_of(world: Any) -> bytes:
    """H(T, H(Z), |R|) as all aggregators signed it."""
    return require_result_signatures(world.manifest, world.delivery.receipt(world.manifest.bulk_hash))


def faults(world: Any, messages: Sequence[Message]) -> tuple[Finding, ...]:
    """All that speaks against anybody."""
    return audit(world.manifest, messages).faults


def against_parties(world: Any, messages: Sequence[Message]) -> tuple[Finding, ...]:
    """What speaks against anybody but the recorder alone, and the hub with it."""
    return tuple(fault for fault in faults(world, messages) if RECORDER not in fault.parties)


def named(world: Any, messages: Sequence[Message]) -> dict[tuple[Level, tuple[str, ...]], list[str]]:
    """What is said against whom, but for the recorder."""
    found: dict[tuple[Level, tuple[str, ...]], list[str]] = {}
    for fault in against_parties(world, messages):
        found.setdefault((fault.level, fault.parties), []).append(fault.what)
    return found


class RecordedWorld(World):
    """A world that keeps all that is said, in order, as a task's record does."""

    def __init__(self, **shape: Any) -> None:
        self.said: list[Message] = []
        super().__init__(**shape)

    def set_up(self, leader: int = 1) -> None:
        """As in a world."""
        super().set_up(leader)
        self.said += set_up_of(self)

    def commit(self, *told: Any, **named: Any) -> None:
        """As in a world; an aggregator that repeats its word has its share already."""
        before = dict(self.shares)
        super().commit(*told, **named)
        self.shares = {s: before[s] if share is None else share for s, share in self.shares.items()}

    def keep(self, *more: Message) -> None:
        """Write the session down that the world is at, and more."""
        self.said += [*as_receipts(self, record_of(self)), *more]

    def accepted_round(self, *clients: int) -> None:
        """Run a session, write it down, and accept its result."""
        self.run(*clients)
        self.keep()
        self.finish_session()
        self.accept(bytes([self.round]))

    def void_round(self) -> None:
        """A session that is given up, after which every client may submit from the same state."""
        self.run(to="vote")
        self.keep(*self.give_up())
        self.ledgers = {client: [] for client in self.clients}


def come_back(world: Any, client: int, leader: int = 1) -> ClientSetup:
    """A client that lost its store repeats the current set-up, with a leader that was restarted in its middle.

    It should not; but a person who starts it from nothing brings this about, and it is no attack.
    """
    setups = {
        number: ClientSetup(world.manifest, number, world.client_keys[number], None, INITIAL)
        for number in (client, leader)
    }
    for own in setups.values():
        own.bind(world.offers)
    sealed = setups[client].seal_stream_keys([secrets.token_bytes(32) for _ in world.offers])
    key = setups[client].key()
    (group_key,) = setups[leader].lead({client: key}, secrets.token_bytes(32))
    setups[client].receive_group_key(group_key)
    world.client_memories[client] = setups[client].start(None)
    world.ledgers[client] = []
    world.came_back = [*sealed, key, group_key]
    return setups[client]


def submit_as_another_life(world: Any, client: int) -> Submission:
    """Step 1 at a client that came back: to a session that it submitted to before it lost its store."""
    done = world.clients[client].submit(
        world.client_memories[client],
        [],
        world.announcements,
        Update(world.delta(client), 1),
        SubmissionSecrets(secrets.token_bytes(32), bytes(32)),
        lambda piece: None,
    )
    world.client_memories[client] = done.memory
    return done.submission
