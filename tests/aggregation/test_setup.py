"""The set-up of an epoch takes nothing unsigned, misaddressed, repeated or old."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.memory import ClientMemory
from privateyes.aggregation.messages import OPENED, VOID, SealedState, SealedStreamKey, Voucher
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
    world = epoch.world
    world.announce()
    moved = world.clients[2].observe(world.client_memories[2], world.announcements)
    moved = moved.with_state(bytes([1]) * 32, world.sid)
    with pytest.raises(RefusedError, match="not this client's current one"):
        epoch.clients[2].start(moved)


def test_sessions_from_before_the_records_are_not_declared_void(make_world) -> None:
    world = make_world(n=2)
    world.run(1, 2)
    first_round, state_id = world.round, world.state_id
    lost = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 2, None).start(None)
    with pytest.raises(RefusedError, match="records begin with epoch 3"):
        world.aggregators[1].closing(lost, 1, first_round, state_id)


def test_the_private_halves_are_gone_once_the_epoch_starts(epoch) -> None:
    sealed = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)
    epoch.aggregators[1].start(epoch.world.aggregator_memories[1])
    assert epoch.aggregators[1]._unsealing is None
    with pytest.raises(RefusedError, match="keys of its set-up are gone"):
        epoch.aggregators[1].receive(sealed[0])


# A newcomer's training state


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(state).digest()


MODEL = b"model, moments, round" * 1000


class Joining:
    """Clients 1 to 4 hold a state and the group key of epoch 2; client 5 joins. One client may be corrupt."""

    def __init__(self, make_world) -> None:
        self.world = make_world(n=2, m=5, roster_min=3, corrupt_clients=1, set_up=False)
        manifest, keys = self.world.manifest, self.world.client_keys
        self.aggregators = [AggregatorSetup(manifest, s, key, 2, None) for s, key in self.world.aggregator_keys.items()]
        self.clients = {i: ClientSetup(manifest, i, keys[i], 2, _digest(MODEL)) for i in (1, 2, 3, 4)}
        self.newcomer = ClientSetup(manifest, 5, keys[5], 2, None)
        everyone = {**self.clients, 5: self.newcomer}
        for own in everyone.values():
            own.seal_stream_keys([other.key() for other in self.aggregators], [bytes([7]) * 32, bytes([8]) * 32])
        for message in self.clients[1].lead({i: own.key() for i, own in everyone.items()}, bytes([9]) * 32):
            everyone[message.recipient].receive_group_key(message)
        self.vouchers = [self.clients[i].vouch() for i in (2, 3)]

    def offer(self, state: bytes = MODEL, sender: int = 2):
        return self.clients[sender].give_state(self.newcomer.key(), state, _digest)

    def trap(self):
        """A state that corrupt client 4 made up, and its own voucher for it."""
        weights = b"weights that tell of images"
        corrupt = ClientSetup(self.world.manifest, 4, self.world.client_keys[4], 2, _digest(weights))
        corrupt._group_key = self.clients[4]._group_key
        return weights, corrupt.give_state(self.newcomer.key(), weights, _digest), corrupt.vouch()


@pytest.fixture
def joining(make_world) -> Joining:
    return Joining(make_world)


def test_a_newcomer_takes_over_the_state_that_other_clients_vouch_for(joining) -> None:
    message = joining.offer()
    assert MODEL not in message.to_bytes()
    received = SealedState.from_bytes(message.to_bytes(), joining.world.manifest)
    vouchers = [Voucher.from_bytes(voucher.to_bytes(), joining.world.manifest) for voucher in joining.vouchers]
    assert joining.newcomer.receive_state(received, vouchers, _digest) == MODEL
    assert joining.newcomer.start(None).state_digest == _digest(MODEL)


def test_a_corrupt_client_alone_gives_a_newcomer_no_weights_of_its_own_choice(joining) -> None:
    weights, message, voucher = joining.trap()
    for vouchers in ([], [voucher], [voucher, voucher], [voucher, *joining.vouchers]):
        with pytest.raises(RefusedError, match=f"{len(vouchers[:1])} clients vouch for this training state, and 1 may"):
            joining.newcomer.receive_state(message, vouchers, _digest)
    # With the manifest's assumption switched off, the newcomer would train from them and submit.
    joining.newcomer._manifest = replace(joining.newcomer._manifest, corrupt_clients=0)
    assert joining.newcomer.receive_state(message, [voucher], _digest) == weights


def test_vouchers_of_the_newcomer_itself_of_strangers_and_of_other_states_do_not_count(joining) -> None:
    message, (first, second) = joining.offer(), joining.vouchers
    own = replace(first, client=5).signed_by(joining.world.client_keys[5], joining.newcomer._setup)
    other_epoch = replace(first, epoch=1).signed_by(joining.world.client_keys[2], joining.newcomer._setup)
    for wrong in (own, other_epoch, replace(first, client=0), replace(first, client=6), joining.trap()[2]):
        with pytest.raises(RefusedError, match="1 clients vouch"):
            joining.newcomer.receive_state(message, [wrong, second], _digest)
    with pytest.raises(MalformedError, match="type Voucher does not verify"):
        joining.newcomer.receive_state(message, [replace(first, client=1), second], _digest)


def test_a_client_that_has_a_state_is_given_none(joining) -> None:
    # Were it to take one, corrupt clients could send it back to where it has submitted already.
    message = joining.clients[2].give_state(joining.clients[3].key(), MODEL, _digest)
    with pytest.raises(RefusedError, match="has a training state"):
        joining.clients[3].receive_state(message, joining.vouchers, _digest)
    joining.clients[3]._state_digest = None
    vouchers = [joining.clients[i].vouch() for i in (1, 2)]
    joining.clients[3].receive_state(message, vouchers, _digest)
    assert joining.clients[3]._state_digest == _digest(MODEL)


def test_a_returning_client_is_no_newcomer_and_shows_its_memory_when_it_starts(epoch) -> None:
    world = epoch.world
    with pytest.raises(RefusedError, match="never goes back"):
        ClientSetup(world.manifest, 3, world.client_keys[3], 2, None, world.client_memories[3])
    with pytest.raises(RefusedError, match="memory of the epoch before is missing"):
        epoch.clients[3].start(None)


def test_nobody_gives_a_state_that_it_does_not_hold_or_vouches_without_one(joining) -> None:
    with pytest.raises(RefusedError, match="not this client's current training state"):
        joining.offer(b"another")
    with pytest.raises(RefusedError, match="not this client's current training state"):
        joining.newcomer.give_state(joining.clients[1].key(), MODEL, _digest)
    with pytest.raises(RefusedError, match="vouches for the state that it holds"):
        joining.newcomer.vouch()
    with pytest.raises(RefusedError, match="has no training state"):
        joining.newcomer.start(None)


def test_a_newcomer_needs_the_group_key_first(joining) -> None:
    joining.newcomer._group_key = None
    with pytest.raises(RefusedError, match="needs the group key before the state"):
        joining.newcomer.receive_state(joining.offer(), joining.vouchers, _digest)


@pytest.mark.parametrize("changes", [{"recipient": 2}, {"epoch": 1}, {"sender": 0}, {"sender": 6}])
def test_a_state_for_something_else_is_refused(joining, changes) -> None:
    with pytest.raises(RefusedError, match="of another epoch, for another client"):
        joining.newcomer.receive_state(replace(joining.offer(), **changes), joining.vouchers, _digest)


def test_a_state_that_was_altered_or_signed_by_another_client_is_refused(joining) -> None:
    message = joining.offer()
    flipped = bytes([message.sealed[0] ^ 1]) + message.sealed[1:]
    for altered in (replace(message, sealed=flipped), replace(message, sender=1)):
        with pytest.raises(MalformedError, match="does not verify"):
            joining.newcomer.receive_state(altered, joining.vouchers, _digest)
    resigned = replace(message, sender=1).signed_by(joining.world.client_keys[1], joining.newcomer._setup)
    with pytest.raises(MalformedError, match="does not open"):
        joining.newcomer.receive_state(resigned, joining.vouchers, _digest)


def test_a_state_is_sealed_to_signed_keys_of_this_epoch_alone(joining) -> None:
    key, giver = joining.newcomer.key(), joining.clients[2]
    for changes in ({"epoch": 1}, {"client": 0}, {"client": 6}):
        with pytest.raises(RefusedError, match="of another epoch or of no client"):
            giver.give_state(replace(key, **changes), MODEL, _digest)
    with pytest.raises(MalformedError, match="does not verify"):
        giver.give_state(replace(key, client=1), MODEL, _digest)


# Stores that were lost, and sessions across epochs


def test_an_aggregator_whose_memory_was_lost_calls_no_session_of_its_epoch_void(make_world) -> None:
    """Else: open, lose the store, be set up under the same epoch's number, and sign VOID for what was opened."""
    world = make_world(n=2)
    world.run(to="open")
    opened, key = (world.round, world.state_id), world.aggregator_keys[1]
    again = AggregatorSetup(world.manifest, 1, key, 1, None).start(None)
    again = world.aggregators[1].announce(again, 1, world.round + 1, bytes(32)).memory
    with pytest.raises(RefusedError, match="records begin with epoch 2"):
        world.aggregators[1].closing(again, 1, *opened)
    # With the operator's wrong word that it never ran, it lies.
    lying = AggregatorSetup(world.manifest, 1, key, 1, None, never_ran=True).start(None)
    lying = world.aggregators[1].announce(lying, 1, world.round + 1, bytes(32)).memory
    assert world.aggregators[1].closing(lying, 1, *opened).outcome == VOID


