"""8. Two rosters under one session id, also after a restart: refused."""

from __future__ import annotations

import pytest

from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.states import Announced, Voted
from privateyes.errors import AbortError, RefusedError

SALT = bytes(32)


def _vote_for(world, *clients):
    """Every aggregator's vote for a roster, as if corrupt ones had also signed it."""
    headers = [world.submissions[i].header for i in clients]
    steps = {
        s: own.vote(world.aggregator_memories[s], Announced(world.sid), headers) for s, own in world.aggregators.items()
    }
    return {s: step.state for s, step in steps.items()}, [step.message for step in steps.values()]


def test_a_state_votes_once_and_commits_once(world) -> None:
    world.run(to="submit")
    first, memory = world.aggregators[1], world.aggregator_memories[1]
    announced = world.states[1]
    world.vote()
    with pytest.raises(RefusedError, match="used already"):
        first.vote(memory, announced, [])
    voted = world.states[1]
    world.commit()
    with pytest.raises(RefusedError, match="used already"):
        first.commit(memory, voted, world.votes, SALT)


def test_after_a_restart_the_keys_for_a_second_roster_are_gone(world) -> None:
    world.run(to="commit")
    states, votes = _vote_for(world, 1, 2, 3)
    with pytest.raises(RefusedError, match="its keys are erased"):
        world.aggregators[1].commit(world.aggregator_memories[1], states[1], votes, SALT)


def test_honest_aggregators_that_were_shown_different_votes_do_not_agree(make_world, field) -> None:
    world = make_world(n=3, field=field)
    world.run(to="vote")
    everyone = list(world.votes)
    third = world.aggregators[3]
    headers = [world.submissions[i].header for i in (1, 2)]
    fewer = third.vote(world.aggregator_memories[3], Announced(world.sid), headers)
    world.commit({2: [*everyone[:2], fewer.message]})
    for s in (1, 2):
        with pytest.raises(AbortError, match="signed another roster"):
            world.aggregators[s].agree(
                world.aggregator_memories[s], world.states[s], world.commitments, world.hub_commitment
            )


def test_without_single_use_and_key_erasure_two_rosters_reveal_one_input(make_world, monkeypatch) -> None:
    """The aggregator regenerates a share for each roster; the difference of the two is one client's stream."""
    monkeypatch.setattr(Voted, "use", lambda self: None)
    monkeypatch.setattr(KeyChain, "advance_to", lambda self, number, setup: self)
    world = make_world()
    world.run(to="vote")
    memory = dict(world.aggregator_memories)
    larger, votes = _vote_for(world, 1, 2, 3)
    smaller, fewer_votes = _vote_for(world, 2, 3)
    shares = []
    for states, signed in ((larger, votes), (smaller, fewer_votes)):
        shares.append(
            sum(
                own.commit(memory[s], states[s], signed, SALT).state.share.astype(object)
                for s, own in world.aggregators.items()
            )
        )
    masked = (world.submissions[1].share.astype(object) + shares[0] - shares[1]) % world.prime
    session_key = world.group.session_key(world.sid)
    assert session_key
    sums, _ = world.clients[1]._unmask(
        world.client_memories[1],
        type("D", (), {"sid": world.sid, "share": masked.astype(world.field.dtype)})(),
        1,
    )
    assert sums[:-1].tolist() == world.inputs[1].values
