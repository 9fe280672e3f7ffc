"""What one aggregator of a small task remembers: after each step of a session, and bound to another set-up."""

from __future__ import annotations

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import BIND
from privateyes.aggregation.setup import AggregatorSetup, require_one_setup
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
