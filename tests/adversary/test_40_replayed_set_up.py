"""40. A hub and a corrupt leader replay a whole old set-up: nobody starts it twice, and nothing is unsealed in it."""

from __future__ import annotations

import secrets

import pytest

from privateyes.aggregation.messages import BIND, HubRequest
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.errors import RefusedError
from world import INITIAL

HONEST = 1


@pytest.fixture
def replayed(world):
    """The old set-up's offers, and its objects, which an aggregator's program may have kept."""
    world.old_offers = [own.key() for own in _fresh(world).values()]
    world.old, world.old_setup = dict(world.offers), _bind_all(world)
    world.set_up()
    return world


def _fresh(world):
    world.offers = {s: AggregatorSetup(world.manifest, s, key, 9, 1) for s, key in world.aggregator_keys.items()}
    return world.offers


def _bind_all(world):
    setup, _ = require_one_setup(world.manifest, world.old_offers)
    request = HubRequest(BIND, setup, 0, bytes(32)).signed_by(world.hub_key, setup)
    for s, own in world.offers.items():
        world.aggregator_memories[s] = own.bind(world.aggregator_memories[s], world.old_offers, request)
    return setup


def test_an_aggregator_neither_binds_nor_unseals_nor_starts_an_old_set_up_again(replayed) -> None:
    world, own = replayed, replayed.old[HONEST]
    memory = world.aggregator_memories[HONEST]
    assert memory.terminal[world.old_setup] is False
    newcomer = ClientSetup(world.manifest, 3, world.client_keys[3], None, INITIAL)
    newcomer.bind(world.old_offers)
    sealed = newcomer.seal_stream_keys([secrets.token_bytes(32) for _ in world.old_offers])
    with pytest.raises(RefusedError, match="not the current one"):
        own.receive(memory, sealed[HONEST - 1])
    with pytest.raises(RefusedError, match="not the current one"):
        own.start(memory)
    request = HubRequest(BIND, world.old_setup, 0, bytes(32)).signed_by(world.hub_key, world.old_setup)
    with pytest.raises(RefusedError, match="bound to a set-up already"):
        own.bind(memory, world.old_offers, request)


def test_without_that_guard_it_would_come_back_to_life(replayed, monkeypatch) -> None:
    world, own = replayed, replayed.old[HONEST]
    monkeypatch.setattr(AggregatorSetup, "_require_current", lambda self, memory: self._setup)
    newcomer = ClientSetup(world.manifest, 3, world.client_keys[3], None, INITIAL)
    newcomer.bind(world.old_offers)
    sealed = newcomer.seal_stream_keys([secrets.token_bytes(32) for _ in world.old_offers])
    own.receive(world.aggregator_memories[HONEST], sealed[HONEST - 1])
    revived = own.start(world.aggregator_memories[HONEST])
    assert 3 in revived.chains


def test_a_client_starts_no_set_up_twice_whoever_leads_it(world) -> None:
    client = world.clients[2]
    memory = world.client_memories[2]
    fresh = {s: AggregatorSetup(world.manifest, s, key, 1, 2) for s, key in world.aggregator_keys.items()}
    keys = [own.key() for own in fresh.values()]

    def start(memory):
        setup = ClientSetup(world.manifest, 2, client.identity, memory)
        setup.bind(keys)
        setup.seal_stream_keys([secrets.token_bytes(32) for _ in keys])
        sealed = setup.lead({2: setup.key()}, secrets.token_bytes(32))
        setup.receive_group_key(sealed[0])
        return setup.start(memory)

    started = start(memory)
    with pytest.raises(RefusedError, match="started that set-up before"):
        start(started)
    later = ClientSetup(world.manifest, 2, client.identity, memory)  # begun before the set-up was started
    later.bind(keys)
    later.seal_stream_keys([secrets.token_bytes(32) for _ in keys])
    later.receive_group_key(later.lead({2: later.key()}, secrets.token_bytes(32))[0])
    with pytest.raises(RefusedError, match="started that set-up before"):
        later.start(started)
    assert memory.group.setup in started.started