def test_what_may_still_be_opened_after_an_epoch_began_is_not_called_void(make_world) -> None:
    world = make_world(n=2)
    world.run(to="agree")
    last, state_id = world.round, world.state_id
    states, agreements, sid = dict(world.states), world.agreements, world.sid
    world.set_up(bytes(32))
    memory = world.aggregator_memories[1]
    with pytest.raises(RefusedError, match="is not closed"):
        world.aggregators[1].closing(memory, 1, last, state_id)
    opened = world.aggregators[1].open(memory, states[1], agreements)
    assert opened.memory.opened == {sid}
    assert world.aggregators[1].closing(opened.memory, 1, last, state_id).outcome == OPENED
    # Once the new epoch's first round is announced, the other aggregator opens it no more, and calls it void.
    world.announce()
    with pytest.raises(RefusedError, match="this session is closed"):
        world.aggregators[2].open(world.aggregator_memories[2], states[2], agreements)
    assert world.aggregators[2].closing(world.aggregator_memories[2], 1, last, state_id).outcome == VOID


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_a_round_that_is_no_round_is_refused(make_world, number) -> None:
    world = make_world(n=2)
    with pytest.raises(RefusedError):
        world.aggregators[1].announce(world.aggregator_memories[1], 1, number, bytes(32))
    with pytest.raises(RefusedError):
        world.aggregators[1].closing(world.aggregator_memories[1], 1, number, bytes(32))


