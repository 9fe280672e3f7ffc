"""A set-up takes nothing unsigned, misaddressed, repeated or brought back; and it ends every set-up before it."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.keys import MAX_EPOCH, setup_id
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    OPENED,
    VOID,
    ClientKey,
    HubRequest,
    SealedState,
    SealedStreamKey,
    Voucher,
)
from privateyes.aggregation.setup import (
    AggregatorSetup,
    ClientSetup,
    _group_key_info,
    _state_info,
    _stream_key_info,
    require_later,
    require_one_setup,
    require_vouchers,
    seal_state,
)
from privateyes.errors import DeliveryError, MalformedError, RefusedError
from world import INITIAL, state_after


class Second:
    """The second set-up of a world, in the making."""

    def __init__(self, world, leader: int = 1) -> None:
        self.world, manifest = world, world.manifest
        self.aggregators = {s: AggregatorSetup(manifest, s, key, 2, leader) for s, key in world.aggregator_keys.items()}
        self.clients = {
            i: ClientSetup(manifest, i, key, world.client_memories[i]) for i, key in world.client_keys.items()
        }
        self.offered = [own.key() for own in self.aggregators.values()]
        self.id, _ = require_one_setup(manifest, self.offered)
        self.request = world.request(BIND, 0, bytes(32), self.id)
        self.secrets = [secrets.token_bytes(32) for _ in self.offered]

    def bind(self, *clients: int) -> Second:
        """At every aggregator, and at the given clients."""
        memories = self.world.aggregator_memories
        for s, own in self.aggregators.items():
            memories[s] = own.bind(memories[s], self.offered, self.request)
        for i in clients:
            self.clients[i].bind(self.offered)
        return self

    def sealed(self, client: int) -> list[SealedStreamKey]:
        return list(self.clients[client].seal_stream_keys(self.secrets))


@pytest.fixture
def second(make_world) -> Second:
    return Second(make_world(n=3, m=3))


# The keys of all aggregators make a set-up


def test_the_id_is_over_the_keys_in_order_and_not_over_signatures(second) -> None:
    manifest, keys = second.world.manifest, [message.public_key for message in second.offered]
    setup, ordered = require_one_setup(manifest, second.offered[::-1])
    assert setup == second.id == setup_id(manifest.digest(), 2, 1, keys)
    assert list(ordered) == second.offered


def test_two_offers_under_one_epoch_are_two_set_ups(make_world) -> None:
    """The honest aggregator draws a fresh key, so that no id comes back, whatever epoch a hub names."""
    world = make_world(n=2)
    first, again = Second(world), Second(world)
    assert first.id != again.id
    mixed = [first.offered[0], again.offered[1]]
    assert require_one_setup(world.manifest, mixed)[0] not in (first.id, again.id)


@pytest.mark.parametrize("damage", ["missing", "none", "twice", "extra", "stranger", "nobody", "epoch", "leader"])
def test_keys_that_are_not_one_of_each_for_one_set_up_make_none(second, damage) -> None:
    first, two, third = second.offered
    keys = second.world.aggregator_keys

    def signed(message, **changes):
        return replace(message, **changes).signed_by(keys[message.aggregator], second.world.manifest.digest())

    changed = {
        "missing": [first, two],
        "none": [],
        "twice": [first, two, two],
        "extra": [first, two, third, third],
        "stranger": [first, two, signed(third, aggregator=4)],
        "nobody": [signed(first, aggregator=0), two, third],
        "epoch": [signed(first, epoch=3), two, third],
        "leader": [first, two, signed(third, leader=2)],
    }[damage]
    for bind in (second.clients[1].bind, lambda given: require_one_setup(second.world.manifest, given)):
        with pytest.raises(RefusedError):
            bind(changed)


def test_a_leader_that_the_manifest_does_not_pin_leads_nothing(second) -> None:
    world = second.world
    changed = [
        replace(message, leader=3).signed_by(world.aggregator_keys[message.aggregator], world.manifest.digest())
        for message in second.offered
    ]
    with pytest.raises(RefusedError, match="not among the manifest's leaders"):
        second.clients[1].bind(changed)
    # Were client 3 pinned, the same keys would do: but of another manifest, under which nobody signed them.
    other = replace(world.manifest, leaders=(1, 2, 3))
    with pytest.raises(MalformedError, match="AggregatorKey does not verify"):
        require_one_setup(other, changed)


@pytest.mark.parametrize("damage", ["forged", "swapped", "unsigned", "set-up"])
def test_a_key_that_its_aggregator_did_not_sign_for_this_manifest_makes_no_set_up(second, damage) -> None:
    first, two, third = second.offered
    changed = {
        "forged": replace(first, public_key=two.public_key),
        "swapped": replace(two, aggregator=1),
        "unsigned": replace(first, signature=bytes(64)),
        "set-up": first.signed_by(second.world.aggregator_keys[1], second.id),
    }[damage]
    with pytest.raises(MalformedError, match="AggregatorKey does not verify"):
        require_one_setup(second.world.manifest, [changed, two, third])


# An aggregator binds itself


@pytest.mark.parametrize("epoch", [-1, MAX_EPOCH + 1])
def test_an_epoch_that_is_no_label_is_refused(world, epoch) -> None:
    with pytest.raises(RefusedError, match="outside 0"):
        AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], epoch, 1)
    for fits in (0, MAX_EPOCH):
        assert AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], fits, 1).key().epoch == fits


def test_an_offer_for_a_leader_that_is_not_pinned_is_not_made(world) -> None:
    with pytest.raises(RefusedError, match="not among the manifest's leaders"):
        AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 1, 3)
    assert AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 1, 2).key().leader == 2


def test_binding_makes_every_earlier_set_up_terminal_in_the_same_write(second) -> None:
    world = second.world
    world.run(to="commit")
    before = world.aggregator_memories[1]
    second.bind()
    after = world.aggregator_memories[1]
    assert (after.current.id, after.current.started) == (second.id, False)
    assert after.terminal == {before.current.id: False}
    assert (after.chains, after.sealed_hashes) == ({}, {})
    assert after.session == before.session
    assert before.chains


def test_a_set_up_is_bound_with_the_hubs_request_for_it_alone(second) -> None:
    world, own = second.world, second.aggregators[1]
    memory = world.aggregator_memories[1]
    cases = [
        (world.request(ANNOUNCE, 0, bytes(32), second.id), RefusedError),
        (world.request(BIND, 0, bytes(32), world.setup), RefusedError),
        (replace(second.request, signature=bytes(64)), MalformedError),
        (second.request.signed_by(world.client_keys[1], second.id), MalformedError),
        (second.request.signed_by(world.hub_key, world.setup), MalformedError),
    ]
    for request, error in cases:
        with pytest.raises(error):
            own.bind(memory, second.offered, request)
    assert own.bind(memory, second.offered, second.request).current.id == second.id


def test_an_aggregator_binds_no_key_in_its_name_but_the_one_it_offers(second) -> None:
    """Else whoever holds its pinned key makes a set-up with a key that the aggregator never drew."""
    world = second.world
    other = Second(world)
    mixed = [other.offered[0], *second.offered[1:]]
    setup, _ = require_one_setup(world.manifest, mixed)
    request = world.request(BIND, 0, bytes(32), setup)
    memory = world.aggregator_memories[1]
    with pytest.raises(RefusedError, match="is not the one that it offers"):
        second.aggregators[1].bind(memory, mixed, request)
    assert other.aggregators[1].bind(memory, mixed, request).current.id == setup


def test_a_key_is_bound_once(second) -> None:
    world, own = second.world, second.aggregators[1]
    bound = own.bind(world.aggregator_memories[1], second.offered, second.request)
    with pytest.raises(RefusedError, match="bound to a set-up already"):
        own.bind(bound, second.offered, second.request)


@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_set_up_is_bound_once_whatever_key_comes_back(second, later) -> None:
    """The rule behind claim 0: no id occurs twice. The private half is brought back here, which no code does."""
    world, own = second.world, second.aggregators[1]
    key = own._unsealing
    second.bind()
    for _ in range(later):
        Second(world).bind()
    again = AggregatorSetup(world.manifest, 1, world.aggregator_keys[1], 2, 1)
    again._unsealing = key
    with pytest.raises(RefusedError, match="was bound to that set-up before"):
        again.bind(world.aggregator_memories[1], second.offered, second.request)
    assert again.bind(None, second.offered, second.request).version == 1  # an empty store remembers nothing


def test_a_failed_binding_leaves_the_offer_as_it_was(second) -> None:
    world, own = second.world, second.aggregators[1]
    with pytest.raises(RefusedError):
        own.bind(world.aggregator_memories[1], second.offered[:2], second.request)
    assert own.bind(world.aggregator_memories[1], second.offered, second.request).current.id == second.id


# Stream keys


def test_the_first_stream_key_of_a_client_wins(second) -> None:
    own, memory = second.bind(1).aggregators[1], second.world.aggregator_memories[1]
    first = second.sealed(1)[0]
    own.receive(memory, first)
    again = ClientSetup(second.world.manifest, 1, second.world.client_keys[1], second.world.client_memories[1])
    again.bind(second.offered)
    for message in (first, again.seal_stream_keys([bytes(32)] * 3)[0]):
        with pytest.raises(RefusedError, match="has a stream key in this set-up"):
            own.receive(memory, message)
    started = own.start(memory)
    assert (started.chains[1].next_round, started.chains[1].key) == (0, second.secrets[0])
    assert started.sealed_hashes == {1: first.sealed_hash(second.id)}
    assert (started.current.id, started.current.started, started.version) == (second.id, True, memory.version + 1)


@pytest.mark.parametrize("changes", [{"aggregator": 2}, {"setup": bytes(32)}, {"client": 0}, {"client": 4}])
def test_a_stream_key_for_something_else_is_refused(second, changes) -> None:
    second.bind(1)
    message = replace(second.sealed(1)[0], **changes).signed_by(second.world.client_keys[1], second.id)
    with pytest.raises(RefusedError):
        second.aggregators[1].receive(second.world.aggregator_memories[1], message)


def test_a_stream_key_that_another_client_signed_or_sealed_is_refused(second) -> None:
    world, own = second.bind(1, 2).world, second.aggregators[1]
    memory, message = world.aggregator_memories[1], second.sealed(1)[0]
    with pytest.raises(MalformedError, match="does not verify"):
        own.receive(memory, replace(message, client=2))
    stolen = SealedStreamKey(second.id, 2, 1, message.sealed).signed_by(world.client_keys[2], second.id)
    with pytest.raises(MalformedError, match="does not open"):
        own.receive(memory, stolen)
    readdressed = replace(second.sealed(2)[1], aggregator=1).signed_by(world.client_keys[2], second.id)
    with pytest.raises(MalformedError, match="does not open"):
        own.receive(memory, readdressed)
    own.receive(memory, message)  # what came before spoiled nothing


def test_nothing_is_unsealed_before_the_binding_stands_in_the_memory_or_once_another_one_does(second) -> None:
    world, own = second.world, second.aggregators[1]
    before, sealed = world.aggregator_memories[1], second.bind(1).sealed(1)[0]
    bound = world.aggregator_memories[1]
    with pytest.raises(RefusedError, match="is not the current one"):
        own.receive(before, sealed)
    Second(world).bind()
    for step in (lambda memory: own.receive(memory, sealed), own.start):
        with pytest.raises(RefusedError, match="is not the current one"):
            step(world.aggregator_memories[1])
    with pytest.raises(
        RefusedError, match="private keys are gone"
    ):  # another set-up replaced it: nothing is kept of it
        own.receive(bound, sealed)


def test_an_offer_that_is_not_bound_receives_and_starts_nothing(second) -> None:
    own, memory = second.aggregators[1], second.world.aggregator_memories[1]
    second.clients[1].bind(second.offered)
    with pytest.raises(RefusedError, match="bind the set-up"):
        own.receive(memory, second.sealed(1)[0])
    with pytest.raises(RefusedError, match="bind the set-up"):
        own.start(memory)


@pytest.mark.parametrize("drawn", [[], [bytes(32)] * 2, [bytes(32)] * 4, [bytes(31)] * 3, [bytes(33)] * 3])
def test_stream_keys_need_one_secret_of_full_length_for_each_aggregator(second, drawn) -> None:
    second.clients[1].bind(second.offered)
    with pytest.raises(MalformedError, match="not 32 secret bytes for each aggregator"):
        second.clients[1].seal_stream_keys(drawn)
    assert len(second.sealed(1)) == 3
    with pytest.raises(RefusedError, match="sealed in this set-up already"):
        second.sealed(1)


# The group key


def test_only_the_set_ups_leader_leads_and_once(make_world) -> None:
    second = Second(make_world(n=2, m=3), leader=2)
    second.bind(1, 2, 3)
    keys = {i: own.key() for i, own in second.clients.items()}
    for client in (1, 3):
        with pytest.raises(RefusedError, match="only the set-up's leader"):
            second.clients[client].lead(keys, bytes(32))
    for length in (0, 31, 33):
        with pytest.raises(MalformedError, match="a group key has 32 bytes"):
            second.clients[2].lead(keys, bytes(length))
    assert {message.leader for message in second.clients[2].lead(keys, bytes(32))} == {2}
    with pytest.raises(RefusedError, match="and once"):
        second.clients[2].lead(keys, bytes(32))


def test_a_leader_that_started_its_set_up_gives_out_no_second_group_key(make_world) -> None:
    """It has forgotten the first one, so nothing else would stop it."""
    world = make_world()
    keys = {message.client: message for message in world.client_keys_said}
    with pytest.raises(RefusedError, match="the set-up has started"):
        world.client_setups[1].lead(keys, bytes(32))


@pytest.mark.parametrize("damage", ["misfiled", "set-up", "stranger", "nobody", "forged", "signed elsewhere"])
def test_the_leader_seals_only_to_signed_keys_of_the_manifests_clients(second, damage) -> None:
    second.bind(1, 2, 3)
    key, last = second.clients[3].key(), second.world.client_keys[3]
    keys = {
        "misfiled": {2: key},
        "set-up": {3: replace(key, setup=bytes(32)).signed_by(last, second.id)},
        "stranger": {4: replace(key, client=4).signed_by(last, second.id)},
        "nobody": {0: replace(key, client=0).signed_by(last, second.id)},
        "forged": {3: replace(key, public_key=second.clients[2].key().public_key)},
        "signed elsewhere": {3: key.signed_by(last, bytes(32))},
    }[damage]
    refused = RefusedError if damage in ("misfiled", "set-up", "stranger", "nobody") else MalformedError
    with pytest.raises(refused):
        second.clients[1].lead(keys, bytes(32))
    second.clients[1].lead({3: key}, bytes(32))


def test_a_group_key_is_of_this_set_ups_leader_for_this_client_and_once(second) -> None:
    second.bind(1, 2)
    own, leader = second.clients[2], second.world.client_keys[1]
    (message,) = second.clients[1].lead({2: own.key()}, bytes([7]) * 32)
    for changes in ({"setup": bytes(32)}, {"leader": 2}, {"recipient": 1}):
        with pytest.raises(RefusedError, match="another set-up, leader or recipient"):
            own.receive_group_key(replace(message, **changes).signed_by(leader, second.id))
    with pytest.raises(MalformedError, match="does not verify"):
        own.receive_group_key(message.signed_by(second.world.client_keys[2], second.id))
    altered = replace(message, sealed=message.sealed[:-1] + bytes([message.sealed[-1] ^ 1]))
    with pytest.raises(MalformedError, match="does not open"):
        own.receive_group_key(altered.signed_by(leader, second.id))
    own.receive_group_key(message)
    with pytest.raises(RefusedError, match="a second group key"):
        own.receive_group_key(message)


def test_the_leader_takes_back_only_the_key_that_it_made(second) -> None:
    second.bind(1)
    leader = second.clients[1]
    (message,) = leader.lead({1: leader.key()}, bytes([7]) * 32)
    twin = Second(second.world)
    twin.clients[1].bind(second.offered)
    (foreign,) = twin.clients[1].lead({1: leader.key()}, bytes([8]) * 32)
    with pytest.raises(RefusedError, match="not the one it made"):
        leader.receive_group_key(foreign)
    leader.receive_group_key(message)


def test_what_is_sealed_is_bound_to_its_purpose_set_up_sender_and_receiver() -> None:
    infos = [
        info(*arguments)
        for info in (_stream_key_info, _group_key_info, _state_info)
        for arguments in ((bytes(32), 1, 2), (bytes([1]) * 32, 1, 2), (bytes(32), 3, 2), (bytes(32), 1, 3))
    ]
    assert len(set(infos)) == 12


# The start


def test_a_client_starts_with_all_its_keys_or_not_at_all(second) -> None:
    world = second.bind(1, 2).world
    own, memory = second.clients[2], world.client_memories[2]
    with pytest.raises(RefusedError, match="no stream keys"):
        own.start(memory)
    sealed = second.sealed(2)
    with pytest.raises(RefusedError, match="keys are incomplete"):
        own.start(memory)
    (message,) = second.clients[1].lead({2: own.key()}, bytes([7]) * 32)
    own.receive_group_key(message)
    started = own.start(memory)
    assert (started.group.setup, started.group.key, started.last_round) == (second.id, bytes([7]) * 32, -1)
    assert [chain.key for chain in started.chains] == second.secrets
    assert started.sealed_hashes == tuple(message.sealed_hash(second.id) for message in sealed)
    assert started.started == memory.started | {second.id}
    assert started.state == memory.state


def _ready(second, client: int = 2) -> ClientSetup:
    """A client that has all keys of the set-up."""
    second.bind(*{1, client})
    own = second.clients[client]
    second.sealed(client)
    (message,) = second.clients[1].lead({client: own.key()}, bytes([7]) * 32)
    own.receive_group_key(message)
    return own


def test_a_client_starts_with_the_memory_of_its_task(second) -> None:
    own, memory = _ready(second), second.world.client_memories[2]
    with pytest.raises(RefusedError, match="is missing, or is new"):
        own.start(None)
    new = ClientSetup(second.world.manifest, 2, second.world.client_keys[2], None, INITIAL)
    new.bind(second.offered)
    new.seal_stream_keys(second.secrets)
    new._group_key = bytes(32)
    with pytest.raises(RefusedError, match="is missing, or is new"):
        new.start(memory)
    own.start(memory)


def test_no_set_up_is_started_twice_by_a_client(second) -> None:
    """Its chains would begin anew, and one stream would mask two updates."""
    own, memory = _ready(second), second.world.client_memories[2]
    started = own.start(memory)
    with pytest.raises(RefusedError, match="started that set-up before"):
        own.start(started)
    with pytest.raises(RefusedError, match="has started or was replaced"):
        own.start(memory)  # as it was before
    again = ClientSetup(second.world.manifest, 2, second.world.client_keys[2], started)
    with pytest.raises(RefusedError, match="started that set-up before"):
        again.bind(second.offered)
    # One that bound it before it was started is held back at the start.
    late = ClientSetup(second.world.manifest, 2, second.world.client_keys[2], memory)
    late.bind(second.offered)
    late.seal_stream_keys([bytes(32)] * 3)
    with pytest.raises(RefusedError, match="started that set-up before"):
        late.start(started)


def test_a_client_is_bound_once_and_does_nothing_before(second) -> None:
    own = second.clients[2]
    for call in (own.key, lambda: own.seal_stream_keys(second.secrets), lambda: own.lead({}, bytes(32)),
                 lambda: own.start(second.world.client_memories[2])):  # fmt: skip
        with pytest.raises(RefusedError, match="are not known yet"):
            call()
    assert own.bind(second.offered) == second.id
    with pytest.raises(RefusedError, match="bound to a set-up already"):
        own.bind(second.offered)


def test_the_private_halves_and_first_keys_are_gone_once_a_set_up_has_started(second) -> None:
    own = _ready(second)
    sealed, world = second.clients[1].seal_stream_keys(second.secrets), second.world
    aggregator = second.aggregators[1]
    aggregator.start(world.aggregator_memories[1])
    own.start(world.client_memories[2])
    assert aggregator._unsealing is own._unsealing is own._group_key is None
    assert (aggregator._received, own._chains) == ({}, ())
    for call in (
        aggregator.key,
        own.key,
        lambda: aggregator.receive(world.aggregator_memories[1], sealed[0]),
        lambda: aggregator.start(world.aggregator_memories[1]),
    ):
        with pytest.raises(RefusedError, match=r"private keys are gone"):
            call()
    stored = world.aggregator_memories[1].next(current=replace(world.aggregator_memories[1].current, started=True))
    with pytest.raises(RefusedError, match="or it has started"):
        aggregator.receive(stored, sealed[0])
    with pytest.raises(RefusedError, match="or it has started"):
        aggregator.start(stored)


def test_a_set_up_object_shows_no_key(second) -> None:
    for own in (*second.aggregators.values(), *second.clients.values()):
        assert "<secret>" in repr(own)
        assert own._unsealing.public_bytes.hex() not in repr(own)


# Training states


@pytest.mark.parametrize(
    "state",
    [
        TrainingState(bytes([9]) * 32, INITIAL.weights, 0),
        TrainingState(INITIAL.digest, INITIAL.weights, 1),
        TrainingState(INITIAL.digest, INITIAL.weights, -1),
    ],
)
def test_a_new_client_begins_with_the_pinned_state_alone(make_world, state) -> None:
    world = make_world(n=2, set_up=False)
    with pytest.raises(RefusedError, match="not the one that the manifest pins"):
        ClientSetup(world.manifest, 1, world.client_keys[1], None, state)
    ClientSetup(world.manifest, 1, world.client_keys[1], None, INITIAL)


def test_a_client_that_has_a_state_does_not_begin_again(second) -> None:
    with pytest.raises(RefusedError, match="has a training state already"):
        ClientSetup(second.world.manifest, 1, second.world.client_keys[1], second.world.client_memories[1], INITIAL)


MODEL = b"model, moments, round" * 1000
LATER = TrainingState(hashlib.sha256(MODEL).digest(), bytes([6]) * 32, 5)


def _read(data: bytes) -> TrainingState:
    return replace(LATER, digest=hashlib.sha256(data).digest())


class Joining:
    """Clients 1 to 4 are at round 5 of a task in which one may be corrupt; client 5 is given their state.

    Args:
        known: whether client 5 has been there before, and is still at round 2.
    """

    def __init__(self, make_world, known: bool = False) -> None:
        self.world = world = make_world(n=2, m=5, roster_min=3, corrupt_clients=1)
        for i in (1, 2, 3, 4):
            world.client_memories[i] = world.client_memories[i].next(state=LATER)
        self.memory = world.client_memories[5].next(state=replace(INITIAL, counter=2)) if known else None
        self.second = Second(world).bind(1, 2, 3, 4)
        self.newcomer = ClientSetup(world.manifest, 5, world.client_keys[5], self.memory)
        self.newcomer.bind(self.second.offered)
        self.newcomer.seal_stream_keys([bytes(32)] * 2)
        everyone = {**self.second.clients, 5: self.newcomer}
        keys = {i: own.key() for i, own in everyone.items()}
        for message in self.second.clients[1].lead(keys, bytes([9]) * 32):
            everyone[message.recipient].receive_group_key(message)
        for i in (1, 2, 3, 4):
            self.second.sealed(i)
            world.client_memories[i] = self.second.clients[i].start(world.client_memories[i])
        self.vouchers = [self.vouched(i) for i in (2, 3)]

    def vouched(self, client: int) -> Voucher:
        return self.world.clients[client].vouch(self.world.client_memories[client])

    def offer(self, sender: int = 2) -> SealedState:
        memory = self.world.client_memories[sender]
        return self.world.clients[sender].give_state(memory, self.newcomer.key(), MODEL, _read)

    def receive(self, message, vouchers) -> bytes:
        return self.newcomer.receive_state(message, vouchers, _read)

    def trap(self):
        """A state that corrupt client 4 made up, and its own voucher for it."""
        weights = b"weights that tell of images"
        identity, setup = self.world.client_keys[4], self.second.id
        message = seal_state(self.world.manifest, 4, identity, self.newcomer.key(), weights)
        made_up = self.world.client_memories[4].next(state=_read(weights))
        return weights, message, Voucher(setup, 4, made_up.state_id).signed_by(identity, setup)


@pytest.fixture
def joining(make_world) -> Joining:
    return Joining(make_world)


def test_a_newcomer_takes_over_the_state_that_other_clients_vouch_for(joining) -> None:
    message = joining.offer()
    assert MODEL not in message.to_bytes()
    received = SealedState.from_bytes(message.to_bytes(), joining.world.manifest)
    vouchers = [Voucher.from_bytes(voucher.to_bytes(), joining.world.manifest) for voucher in joining.vouchers]
    assert joining.receive(received, vouchers) == MODEL
    memory = joining.newcomer.start(None)
    assert (memory.state, memory.version) == (LATER, 1)
    assert memory.started == {joining.second.id}


def test_a_corrupt_client_alone_gives_a_newcomer_no_weights_of_its_own_choice(joining) -> None:
    weights, message, voucher = joining.trap()
    for vouchers in ([], [voucher], [voucher, voucher], [voucher, *joining.vouchers]):
        with pytest.raises(RefusedError, match=f"{len(vouchers[:1])} clients vouch for this training state, and 1 may"):
            joining.receive(message, vouchers)
    # With the manifest's assumption switched off, the newcomer would train from them and submit.
    joining.newcomer._manifest = replace(joining.newcomer._manifest, corrupt_clients=0)
    assert joining.receive(message, [voucher]) == weights


def test_vouchers_of_the_newcomer_itself_of_strangers_and_of_other_states_do_not_count(joining) -> None:
    message, (first, other) = joining.offer(), joining.vouchers
    keys, setup = joining.world.client_keys, joining.second.id

    def signed(key: int, **changes):
        return replace(first, **changes).signed_by(keys[key], setup)

    uncounted = [
        signed(5, client=5), signed(2, setup=joining.world.setup), signed(2, state_id=bytes(32)), signed(2, client=0),
        signed(2, client=6), joining.trap()[2], signed(3, client=3),
    ]  # fmt: skip
    for wrong in uncounted:
        with pytest.raises(RefusedError, match="1 clients vouch"):
            joining.receive(message, [wrong, other])
    with pytest.raises(MalformedError, match="type Voucher does not verify"):
        joining.receive(message, [replace(first, client=1), other])
    joining.receive(message, [*uncounted, first, other])


@pytest.mark.parametrize(("corrupt", "needed"), [(0, 1), (1, 2)])
def test_one_more_client_than_may_be_corrupt_must_vouch(joining, corrupt, needed) -> None:
    manifest, setup = replace(joining.world.manifest, corrupt_clients=corrupt), joining.second.id
    state_id = joining.vouchers[0].state_id
    vouchers = [joining.vouched(i) for i in (1, 2, 3)]
    require_vouchers(manifest, 5, vouchers[:needed], setup, state_id)
    with pytest.raises(RefusedError, match=f"show vouchers of {needed} clients"):
        require_vouchers(manifest, 5, vouchers[: needed - 1], setup, state_id)


def test_any_other_client_of_the_task_may_vouch_the_last_one_too(make_world) -> None:
    world = make_world(n=2, m=4)
    state_id = world.client_memories[4].state_id
    for client in (1, 4):
        voucher = world.clients[client].vouch(world.client_memories[client])
        require_vouchers(world.manifest, 2, [voucher], world.setup, state_id)


def test_a_client_that_was_away_jumps_to_a_later_state_in_the_write_that_starts_the_set_up(make_world) -> None:
    joining = Joining(make_world, known=True)
    joining.receive(joining.offer(), joining.vouchers)
    followed = joining.memory.next(followed=joining.world.client_memories[1].followed)
    memory = joining.newcomer.start(followed)
    assert (memory.state, memory.followed, memory.accepted) == (LATER, (), None)
    assert memory.version == followed.version + 1
    assert memory.started == followed.started | {joining.second.id}


@pytest.mark.parametrize("counter", [5, 6])
def test_a_client_jumps_to_no_state_that_is_not_later_than_its_own(make_world, counter) -> None:
    joining = Joining(make_world, known=True)
    message = joining.offer()
    joining.newcomer._memory = joining.memory.next(state=replace(INITIAL, counter=counter))
    with pytest.raises(RefusedError, match="only jumps to a later state"):
        joining.receive(message, joining.vouchers)
    # Nor if it moved on between the two.
    joining.newcomer._memory = joining.memory
    joining.receive(message, joining.vouchers)
    with pytest.raises(RefusedError, match="only jumps to a later state"):
        joining.newcomer.start(joining.memory.next(state=replace(INITIAL, counter=counter)))


def test_later_means_more_accepted_rounds() -> None:
    class Memory:
        state = replace(INITIAL, counter=4)

    require_later(Memory, replace(INITIAL, counter=5))
    for counter in (0, 3, 4):
        with pytest.raises(RefusedError, match=f"after round {counter}, and this client is at round 4"):
            require_later(Memory, replace(INITIAL, counter=counter))


def test_a_newcomer_needs_the_group_key_first_and_a_state_to_start(make_world) -> None:
    joining = Joining(make_world)
    message = joining.offer()
    with pytest.raises(RefusedError, match="has no training state"):
        joining.newcomer.start(None)
    joining.newcomer._group_key = None
    with pytest.raises(RefusedError, match="needs the group key before a state"):
        joining.receive(message, joining.vouchers)


@pytest.mark.parametrize("changes", [{"recipient": 2}, {"setup": bytes(32)}, {"sender": 0}, {"sender": 6}])
def test_a_state_for_something_else_is_refused(joining, changes) -> None:
    message = replace(joining.offer(), **changes).signed_by(joining.world.client_keys[2], joining.second.id)
    with pytest.raises(RefusedError, match="of another set-up, for another client"):
        joining.receive(message, joining.vouchers)


def test_a_state_that_was_altered_or_signed_by_another_client_is_refused(joining) -> None:
    message = joining.offer()
    flipped = bytes([message.sealed[0] ^ 1]) + message.sealed[1:]
    for altered in (replace(message, sealed=flipped), replace(message, sender=1)):
        with pytest.raises(MalformedError, match="does not verify"):
            joining.receive(altered, joining.vouchers)
    for sender in (1, 5):
        resigned = replace(message, sender=sender).signed_by(joining.world.client_keys[sender], joining.second.id)
        with pytest.raises(MalformedError, match="does not open"):
            joining.receive(resigned, joining.vouchers)


def test_a_state_is_sealed_to_signed_keys_of_the_current_set_up_alone(joining) -> None:
    world, key = joining.world, joining.newcomer.key()
    memory = world.client_memories[2]

    def give(newcomer: ClientKey, data: bytes = MODEL) -> None:
        world.clients[2].give_state(memory, newcomer, data, _read)

    with pytest.raises(RefusedError, match="of another set-up"):
        give(replace(key, setup=world.setup).signed_by(world.client_keys[5], world.setup))
    for client in (0, 6):
        with pytest.raises(RefusedError, match=f"client {client} is not in the manifest"):
            give(replace(key, client=client).signed_by(world.client_keys[5], joining.second.id))
    with pytest.raises(MalformedError, match="does not verify"):
        give(replace(key, client=1))
    with pytest.raises(RefusedError, match="not this client's current training state"):
        give(key, b"another")


def test_a_voucher_is_for_the_state_in_the_clients_memory_and_its_current_set_up(joining) -> None:
    memory = joining.world.client_memories[2]
    voucher = joining.vouchers[0]
    assert (voucher.setup, voucher.client, voucher.state_id) == (joining.second.id, 2, memory.state_id)
    voucher.require_signature_of(joining.world.client_keys[2].public_bytes, joining.second.id)


# Sessions across set-ups


def test_an_aggregator_whose_memory_was_lost_calls_no_session_of_an_earlier_set_up_void(make_world) -> None:
    """Version 1: open, lose the store, be set up under the same epoch's number, and sign VOID for what was opened."""
    world = make_world(n=2)
    world.run(to="open")
    asked = world.request(CLOSING, world.round)
    assert world.aggregators[1].closing(world.aggregator_memories[1], asked).outcome == OPENED
    offers = {s: AggregatorSetup(world.manifest, s, key, 1, 1) for s, key in world.aggregator_keys.items()}
    keys = [own.key() for own in offers.values()]
    setup, _ = require_one_setup(world.manifest, keys)
    request = HubRequest(BIND, setup, 0, bytes(32)).signed_by(world.hub_key, setup)
    lost = offers[1].start(offers[1].bind(None, keys, request))
    assert setup != world.setup
    lost = world.aggregators[1].announce(lost, world.request(ANNOUNCE, world.round + 1, bytes(32), setup)).memory
    with pytest.raises(RefusedError, match="does not remember that set-up"):
        world.aggregators[1].closing(lost, asked)
    # An id that could come back would make it lie.
    lying = replace(lost, terminal={world.setup: True})
    assert world.aggregators[1].closing(lying, asked).outcome == VOID


