"""42. Newcomers and clients that jump are handed a state: only one that more clients vouch for than may be corrupt."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from privateyes.aggregation import setup as set_up_code
from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.messages import BIND, HubRequest, SealedState, Voucher
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.errors import MalformedError, RefusedError
from world import state_after

AWAY = 3


def _read(data: bytes) -> TrainingState:
    return TrainingState(data[:32], data[32:64], data[64])


def _written(state: TrainingState) -> bytes:
    return state.digest + state.weights + bytes([state.counter])


@pytest.fixture
def joining(make_world, case):
    """A set-up in which everybody but client 3 has started; one client may be corrupt, so two must vouch."""
    world = make_world(n=case["n"], field=case["field"], roster_min=3, corrupt_clients=1)
    world.run()
    world.accept(b"first")
    return _begin(world)


def _begin(world, memory_of_the_absent=None):
    offers = {s: AggregatorSetup(world.manifest, s, key, 2, 1) for s, key in world.aggregator_keys.items()}
    keys = [own.key() for own in offers.values()]
    world.setup, _ = require_one_setup(world.manifest, keys)
    request = HubRequest(BIND, world.setup, 0, bytes(32)).signed_by(world.hub_key, world.setup)
    for s, own in offers.items():
        world.aggregator_memories[s] = own.bind(world.aggregator_memories[s], keys, request)
    setups = {}
    for i, key in world.client_keys.items():
        memory = memory_of_the_absent if i == AWAY else world.client_memories[i]
        setups[i] = ClientSetup(world.manifest, i, key, memory)
        setups[i].bind(keys)
        for sealed in setups[i].seal_stream_keys([secrets.token_bytes(32) for _ in keys]):
            offers[sealed.aggregator].receive(world.aggregator_memories[sealed.aggregator], sealed)
    for message in setups[1].lead({i: own.key() for i, own in setups.items()}, secrets.token_bytes(32)):
        setups[message.recipient].receive_group_key(message)
    world.newcomer, world.newcomer_key = setups[AWAY], setups[AWAY].key()
    for i in (1, 2, 4):
        world.client_memories[i] = setups[i].start(world.client_memories[i])
    return world


def _given(world, by: int, state: TrainingState | None = None) -> SealedState:
    """What a client hands over; a corrupt one hands over any state."""
    own, memory = world.clients[by], world.client_memories[by]
    memory = memory if state is None else replace(memory, state=state)
    return own.give_state(memory, world.newcomer_key, _written(memory.state), _read)


def _vouchers(world, *clients: int) -> list[Voucher]:
    return [world.clients[i].vouch(world.client_memories[i]) for i in clients]


def test_with_two_vouchers_a_newcomer_starts_from_the_others_state(joining) -> None:
    joining.newcomer.receive_state(_given(joining, 1), _vouchers(joining, 1, 2), _read)
    memory = joining.newcomer.start(None)
    assert memory.state == joining.client_memories[1].state


def test_too_few_vouchers_its_own_or_one_twice_or_of_another_set_up_or_state_are_not_enough(joining) -> None:
    (one,) = _vouchers(joining, 2)
    own = replace(one, client=AWAY).signed_by(joining.client_keys[AWAY], joining.setup)
    elsewhere = replace(one, client=1, setup=bytes(32)).signed_by(joining.client_keys[1], bytes(32))
    other = replace(one, client=1, state_id=bytes(32)).signed_by(joining.client_keys[1], joining.setup)
    stranger = replace(one, client=5)
    for vouchers in ([], [one], [one, one], [one, own], [one, elsewhere], [one, other], [one, stranger]):
        with pytest.raises(RefusedError, match="clients vouch for this training state, and 1 may be corrupt"):
            joining.newcomer.receive_state(_given(joining, 1), vouchers, _read)
    forged = replace(one, client=1)
    with pytest.raises(MalformedError):
        joining.newcomer.receive_state(_given(joining, 1), [one, forged], _read)


def test_a_corrupt_clients_own_weights_are_not_taken_over_and_without_the_check_they_are(joining, monkeypatch) -> None:
    crafted = state_after(joining.client_memories[1].state, b"weights that an update tells its images by")
    memory = replace(joining.client_memories[4], state=crafted)
    lie = joining.clients[4].vouch(memory)
    with pytest.raises(RefusedError, match="1 clients vouch"):
        joining.newcomer.receive_state(_given(joining, 4, crafted), [lie, *_vouchers(joining, 1, 2)], _read)
    monkeypatch.setattr(set_up_code, "require_vouchers", lambda *_: None)
    joining.newcomer.receive_state(_given(joining, 4, crafted), [lie], _read)
    assert joining.newcomer.start(None).state == crafted


def test_a_newcomer_takes_the_pinned_state_without_vouchers_and_no_other(joining) -> None:
    world = joining
    pinned = TrainingState(world.manifest.initial_state, bytes(32), 0)
    ClientSetup(world.manifest, AWAY, world.client_keys[AWAY], None, pinned)
    for other in (replace(pinned, digest=bytes([8]) * 32), replace(pinned, counter=1)):
        with pytest.raises(RefusedError, match="not the one that the manifest pins"):
            ClientSetup(world.manifest, AWAY, world.client_keys[AWAY], None, other)


def test_a_client_that_missed_rounds_jumps_forward_and_never_back(make_world, case) -> None:
    world = make_world(n=case["n"], field=case["field"], roster_min=3, corrupt_clients=1)
    world.run(1, 2, 4)
    behind = world.client_memories[AWAY]
    world.accept(b"first")
    ahead = world.client_memories[AWAY]
    _begin(world, memory_of_the_absent=behind)
    world.newcomer.receive_state(_given(world, 1), _vouchers(world, 1, 2), _read)
    jumped = world.newcomer.start(behind)
    assert jumped.state == world.client_memories[1].state
    assert jumped.state.counter == behind.state.counter + 1
    assert jumped.followed == ()
    _begin(world, memory_of_the_absent=ahead)
    with pytest.raises(RefusedError, match="only jumps to a later state"):
        world.newcomer.receive_state(_given(world, 1), _vouchers(world, 1, 2), _read)


def test_in_a_public_task_a_client_jumps_at_any_time_and_in_a_sealed_one_only_in_a_set_up(make_world, case) -> None:
    world = make_world(n=case["n"], field=case["field"], roster_min=3, corrupt_clients=1, mode="public")
    world.run(1, 2, 4)
    behind = world.client_memories[AWAY]
    world.accept(b"first")
    target = world.client_memories[1].state
    own = world.clients[AWAY]
    with pytest.raises(RefusedError, match="1 clients vouch"):
        own.jump(behind, _vouchers(world, 1), target)
    jumped = own.jump(behind, _vouchers(world, 1, 2), target)
    assert (jumped.state, jumped.followed, jumped.version) == (target, (), behind.version + 1)
    with pytest.raises(RefusedError, match="only jumps to a later state"):
        own.jump(jumped, _vouchers(world, 1, 2), target)
    sealed = make_world(n=case["n"], field=case["field"])
    with pytest.raises(RefusedError, match="during a set-up"):
        sealed.clients[AWAY].jump(sealed.client_memories[AWAY], [], target)
