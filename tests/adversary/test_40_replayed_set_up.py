"""40. A hub and a corrupt leader replay a whole old set-up: nobody starts it twice, and nothing is unsealed in it."""

from __future__ import annotations

import secrets

import pytest

from privateyes.aggregation import setup as set_up_code
from privateyes.aggregation.messages import ANNOUNCE, BIND, HubRequest, Opening
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.crypto.sealing import UnsealingKey
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


def _replay(network, packets) -> None:
    """Everything that the honest aggregator was sent in an old set-up, once more and in order."""
    for packet in packets:
        if packet.receiver == f"aggregator {network.honest}":
            network.deliver(packet)
    network.flight.clear()


def _replay_after_an_opening(network, loses: bool):
    """A session of a recorded set-up is opened to one roster; then the set-up is replayed, and another is asked for."""
    network.set_up()
    packets = list(network.adversary.seen)
    network.play(until="vote")
    other, first = network.solo(2, 3, 4), network.solo(1, 2, 3)
    first.run(until="certify")
    if loses:
        network.lose(first.name)
    _replay(network, packets)
    network.ask(first.name, "announce", network.request(ANNOUNCE, network.announced[-1]))
    for step in ("vote", "commit", "agree", "open"):
        if getattr(other, step)() is None:
            break
    return first, other


@pytest.mark.parametrize("loses", [False, True])
def test_the_packets_of_a_whole_old_set_up_lead_nowhere(coalition, loses) -> None:
    _replay_after_an_opening(coalition, loses)
    assert len({opening.to_bytes() for opening in coalition.honest_word(Opening)}) == 1
    coalition.require_sound()


def test_with_a_sealing_key_that_serves_twice_a_lost_store_opens_the_old_session_to_another_roster(
    coalition, monkeypatch
) -> None:
    """The old packets lead the double back to the old set-up, its keys and its first round."""
    key = UnsealingKey()
    monkeypatch.setattr(set_up_code, "UnsealingKey", lambda: key)
    first, other = _replay_after_an_opening(coalition, loses=True)
    known, victim = coalition.input_of(4), coalition.input_of(1)
    own = [*known.values, known.weight]
    stolen = [a - b + c for a, b, c in zip(first.read(), other.read(), own, strict=True)]
    assert stolen == [*victim.values, victim.weight]
    with pytest.raises(AssertionError, match="two different RosterCommitment"):
        coalition.require_sound()