def test_what_may_still_be_opened_after_a_set_up_began_is_not_called_void(make_world) -> None:
    world = make_world(n=2)
    world.run(to="commit")
    asked = world.request(CLOSING, world.round)
    commitments, com_0 = world.commitments, world.hub_commitment
    world.set_up()
    for s, own in world.aggregators.items():
        with pytest.raises(RefusedError, match="is not closed"):
            own.closing(world.aggregator_memories[s], asked)
    agreed = [own.agree(world.aggregator_memories[s], commitments, com_0) for s, own in world.aggregators.items()]
    agreements = [step.message for step in agreed]
    opened = world.aggregators[1].open(agreed[0].memory, world.shares[1], agreements)
    assert world.aggregators[1].closing(opened.memory, asked).outcome == OPENED
    # Aggregator 2 never heard of T: once the new set-up announces, it opens the session no more, and calls it void.
    world.announce()
    with pytest.raises(RefusedError, match="not the last announced session"):
        world.aggregators[2].agree(world.aggregator_memories[2], commitments, com_0)
    assert world.aggregators[2].closing(world.aggregator_memories[2], asked).outcome == VOID


def test_a_submission_during_the_set_up_is_still_followed_after_it(make_world) -> None:
    world = make_world(n=2)
    world.announce()
    second = Second(world)
    own = _ready(second)
    world.submit(2)
    followed = world.client_memories[2].followed
    assert followed
    world.client_memories[2] = own.start(world.client_memories[2])
    assert world.client_memories[2].followed == followed
    assert world.client_memories[2].group.setup == second.id


