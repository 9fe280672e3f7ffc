"""14. Another or an older model, or other optimiser moments, sent to one client: it has another session id."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.client import Client
from privateyes.aggregation.keys import session_id
from privateyes.errors import RefusedError
from privateyes.federation.rounds import ServerState


def _state(value: float = 0.0, moment: float = 0.0, rounds: int = 1, sid: bytes = b"s") -> ServerState:
    return ServerState(np.full(7, value, np.float32), (np.full(7, moment),), rounds, sid)


@pytest.mark.parametrize("other", [_state(0.5), _state(moment=1e-9), _state(rounds=0), _state(sid=b"t")])
def test_a_client_with_another_state_refuses_the_announcement(world, other) -> None:
    for i in world.clients:
        world.client_memories[i] = world.client_memories[i].with_state(_state().digest())
    world.client_memories[2] = world.client_memories[2].with_state(other.digest())
    world.announce()
    world.submit(1)
    with pytest.raises(RefusedError, match="state is not this client's"):
        world.submit(2)


def test_without_the_comparison_the_odd_client_lands_in_the_same_session(make_world) -> None:
    class Trusting(Client):
        def observe(self, memory, announcements):
            first = self._require_announcements(memory, announcements)
            sid = session_id(memory.group.setup, first.round, first.state_id)
            return replace(memory, last_round=first.round, current_sid=sid)

    world = make_world(client_type=Trusting)
    world.client_memories[2] = world.client_memories[2].with_state(_state(0.5).digest())
    world.run()
    assert world.check(1).roster == (1, 2, 3, 4)


def test_announcements_of_different_states_or_rounds_are_no_announcement(world) -> None:
    world.announce()
    lie = replace(world.announcements[1], state_id=bytes(32))
    lie = lie.signed_by(world.aggregator_keys[2], world.group.setup)
    world.announcements[1] = lie
    with pytest.raises(RefusedError, match="announce different rounds"):
        world.submit(1)


def test_a_new_epoch_takes_no_client_back_to_an_older_state(world) -> None:
    world.client_memories[3] = world.client_memories[3].with_state(bytes([9]) * 32)
    with pytest.raises(RefusedError, match="not this client's current one"):
        world.set_up(bytes(32))
