"""41. Two handlers of one aggregator begin from one snapshot: the store lets one of them speak."""

from __future__ import annotations

import secrets

import pytest

from privateyes.engines.local.store import PartyStore
from privateyes.errors import RefusedError

HONEST = 1


def _two_commitments(world):
    """What two handlers compute from the same memory, each with a salt of its own."""
    world.run(to="vote")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    return memory, [own.commit(memory, world.headers, world.votes, secrets.token_bytes(32)) for _ in range(2)]


def test_the_second_is_refused_and_then_repeats_the_firsts_word(world, tmp_path) -> None:
    memory, (first, second) = _two_commitments(world)
    assert first.message.commitment != second.message.commitment
    store = PartyStore.create(tmp_path / "store")
    for version in range(1, memory.version + 1):
        store.put_memory("aggregator 1", memory.to_bytes(), version)
    store.put_memory("aggregator 1", first.memory.to_bytes(), first.memory.version)
    with pytest.raises(RefusedError, match="another handler wrote first"):
        store.put_memory("aggregator 1", second.memory.to_bytes(), second.memory.version)
    own, stored = world.aggregators[HONEST], type(memory).from_bytes(store.memory("aggregator 1"))
    store.close()
    again = own.commit(stored, world.headers, world.votes, secrets.token_bytes(32))
    assert again.message.to_bytes() == first.message.to_bytes()
    assert again.memory is None


def test_without_compare_and_swap_one_session_gets_two_commitments(world) -> None:
    _, (first, second) = _two_commitments(world)
    said = {first.message.to_bytes(), second.message.to_bytes()}
    assert len(said) == 2, "a store that takes both lets both out"
    assert first.message.sid == second.message.sid