def test_of_sessions_that_a_client_only_watched_the_last_one_is_followed_into_a_new_set_up(make_world) -> None:
    world = make_world(n=2, m=4)
    followed = []
    for client in (1, 2, 3):
        world.run(client, to="submit")
        followed.append(world.sid)
        world.set_up()
    assert [session.sid for session in world.client_memories[4].followed] == followed[-1:]
    # What it submitted to stays, and what it watched since; an older one that it only watched is gone.
    assert [session.sid for session in world.client_memories[1].followed] == [followed[0], followed[2]]
    assert [session.sid for session in world.client_memories[2].followed] == followed[1:]


def test_a_session_that_a_client_watched_is_followed_on_beside_a_later_one_that_it_submitted_to(make_world) -> None:
    world = make_world(n=2, m=4)
    followed = []
    for client in (1, 2):
        world.run(client, to="submit")
        followed.append(world.sid)
        world.set_up()
    assert [session.sid for session in world.client_memories[2].followed] == followed


def _delivered_late(make_world):
    """All but client 4 submit; the delivery is held back until the next set-up has started."""
    world = make_world(n=2, m=4)
    world.run(1, 2, 3)
    delivery, expected = world.delivery, world.mean_of(world.ideal())
    world.set_up(leader=2)
    return world, delivery, expected


