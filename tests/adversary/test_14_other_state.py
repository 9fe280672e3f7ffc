"""14. Another or an older model, or other optimiser moments, sent to one client: it has another session id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client_actor import Model
from privateyes.aggregation.client import Client
from privateyes.aggregation.memory import FollowedSession
from privateyes.aggregation.messages import ANNOUNCE, Submission
from privateyes.aggregation.setup import ClientSetup
from privateyes.errors import RefusedError
from world import INITIAL

WEIGHTS, MOMENTS = bytes([3]) * 32, bytes([4]) * 32
CURRENT = Model(WEIGHTS, 2, MOMENTS)
OTHERS = [Model(bytes(32), 2, MOMENTS), Model(WEIGHTS, 2, bytes(32)), Model(WEIGHTS, 1, MOMENTS)]


def _bring_to(network, model: Model, *clients: int) -> None:
    for i in clients:
        network.clients[i].hold(model)


@pytest.mark.parametrize("other", OTHERS, ids=["weights", "moments", "older"])
def test_a_client_with_another_state_refuses_the_announcement_and_the_others_go_on(coalition, other) -> None:
    _bring_to(coalition, CURRENT, 1, 3, 4)
    _bring_to(coalition, other, 2)
    coalition.play()
    assert isinstance(coalition.errors_of("client 2")[0], RefusedError)
    assert not coalition.words_of("client 2", Submission)
    assert [coalition.clients[i].accepted[0].roster for i in (1, 3)] == [(1, 3, 4)] * 2
    coalition.require_sound()


def test_no_second_announcement_of_the_round_brings_the_odd_client_in(coalition) -> None:
    """The hub asks the honest aggregator for one announcement for each of the two states."""
    _bring_to(coalition, CURRENT, 1, 3, 4)
    _bring_to(coalition, OTHERS[0], 2)
    coalition.play(until="vote")
    name, other = f"aggregator {coalition.honest}", coalition.clients[2].memory.state_id
    named = replace(coalition.announced[-1], state_id=other)
    assert not coalition.ask(name, "announce", coalition.request(ANNOUNCE, named))
    assert isinstance(coalition.refusal_of(name), RefusedError)
    coalition.run()
    assert not coalition.words_of("client 2", Submission)
    coalition.require_sound()


def test_without_the_comparison_the_odd_client_lands_in_the_same_session(make_network, case) -> None:
    """Its update, made from another model, is averaged with the others'."""

    class Trusting(Client):
        def observe(self, memory, announcements):
            first = self._require_announcements(memory, announcements)
            session = FollowedSession(memory.group.setup, first.round, first.state_id, memory.group)
            chains = tuple(chain.advance_to(first.round, memory.group.setup) for chain in memory.chains)
            return memory.next(last_round=first.round, followed=(session,), chains=chains)

    network = make_network(**case, client_type=Trusting)
    _bring_to(network, OTHERS[0], 2)
    network.play()
    assert network.clients[1].accepted[0].roster == (1, 2, 3, 4)
    assert network.every_honest_client_accepted(network.ideal())


def test_announcements_of_different_states_or_rounds_are_no_announcement(coalition) -> None:
    liar = coalition.liars[0]
    setup = coalition.clients[1].memory.group.setup

    def lie(announcement):
        return coalition.sign(replace(announcement, state_id=bytes(32)), setup)

    coalition.adversary.on(
        "submit", lambda packet: coalition.altered(packet, liar - 1, lie) if packet.sender == "hub" else packet
    )
    coalition.play()
    for i in coalition.honest_clients:
        assert "announce different rounds" in str(coalition.errors_of(f"client {i}")[0])
    assert coalition.nobody_accepted()
    coalition.require_sound()


def test_a_new_set_up_takes_no_client_back_to_the_initial_state(world) -> None:
    world.run()
    world.accept()
    with pytest.raises(RefusedError, match="has a training state already"):
        ClientSetup(world.manifest, 3, world.client_keys[3], world.client_memories[3], INITIAL)
