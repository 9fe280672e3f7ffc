"""34. An aggregator lost its store after it opened a session; the hub leads it into a set-up with the same label and
asks how that session ended: it does not say void.
"""

from __future__ import annotations

import secrets

import pytest

from isolation import less, open_with, opened_sum, sum_of
from privateyes.aggregation import setup as set_up_code
from privateyes.aggregation.messages import ANNOUNCE, BIND, CLOSING, VOID, HubRequest
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from privateyes.errors import RefusedError
from world import INITIAL

HONEST, SPY = 1, 4


def _lead_back(world):
    """The honest aggregator, its store empty, goes through a set-up of the old label; the spy is the only client."""
    world.aggregator_memories.pop(HONEST)
    offers = {s: AggregatorSetup(world.manifest, s, key, world.epoch, 1) for s, key in world.aggregator_keys.items()}
    keys = [own.key() for own in offers.values()]
    setup, _ = require_one_setup(world.manifest, keys)
    own = offers[HONEST]
    memory = own.bind(None, keys, HubRequest(BIND, setup, 0, bytes(32)).signed_by(world.hub_key, setup))
    spy = ClientSetup(world.manifest, SPY, world.client_keys[SPY], None, INITIAL)
    spy.bind(keys)
    own.receive(memory, spy.seal_stream_keys([secrets.token_bytes(32) for _ in keys])[HONEST - 1])
    memory = own.start(memory)
    request = HubRequest(ANNOUNCE, setup, world.round + 1, bytes(32)).signed_by(world.hub_key, setup)
    world.aggregator_memories[HONEST] = world.aggregators[HONEST].announce(memory, request).memory
    return setup


def _asked(world, setup, round_number, state_id):
    request = HubRequest(CLOSING, setup, round_number, state_id).signed_by(world.hub_key, setup)
    return world.aggregators[HONEST].closing(world.aggregator_memories[HONEST], request)


def test_the_set_up_that_it_is_led_into_has_another_id_and_of_the_old_one_it_says_nothing(world) -> None:
    open_with(world, 1, 2, 3)
    setup, round_number, state_id = world.setup, world.round, world.state_id
    assert _lead_back(world) != setup
    with pytest.raises(RefusedError, match="does not remember that set-up"):
        _asked(world, setup, round_number, state_id)


def test_with_ids_that_hash_the_label_alone_the_hub_has_one_clients_exact_update(make_world, case, monkeypatch) -> None:
    """Version 1: set-up id = H(H(manifest), epoch)."""

    def of_the_label(manifest_digest, epoch, leader, public_keys):
        return digest(Label.SETUP_ID, Role.ALL, b"", manifest_digest, epoch)

    monkeypatch.setattr(set_up_code, "setup_id", of_the_label)
    world = make_world(n=case["n"], field=case["field"])
    first = open_with(world, 1, 2, 3)
    of_first = sum_of(world, 1, 2, 3)
    setup, round_number, state_id, sid = world.setup, world.round, world.state_id, world.sid
    victim = sum_of(world, 3)
    assert first == of_first
    corrupt_memories = {s: memory for s, memory in world.aggregator_memories.items() if s != HONEST}
    assert _lead_back(world) == setup
    honest_word = _asked(world, setup, round_number, state_id)
    assert (honest_word.outcome, honest_word.sid) == (VOID, sid)
    lies = [type(honest_word)(sid, s, VOID).signed_by(world.aggregator_keys[s], sid) for s in corrupt_memories]
    for client in (1, 2):
        world.settle(client, [honest_word, *lies])
    world.set_up()
    second = open_with(world, 1, 2)
    assert less(first, second) == victim
    assert opened_sum(world) == second
