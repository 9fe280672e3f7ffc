"""The set-up of an epoch takes nothing unsigned, misaddressed, repeated or old."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.memory import ClientMemory
from privateyes.aggregation.messages import OPENED, SealedState, SealedStreamKey
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.errors import DeliveryError, MalformedError, RefusedError

STATE = bytes(32)


class Epoch:
    """The second epoch of a world, in the making."""

    def __init__(self, world) -> None:
        self.world = world
        self.aggregators = {
            s: AggregatorSetup(world.manifest, s, key, 2, world.aggregator_memories[s])
            for s, key in world.aggregator_keys.items()
        }
        self.clients = {
            i: ClientSetup(world.manifest, i, key, 2, STATE, world.client_memories[i])
            for i, key in world.client_keys.items()
        }
        self.offered = [own.key() for own in self.aggregators.values()]
        self.secrets = [secrets.token_bytes(32) for _ in self.offered]


@pytest.fixture
def epoch(make_world) -> Epoch:
    return Epoch(make_world(n=3, m=3))


def test_the_first_stream_key_of_a_client_wins(epoch) -> None:
    first = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)[0]
    epoch.aggregators[1].receive(first)
    again = ClientSetup(epoch.world.manifest, 1, epoch.world.client_keys[1], 2, STATE)
    second = again.seal_stream_keys(epoch.offered, epoch.secrets)[0]
    for message in (first, second):
        with pytest.raises(RefusedError, match="has a stream key in this epoch"):
            epoch.aggregators[1].receive(message)
    memory = epoch.aggregators[1].start(epoch.world.aggregator_memories[1])
    assert memory.chains[1].key == epoch.secrets[0]
    assert memory.sealed_hashes == {1: first.sealed_hash(epoch.aggregators[1]._setup)}


@pytest.mark.parametrize("changes", [{"aggregator": 2}, {"epoch": 1}, {"epoch": 3}, {"client": 0}, {"client": 4}])
def test_a_stream_key_for_something_else_is_refused(epoch, changes) -> None:
    message = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)[0]
    with pytest.raises(RefusedError):
        epoch.aggregators[1].receive(replace(message, **changes))


def test_a_stream_key_that_another_client_signed_or_sealed_is_refused(epoch) -> None:
    setup = epoch.aggregators[1]._setup
    message = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)[0]
    with pytest.raises(MalformedError, match="does not verify"):
        epoch.aggregators[1].receive(replace(message, client=2))
    stolen = SealedStreamKey(2, 2, 1, message.sealed).signed_by(epoch.world.client_keys[2], setup)
    with pytest.raises(MalformedError, match="does not open"):
        epoch.aggregators[1].receive(stolen)
    meant_for_two = epoch.clients[2].seal_stream_keys(epoch.offered, epoch.secrets)[1]
    readdressed = replace(meant_for_two, aggregator=1).signed_by(epoch.world.client_keys[2], setup)
    with pytest.raises(MalformedError, match="does not open"):
        epoch.aggregators[1].receive(readdressed)


@pytest.mark.parametrize("damage", ["missing", "twice", "extra", "old", "forged", "swapped"])
def test_a_client_seals_to_exactly_every_aggregators_signed_key(epoch, damage) -> None:
    first, second, third = epoch.offered
    changed = {
        "missing": [first, second],
        "twice": [first, second, second],
        "extra": [first, second, third, third],
        "old": [replace(first, epoch=1), second, third],
        "forged": [replace(first, public_key=second.public_key), second, third],
        "swapped": [replace(first, aggregator=2), replace(second, aggregator=1), third],
    }[damage]
    with pytest.raises((RefusedError, MalformedError)):
        epoch.clients[1].seal_stream_keys(changed, epoch.secrets)
    epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)
    with pytest.raises(RefusedError, match="sealed in this epoch already"):
        epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)


def test_only_the_leader_leads_and_once(epoch) -> None:
    keys = {i: own.key() for i, own in epoch.clients.items()}
    with pytest.raises(RefusedError):
        epoch.clients[2].lead(keys, bytes(32))
    with pytest.raises(MalformedError):
        epoch.clients[1].lead(keys, bytes(31))
    epoch.clients[1].lead(keys, bytes(32))
    with pytest.raises(RefusedError):
        epoch.clients[1].lead(keys, bytes(32))


@pytest.mark.parametrize("damage", ["misfiled", "old", "stranger", "nobody", "forged"])
def test_the_leader_seals_only_to_signed_keys_of_the_manifests_clients(epoch, damage) -> None:
    key = epoch.clients[3].key()
    last = epoch.world.client_keys[3]
    keys = {
        "misfiled": {2: key},
        "old": {3: replace(key, epoch=1)},
        "stranger": {4: replace(key, client=4)},
        "nobody": {0: replace(key, client=0).signed_by(last, epoch.clients[3]._setup)},
        "forged": {3: replace(key, public_key=epoch.clients[2].key().public_key)},
    }[damage]
    with pytest.raises((RefusedError, MalformedError)):
        epoch.clients[1].lead(keys, bytes(32))


def test_epochs_strictly_increase(epoch) -> None:
    world = epoch.world
    for number in (0, 1):
        with pytest.raises(RefusedError, match="epochs strictly increase"):
            AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], number, world.aggregator_memories[1])
        with pytest.raises(RefusedError, match="epochs strictly increase"):
            ClientSetup(world.manifest, 1, world.client_keys[1], number, STATE, world.client_memories[1])


def test_an_epoch_does_not_start_without_its_keys(epoch) -> None:
    with pytest.raises(RefusedError, match="incomplete"):
        epoch.clients[2].start(epoch.world.client_memories[2])
    epoch.clients[2].seal_stream_keys(epoch.offered, epoch.secrets)
    with pytest.raises(RefusedError, match="incomplete"):
        epoch.clients[2].start(epoch.world.client_memories[2])


def test_a_session_that_was_opened_during_the_set_up_is_still_known_as_opened(make_world) -> None:
    world = make_world(n=2)
    world.run(1, 2, to="agree")
    setup = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 2, world.aggregator_memories[1])
    world.open()
    memory = setup.start(world.aggregator_memories[1])
    assert world.aggregators[1].closing(memory, 1, world.round, world.state_id).outcome == OPENED


def test_a_submission_during_the_set_up_is_still_pending_after_it(make_world) -> None:
    world = make_world(n=2)
    world.announce()
    before = world.client_memories[2]
    world.set_up(STATE)
    assert not before.pending
    world.announce()
    world.submit(2)
    pending = world.client_memories[2].pending
    assert pending
    world.set_up(STATE)
    assert tuple(replace(session, group=None) for session in world.client_memories[2].pending) == pending
    world.announce()
    with pytest.raises(RefusedError, match="its result was not accepted"):
        world.submit(2)


def test_a_client_that_moved_on_during_the_set_up_does_not_fall_back(epoch) -> None:
    moved = epoch.world.client_memories[2].with_state(bytes([1]) * 32)
    with pytest.raises(RefusedError, match="not this client's current one"):
        epoch.clients[2].start(moved)


def test_sessions_from_before_the_records_are_not_declared_void(make_world) -> None:
    world = make_world(n=2)
    world.run(1, 2)
    first_round, state_id = world.round, world.state_id
    lost = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 2, None).start(None)
    with pytest.raises(RefusedError, match="records begin with epoch 2"):
        world.aggregators[1].closing(lost, 1, first_round, state_id)


def test_the_private_halves_are_gone_once_the_epoch_starts(epoch) -> None:
    sealed = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)
    epoch.aggregators[1].start(epoch.world.aggregator_memories[1])
    assert not hasattr(epoch.aggregators[1], "_unsealing")
    with pytest.raises(AttributeError):
        epoch.aggregators[1].receive(sealed[0])


# A newcomer's training state


def _newcomer(epoch, number: int = 3) -> ClientSetup:
    return ClientSetup(epoch.world.manifest, number, epoch.world.client_keys[number], 2, None)


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(state).digest()


def test_a_newcomer_takes_over_the_state_that_another_client_seals_to_it(epoch) -> None:
    newcomer, state = _newcomer(epoch), b"model, moments, round" * 1000
    message = epoch.clients[2].give_state(newcomer.key(), state)
    assert state not in message.to_bytes()
    received = SealedState.from_bytes(message.to_bytes(), epoch.world.manifest)
    assert newcomer.receive_state(received, _digest) == state
    newcomer.seal_stream_keys(epoch.offered, epoch.secrets)
    keys = {3: newcomer.key()}
    newcomer.receive_group_key(epoch.clients[1].lead(keys, bytes(32))[0])
    assert newcomer.start(None).state_digest == _digest(state)


def test_a_client_that_has_a_state_is_given_none(epoch) -> None:
    # Were it to take one, a corrupt client could send it back to where it has submitted already.
    message = epoch.clients[2].give_state(epoch.clients[3].key(), b"older" * 10)
    with pytest.raises(RefusedError, match="has a training state"):
        epoch.clients[3].receive_state(message, _digest)
    epoch.clients[3]._state_digest = None
    epoch.clients[3].receive_state(message, _digest)
    assert epoch.clients[3]._state_digest == _digest(b"older" * 10)


def test_a_returning_client_is_no_newcomer(epoch) -> None:
    with pytest.raises(RefusedError, match="never goes back"):
        ClientSetup(epoch.world.manifest, 3, epoch.world.client_keys[3], 2, None, epoch.world.client_memories[3])


def test_a_newcomer_gives_no_state_and_starts_without_none(epoch) -> None:
    newcomer = _newcomer(epoch)
    with pytest.raises(RefusedError, match="has no training state to give"):
        newcomer.give_state(epoch.clients[1].key(), b"x")
    newcomer.seal_stream_keys(epoch.offered, epoch.secrets)
    newcomer.receive_group_key(epoch.clients[1].lead({3: newcomer.key()}, bytes(32))[0])
    with pytest.raises(RefusedError, match="has no training state"):
        newcomer.start(None)


@pytest.mark.parametrize("changes", [{"recipient": 2}, {"epoch": 1}, {"sender": 0}, {"sender": 4}])
def test_a_state_for_something_else_is_refused(epoch, changes) -> None:
    newcomer = _newcomer(epoch)
    message = epoch.clients[2].give_state(newcomer.key(), b"state")
    with pytest.raises(RefusedError, match="of another epoch, for another client"):
        newcomer.receive_state(replace(message, **changes), _digest)


def test_a_state_that_was_altered_or_signed_by_another_client_is_refused(epoch) -> None:
    newcomer = _newcomer(epoch)
    message = epoch.clients[2].give_state(newcomer.key(), b"state")
    flipped = bytes([message.sealed[0] ^ 1]) + message.sealed[1:]
    for altered in (replace(message, sealed=flipped), replace(message, sender=1)):
        with pytest.raises(MalformedError, match="does not verify"):
            newcomer.receive_state(altered, _digest)
    setup = newcomer._setup
    resigned = replace(message, sender=1).signed_by(epoch.world.client_keys[1], setup)
    with pytest.raises(MalformedError, match="does not open"):
        newcomer.receive_state(resigned, _digest)


def test_a_state_is_sealed_to_signed_keys_of_this_epoch_alone(epoch) -> None:
    key = _newcomer(epoch).key()
    for changes in ({"epoch": 1}, {"client": 0}, {"client": 4}):
        with pytest.raises(RefusedError, match="of another epoch or of no client"):
            epoch.clients[2].give_state(replace(key, **changes), b"state")
    with pytest.raises(MalformedError, match="does not verify"):
        epoch.clients[2].give_state(replace(key, client=1), b"state")


# A result that arrives after a new epoch began


def _delivered_late(make_world):
    """All but client 4 submit; the delivery is held back until the next epoch has begun."""
    world = make_world(n=2, m=4)
    world.run(1, 2, 3)
    delivery, expected = world.delivery, world.mean_of(world.ideal())
    world.set_up(bytes(32))
    return world, delivery, expected


def test_a_result_of_the_epoch_before_is_still_accepted_under_its_own_group_key(make_world) -> None:
    world, delivery, expected = _delivered_late(make_world)
    for client in world.clients:
        memory = ClientMemory.from_bytes(world.client_memories[client].to_bytes())
        verified = world.clients[client].check(memory, delivery)
        assert np.array_equal(verified.mean, expected)
        assert verified.counted == (client != 4)
        assert memory.with_state(bytes([1]) * 32).pending == ()


def test_without_that_key_the_clients_would_stand_still(make_world) -> None:
    world, delivery, _ = _delivered_late(make_world)
    memory = world.client_memories[1]
    forgetful = replace(memory, pending=tuple(replace(session, group=None) for session in memory.pending))
    with pytest.raises(DeliveryError, match="another group key"):
        world.clients[1].check(forgetful, delivery)
    with pytest.raises(DeliveryError, match="does not follow"):
        world.clients[4].check(replace(world.client_memories[4], pending=()), delivery)


def test_a_client_that_only_followed_the_session_refuses_to_be_listed_in_it(make_world) -> None:
    world, delivery, _ = _delivered_late(make_world)
    listed = replace(delivery, roster=(*delivery.roster, (4, bytes(32))))
    with pytest.raises(DeliveryError, match="a submission that this client did not make"):
        world.clients[4].check(world.client_memories[4], listed)


def test_an_opened_session_of_the_epoch_before_still_forbids_a_submission(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    world.announce()
    for client in world.clients:
        with pytest.raises(RefusedError, match="submitting again could reveal"):
            world.submit(client)


def test_the_group_keys_of_earlier_epochs_show_in_no_repr(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    memory = world.client_memories[1]
    key = memory.pending[0].group.key
    assert key.hex() not in repr(memory)
    assert str(key) not in repr(memory) + repr(memory.pending[0])