def test_nothing_is_asked_of_a_set_up_whose_epoch_has_begun(epoch) -> None:
    sealed = epoch.clients[1].seal_stream_keys(epoch.offered, epoch.secrets)
    for message in epoch.clients[1].lead({1: epoch.clients[1].key()}, bytes(32)):
        epoch.clients[1].receive_group_key(message)
    epoch.aggregators[1].start(epoch.world.aggregator_memories[1])
    epoch.clients[1].start(epoch.world.client_memories[1])
    for call in (
        epoch.aggregators[1].key,
        epoch.clients[1].key,
        lambda: epoch.aggregators[1].receive(sealed[0]),
        lambda: epoch.aggregators[1].start(epoch.world.aggregator_memories[1]),
        lambda: epoch.clients[1].start(epoch.world.client_memories[1]),
    ):
        with pytest.raises(RefusedError, match="the epoch has begun"):
            call()


@pytest.mark.parametrize("drawn", [[], [bytes(32)] * 2, [bytes(32)] * 4, [bytes(31)] * 3])
def test_stream_keys_need_one_secret_of_full_length_for_each_aggregator(epoch, drawn) -> None:
    with pytest.raises(MalformedError, match="not 32 secret bytes for each aggregator"):
        epoch.clients[1].seal_stream_keys(epoch.offered, drawn)


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
        assert memory.with_state(bytes([1]) * 32, delivery.sid).pending == ()


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


def test_an_opened_session_of_the_epoch_before_still_forbids_a_submission_to_those_who_submitted(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    world.announce()
    for client in (1, 2, 3):
        with pytest.raises(RefusedError, match="submitting again could reveal"):
            world.submit(client)
    world.submit(4)  # it only followed: whatever an aggregator says of that session, it has shown nothing


def test_the_group_keys_of_earlier_epochs_show_in_no_repr(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    memory = world.client_memories[1]
    key = memory.pending[0].group.key
    assert key.hex() not in repr(memory)
    assert str(key) not in repr(memory) + repr(memory.pending[0])


def test_a_leader_that_started_its_set_up_gives_out_no_second_group_key(make_world) -> None:
    """It has forgotten the first one, so nothing else would stop it."""
    world = make_world()
    keys = {message.client: message for message in world.client_keys_said}
    with pytest.raises(RefusedError, match="the set-up has started"):
        world.client_setups[1].lead(keys, bytes(32))
