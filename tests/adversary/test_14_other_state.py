"""14. Another or an older model, or other optimiser moments, sent to one client: it has another session id."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.client import Client
from privateyes.aggregation.keys import session_id
from privateyes.aggregation.messages import Submission
from privateyes.errors import RefusedError
from privateyes.federation.rounds import ServerState


def _state(value: float = 0.0, moment: float = 0.0, rounds: int = 1, sid: bytes = b"s") -> ServerState:
    return ServerState(np.full(7, value, np.float32), (np.full(7, moment),), rounds, sid)


OTHERS = [_state(0.5), _state(moment=1e-9), _state(rounds=0), _state(sid=b"t")]


def _bring_to(network, state: ServerState, *clients: int) -> None:
    for i in clients:
        actor = network.clients[i]
        actor.keep("observe", replace(actor.memory, state_digest=state.digest()))


@pytest.mark.parametrize("other", OTHERS, ids=["model", "moments", "older", "another history"])
def test_a_client_with_another_state_refuses_the_announcement_and_the_others_go_on(coalition, other) -> None:
    _bring_to(coalition, _state(), 1, 3, 4)
    _bring_to(coalition, other, 2)
    coalition.play()
    assert isinstance(coalition.errors_of("client 2")[0], RefusedError)
    assert not coalition.words_of("client 2", Submission)
    assert [coalition.clients[i].accepted[0].roster for i in (1, 3)] == [(1, 3, 4)] * 2
    coalition.require_sound()


def test_no_second_announcement_of_the_round_brings_the_odd_client_in(coalition) -> None:
    """The hub asks the honest aggregator for one announcement for each of the two states."""
    _bring_to(coalition, _state(), 1, 3, 4)
    _bring_to(coalition, _state(0.5), 2)
    coalition.play(until="vote")
    memory = coalition.clients[2].memory
    other = memory.group.state_id(memory.state_digest)
    name = f"aggregator {coalition.honest}"
    named = coalition.epoch.to_bytes(8, "big") + coalition.round.to_bytes(8, "big") + other
    assert not coalition.ask(name, "announce", named)
    assert isinstance(coalition.refusal_of(name), RefusedError)
    coalition.run()
    assert not coalition.words_of("client 2", Submission)
    coalition.require_sound()


def test_without_the_comparison_the_odd_client_lands_in_the_same_session(make_network, case) -> None:
    """Its update, made from another model, is averaged with the others'."""

    class Trusting(Client):
        def observe(self, memory, announcements):
            first = self._require_announcements(memory, announcements)
            sid = session_id(memory.group.setup, first.round, first.state_id)
            chains = tuple(chain.advance_to(first.round, memory.group.setup) for chain in memory.chains)
            return replace(memory, last_round=first.round, current_sid=sid, chains=chains)

    network = make_network(**case, client_type=Trusting)
    _bring_to(network, _state(0.5), 2)
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


def test_a_new_epoch_takes_no_client_back_to_an_older_state(world) -> None:
    world.client_memories[3] = replace(world.client_memories[3], state_digest=bytes([9]) * 32)
    with pytest.raises(RefusedError, match="not this client's current one"):
        world.set_up(bytes(32))
