"""8. Two rosters under one session id, also after a restart: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.messages import Opening, RosterCommitment
from privateyes.errors import AbortError, RefusedError

SALT = bytes(32)


def test_a_second_roster_is_refused_at_every_point_after_the_first_vote(coalition) -> None:
    coalition.play(until="vote")
    solo, smaller = coalition.solo(1, 2, 3), coalition.solo(2, 3, 4)
    for step in ("vote", "commit", "agree", "open", "certify"):
        assert getattr(solo, step)() is not None
        assert smaller.vote().to_bytes() == solo.vote_word.to_bytes(), "the first vote again"
        if step != "vote":
            assert smaller.commit().to_bytes() == solo.commit_word.to_bytes(), "the first roster again"
    assert len({word.to_bytes() for word in coalition.honest_word(RosterCommitment)}) == 1
    coalition.require_sound()


@pytest.mark.parametrize("after", ["commit", "agree", "open", "certify"])
def test_after_a_restart_a_second_roster_is_refused_too(coalition, after) -> None:
    coalition.play(until="vote")
    solo, smaller = coalition.solo(1, 2, 3), coalition.solo(2, 3, 4)
    for step in ("vote", "commit", "agree", "open", "certify"):
        getattr(solo, step)()
        if step == after:
            break
    coalition.kill(solo.name)
    assert smaller.run() is None
    assert isinstance(coalition.refusal_of(solo.name), AbortError)
    assert len({word.to_bytes() for word in coalition.honest_word(RosterCommitment)}) == 1
    coalition.require_sound()


def test_a_store_that_forgets_gives_one_clients_update_away(make_network, case, forgetful) -> None:
    """Two rosters of one session, both opened: the sums differ by client 1's update less the corrupt client's."""

    class ForgetsRoster(forgetful):
        loses = ("session",)

    network = make_network(**case, actor_type=ForgetsRoster)
    network.play(until="vote")
    solo, smaller = network.solo(1, 2, 3), network.solo(2, 3, 4)
    solo.run(until="certify")
    network.kill(solo.name)
    smaller.run(until="certify")
    assert len(network.honest_word(Opening)) == 2
    known = network.input_of(4)
    difference = [a - b for a, b in zip(solo.read(), smaller.read(), strict=True)]
    stolen = [value + own for value, own in zip(difference, [*known.values, known.weight], strict=True)]
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
    with pytest.raises(AssertionError, match="two different RosterCommitment"):
        network.require_sound()


def _vote_for(world, *clients):
    """Every aggregator's memory and vote after it was shown these clients' headers alone, as if it had not voted."""
    headers, after, votes = [world.submissions[i].header for i in clients], {}, []
    for s, own in world.aggregators.items():
        memory = world.aggregator_memories[s]
        step = own.vote(memory.with_record(replace(memory.session, voted=None, rho=b"")), world.sid, headers)
        after[s], votes = step.memory, [*votes, step.message]
    return after, votes


def test_the_keys_for_a_second_roster_are_gone_even_for_a_record_that_was_made_anew(world) -> None:
    world.run(to="commit")
    memories, votes = _vote_for(world, 1, 2, 3)
    with pytest.raises(RefusedError, match="its keys are erased"):
        world.aggregators[1].commit(memories[1], world.headers, votes, SALT)


def test_honest_aggregators_that_were_shown_different_votes_do_not_agree(make_world, field) -> None:
    world = make_world(n=3, field=field)
    world.run(to="vote")
    _, fewer = _vote_for(world, 1, 2)
    world.commit({2: [*world.votes[:2], fewer[2]]})
    for s in (1, 2):
        with pytest.raises(AbortError, match="signed another roster"):
            world.aggregators[s].agree(world.aggregator_memories[s], world.commitments, world.hub_commitment)


def test_without_the_record_and_key_erasure_a_running_aggregator_commits_to_two_rosters(world, monkeypatch) -> None:
    """Each of the two guards is enough."""
    monkeypatch.setattr(KeyChain, "advance_to", lambda self, number, setup: self)
    world.run(to="vote")
    memories, fewer = _vote_for(world, 2, 3)
    world.commit()
    memory = world.aggregator_memories[1]
    again = world.aggregators[1].commit(memory, world.headers, fewer, SALT)
    assert again.message.to_bytes() == world.commitments[0].to_bytes()
    second = world.aggregators[1].commit(memories[1], world.headers, fewer, SALT).message
    assert second.rho != world.commitments[0].rho