def test_a_result_of_the_set_up_before_is_still_accepted_under_its_own_group_key(make_world) -> None:
    world, delivery, expected = _delivered_late(make_world)
    for client in world.clients:
        memory = ClientMemory.from_bytes(world.client_memories[client].to_bytes())
        verified = world.clients[client].check(memory, delivery)
        assert np.array_equal(verified.mean, expected)
        assert verified.counted == (client != 4)
        accepted = world.clients[client].accept(memory, world.ledgers[client], verified, state_after(memory.state, b""))
        assert accepted.memory.followed == ()


def test_without_that_key_the_clients_would_stand_still(make_world) -> None:
    world, delivery, _ = _delivered_late(make_world)
    memory = world.client_memories[1]
    forgetful = replace(memory, followed=tuple(replace(own, group=memory.group) for own in memory.followed))
    with pytest.raises(DeliveryError, match="another group key"):
        world.clients[1].check(forgetful, delivery)
    with pytest.raises(DeliveryError, match="does not follow"):
        world.clients[4].check(replace(world.client_memories[4], followed=()), delivery)


def test_a_client_that_only_followed_the_session_refuses_to_be_listed_in_it(make_world) -> None:
    world, delivery, _ = _delivered_late(make_world)
    listed = replace(delivery, roster=(*delivery.roster, (4, bytes(32))))
    with pytest.raises(DeliveryError, match="a submission that this client did not make"):
        world.clients[4].check(world.client_memories[4], listed)


def test_an_opened_session_of_the_set_up_before_still_forbids_a_submission_to_those_who_submitted(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    world.announce()
    for client in (1, 2, 3):
        with pytest.raises(RefusedError, match="a session from these weights was opened"):
            world.submit(client)
    world.submit(4)  # it only followed: whatever an aggregator says of that session, it has shown nothing


def test_the_group_keys_of_earlier_set_ups_show_in_no_repr(make_world) -> None:
    world, _, _ = _delivered_late(make_world)
    memory = world.client_memories[1]
    key = memory.followed[0].group.key
    assert key != memory.group.key
    assert key.hex() not in repr(memory)
    assert str(key) not in repr(memory) + repr(memory.followed[0])
