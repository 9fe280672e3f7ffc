"""Sessions of a small task from outside: what an aggregator remembers after each step, results that all sign again."""

from __future__ import annotations

from dataclasses import replace

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import BIND, Delivery, ResultSignature
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.aggregation.setup import AggregatorSetup, require_one_setup
from privateyes.crypto.commitment import merkle_root
from world import World


def one(world: World) -> tuple[Aggregator, AggregatorMemory]:
    """Aggregator 1 and what it remembers now."""
    return world.aggregators[1], world.aggregator_memories[1]


def passed(world: World) -> dict[str, AggregatorMemory]:
    """Play a whole session; what aggregator 1 remembered after each step."""
    world.run(to="submit")
    memories = {"announce": world.aggregator_memories[1]}
    for step in ("vote", "commit", "agree", "open", "certify"):
        getattr(world, step)()
        memories[step] = world.aggregator_memories[1]
    return memories


def bound_anew(world: World, memory: AggregatorMemory | None = None) -> AggregatorMemory:
    """What aggregator 1 remembers once it is bound to another set-up, which has not started."""
    setups = {s: AggregatorSetup(world.manifest, s, key, 9, 1) for s, key in world.aggregator_keys.items()}
    keys = [own.key() for own in setups.values()]
    request = world.request(BIND, 0, bytes(32), require_one_setup(world.manifest, keys)[0])
    return setups[1].bind(memory or world.aggregator_memories[1], keys, request)


def result_of(world: World, delivery: Delivery) -> bytes:
    """The digest of what a delivery says."""
    rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
    transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
    root = merkle_root(delivery.share, world.manifest.bulk_hash)
    return result_digest(delivery.sid, transcript, root, len(delivery.roster))


def certified(world: World, delivery: Delivery) -> Delivery:
    """With all aggregators' signatures on what the delivery now says."""
    digest, sid = result_of(world, delivery), delivery.sid
    signed = [ResultSignature(sid, s, digest).signed_by(key, sid) for s, key in world.aggregator_keys.items()]
    return replace(delivery, results=tuple(message.signature for message in signed))
