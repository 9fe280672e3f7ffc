"""What parties remember survives the disk, and damage is said to be damage."""

from __future__ import annotations

import json

import pytest

from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import MalformedError, RefusedError


@pytest.fixture
def used(world):
    world.run()
    return world


def test_both_memories_read_back_what_they_wrote(used) -> None:
    for memory in (*used.aggregator_memories.values(), *used.client_memories.values()):
        again = type(memory).from_bytes(memory.to_bytes())
        assert again == memory
        assert again.to_bytes() == memory.to_bytes()


@pytest.mark.parametrize("kind", [AggregatorMemory, ClientMemory])
def test_every_missing_or_damaged_field_is_refused(used, kind) -> None:
    memory = used.aggregator_memories[1] if kind is AggregatorMemory else used.client_memories[1]
    table = json.loads(memory.to_bytes())
    for name in table:
        less = {key: value for key, value in table.items() if key != name}
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(json.dumps(less).encode())
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(json.dumps({**table, name: None}).encode())
    for data in (b"", b"{", b"[]", b"3", b"\xff", memory.to_bytes()[:-1]):
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(data)


def test_no_repr_shows_a_key(used) -> None:
    for memory in (used.aggregator_memories[1], used.client_memories[1]):
        keys = memory.chains.values() if isinstance(memory, AggregatorMemory) else memory.chains
        shown = repr(memory)
        for chain in keys:
            assert repr(chain.key) not in shown
            assert chain.key.hex() not in shown
    assert repr(used.client_memories[1].group.key) not in repr(used.client_memories[1])


def test_a_new_state_clears_what_was_pending(used) -> None:
    before = used.client_memories[1]
    assert before.pending
    after = before.with_state(bytes([3]) * 32, used.sid)
    assert after.pending == ()
    assert after.current_sid == NO_SESSION
    assert after.state_digest == bytes([3]) * 32
    assert after.last_round == before.last_round


def test_the_pairwise_keys_of_the_set_up_are_gone_after_the_first_round(world) -> None:
    first = {chain.key.hex() for memory in world.client_memories.values() for chain in memory.chains}
    world.run()
    stored = b"".join(
        memory.to_bytes() for memory in (*world.aggregator_memories.values(), *world.client_memories.values())
    ).decode()
    assert not any(key in stored for key in first)


def test_a_new_state_needs_a_followed_session_and_another_digest(used) -> None:
    """Either would forget what was submitted, and with it the rule that it is submitted once."""
    before = used.client_memories[1]
    with pytest.raises(RefusedError, match="does not follow"):
        before.with_state(bytes([3]) * 32, bytes(32))
    with pytest.raises(RefusedError, match="does not follow"):
        before.with_state(bytes([3]) * 32, bytes([1]) * 32)
    with pytest.raises(RefusedError, match="is the one before it"):
        before.with_state(before.state_digest, used.sid)


def test_a_session_that_all_call_void_is_followed_no_more(world) -> None:
    world.run(to="submit")
    before = world.client_memories[1]
    world.announce()
    settled = world.clients[1].settle(before, world.closings(world.round - 1))
    assert before.follows(before.current_sid)
    assert not settled.follows(before.current_sid)
    assert settled.carried_over() == settled.pending


@pytest.mark.parametrize("kind", [AggregatorMemory, ClientMemory])
@pytest.mark.parametrize("damage", [b"[" * 100_000, b'{"epoch":1e999}', b"9" * 5000])
def test_hostile_bytes_are_damage_and_nothing_else(used, kind, damage) -> None:
    memory = used.aggregator_memories[1] if kind is AggregatorMemory else used.client_memories[1]
    table = json.loads(memory.to_bytes())
    hostile = json.dumps({**table, "last_round": "@"}).replace('"@"', damage.decode()).encode()
    with pytest.raises(MalformedError, match="is damaged"):
        kind.from_bytes(hostile)
    for data in (damage, hostile):
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(data)
