"""43. A hub tries to revive a terminal set-up: nothing is announced, voted on or committed to there; what was committed
to before may still be finished, until the next announcement closes it.
"""

from __future__ import annotations

import secrets

import pytest

from isolation import opened_sum, sum_of
from privateyes.aggregation import aggregator as aggregator_code
from privateyes.aggregation.messages import ANNOUNCE, CLOSING, OPENED, VOID, RosterCommitment
from privateyes.errors import RefusedError

HONEST = 1


def _word(world, setup, round_number, state_id):
    request = world.request(CLOSING, round_number, state_id, setup)
    return world.aggregators[HONEST].closing(world.aggregator_memories[HONEST], request).outcome


@pytest.mark.parametrize("reached", ["submit", "vote"])
def test_nothing_new_is_said_in_a_terminal_set_up(world, reached) -> None:
    world.run(1, 2, 3, to=reached)
    sid, headers, old = world.sid, world.headers, world.setup
    votes = list(world.votes) if reached == "vote" else []
    world.set_up()
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    with pytest.raises(RefusedError, match="not this aggregator's current one"):
        own.announce(memory, world.request(ANNOUNCE, world.round + 1, world.state_id, old))

    def go_on() -> None:
        if reached == "submit":
            own.vote(memory, sid, headers)
        else:
            own.commit(memory, headers, votes, secrets.token_bytes(32))

    with pytest.raises(RefusedError, match="of an earlier set-up, whose keys are erased"):
        go_on()
    assert not set(memory.chains.values()) & set(world.old_chains.values())


def test_what_was_committed_to_is_finished_before_the_next_announcement_and_void_after_it(world) -> None:
    for finished in (True, False):
        world.run(1, 2, 3, to="commit")
        old, round_number, state_id = world.setup, world.round, world.state_id
        world.set_up()
        with pytest.raises(RefusedError, match="may still be opened"):
            _word(world, old, round_number, state_id)
        if finished:
            world.finish_from("agree", until="open")
            assert opened_sum(world) == sum_of(world, 1, 2, 3)
            assert _word(world, old, round_number, state_id) == OPENED
            assert all(world.client_memories[i].session(world.sid) for i in (1, 2, 3))
            world.certify()
            world.deliver()
            world.accept(b"next")
            continue
        own = world.aggregators[HONEST]
        commitments, hub_commitment = world.commitments, world.hub_commitment
        world.announce()
        assert _word(world, old, round_number, state_id) == VOID
        with pytest.raises(RefusedError, match="not the last announced session"):
            own.agree(world.aggregator_memories[HONEST], commitments, hub_commitment)


def test_without_that_check_streams_are_regenerated_from_keys_that_are_gone(world, monkeypatch) -> None:
    """Only the erased chains stand in the way then, and they do: two locks on one door."""
    world.run(1, 2, 3, to="vote")
    world.set_up()
    monkeypatch.setattr(aggregator_code, "current_session", lambda memory, sid: memory.session)
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    done = own.commit(memory, world.headers, world.votes, secrets.token_bytes(32))
    assert done.share is not None, "it commits, to streams of the new set-up: the session could never be opened rightly"


def _go_on_in_the_old_set_up(network):
    """All voted on a session; a set-up follows; only then the hub's requests to commit arrive."""
    network.play(1, 2, 3, until="commit")
    held, network.flight = list(network.flight), []
    sid = network.sid
    network.set_up()
    for packet in held:
        network.deliver(packet)
    network.run()
    return [message for message in network.honest_word(RosterCommitment) if message.sid == sid]


def test_over_the_network_the_honest_aggregator_commits_to_nothing_of_a_terminal_set_up(coalition) -> None:
    assert _go_on_in_the_old_set_up(coalition) == []
    name = f"aggregator {coalition.honest}"
    (problem,) = [str(one.error) for one in coalition.failures if (one.party, one.step) == (name, "commit")]
    assert "of an earlier set-up, whose keys are erased" in problem
    coalition.play_again()
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3, 4))
    coalition.require_sound()


def test_over_the_network_it_would_commit_without_that_check(coalition, monkeypatch) -> None:
    monkeypatch.setattr(aggregator_code, "current_session", lambda memory, sid: memory.session)
    assert len(_go_on_in_the_old_set_up(coalition)) == 1
