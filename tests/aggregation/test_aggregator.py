"""An aggregator's states are used once, in order, for the session that its memory names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from privateyes.aggregation.snapshot import dump_committed, load_committed

from privateyes.aggregation.aggregator import Point
from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import OPENED, VOID, Header, HubCommitment, HubSum
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.errors import AbortError, MalformedError, RefusedError


@pytest.mark.parametrize("number", [-1, 0, 3, 4])
def test_rounds_strictly_increase(world, number) -> None:
    world.announce(4)
    with pytest.raises(RefusedError, match="does not follow round 4"):
        world.announce(number)


@pytest.mark.parametrize("epoch", [0, 2])
def test_only_the_current_epoch_is_announced(world, epoch) -> None:
    with pytest.raises(RefusedError):
        world.aggregators[1].announce(world.aggregator_memories[1], epoch, 1, bytes(32))


def test_one_round_is_announced_once_whatever_the_state(world) -> None:
    world.announce(3)
    with pytest.raises(RefusedError):
        world.aggregators[1].announce(world.aggregator_memories[1], 1, 3, bytes(32))


def test_announcing_erases_the_keys_of_every_earlier_round(world) -> None:
    world.announce(6)
    for memory in world.aggregator_memories.values():
        assert {chain.next_round for chain in memory.chains.values()} == {6}


def test_committing_erases_the_keys_of_its_round(world) -> None:
    world.run(to="commit")
    for memory in world.aggregator_memories.values():
        assert {chain.next_round for chain in memory.chains.values()} == {world.round + 1}


STEPS = ["vote", "commit", "agree", "open"]


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_taken_in_a_session_that_a_later_announcement_closed(world, step) -> None:
    before = {"vote": "submit", "commit": "vote", "agree": "commit", "open": "agree"}[step]
    world.run(1, 2, to=before)
    states, memories, submissions = dict(world.states), dict(world.aggregator_memories), world.submissions
    kept = deepcopy(states)
    world.announce()
    world.states, world.submissions = states, submissions
    later = dict(world.aggregator_memories)
    with pytest.raises(RefusedError, match="this session is closed"):
        getattr(world, step)()
    assert world.aggregator_memories == later
    # Without that comparison the old memory would have come back, and with it the right to announce again.
    world.aggregator_memories, world.states = memories, kept
    getattr(world, step)()


def test_a_transition_that_raises_erases_the_share_and_the_salt(world) -> None:
    world.run(to="commit")
    state = world.states[1]
    share, salt = state.share, state.salt
    assert share.any()
    assert any(salt)
    with pytest.raises(AbortError):
        world.aggregators[1].agree(world.aggregator_memories[1], state, world.commitments[1:], world.hub_commitment)
    assert not share.any()
    assert state.salt == b""


def test_an_opening_that_is_refused_erases_the_share_and_the_salt(world) -> None:
    world.run(to="agree")
    state = world.states[1]
    with pytest.raises(AbortError):
        world.aggregators[1].open(world.aggregator_memories[1], state, world.agreements[1:])
    assert not state.committed.share.any()
    assert state.committed.salt == b""


def test_a_state_of_another_step_is_refused_and_stays_usable(world) -> None:
    world.run(to="commit")
    with pytest.raises(RefusedError, match="follows Agreed, and the session is at Committed"):
        world.aggregators[1].open(world.aggregator_memories[1], world.states[1], [])
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    assert np.array_equal(world.check(1).mean, world.mean_of(world.ideal()))


def test_the_number_of_lanes_changes_nothing_that_is_said(make_world) -> None:
    world = make_world(d=300_000)
    world.run(to="vote")
    salts = {s: bytes([s]) * 32 for s in world.aggregators}
    with ThreadPoolExecutor(3) as threads:
        said = []
        for lanes in (ONE_LANE, Lanes(2, threads.map), Lanes(3, threads.map), Lanes(99, map)):
            step = replace(world.aggregators[1], lanes=lanes).commit(
                world.aggregator_memories[1], deepcopy(world.states[1]), world.votes, salts[1]
            )
            said.append((step.message.to_bytes(), step.state.share.tobytes()))
    assert len(set(said)) == 1


def test_an_aggregator_signs_where_it_stopped_and_nothing_else(world) -> None:
    world.run(to="vote")
    ended = world.aggregators[2].stop(world.aggregator_memories[2], Point.COMMIT)
    notice = ended.message
    notice.require_signature_of(world.manifest.aggregators[1].public_key, world.sid)
    assert (notice.sid, notice.aggregator, notice.step) == (world.sid, 2, 3)
    with pytest.raises(MalformedError):
        replace(notice, step=4).require_signature_of(world.manifest.aggregators[1].public_key, world.sid)


@pytest.mark.parametrize(("step", "messages"), [("commit", "votes"), ("agree", "commitments"), ("open", "agreements")])
@pytest.mark.parametrize("damage", ["missing", "twice", "stranger", "another session", "misnamed", "forged"])
def test_every_exchange_needs_exactly_one_signed_message_of_each_for_this_session(
    make_world, step, messages, damage
) -> None:
    world = make_world(n=3)
    world.run(to={"commit": "vote", "agree": "commit", "open": "agree"}[step])
    honest = list(getattr(world, messages))
    other = replace(honest[1], sid=bytes(32)).signed_by(world.aggregator_keys[2], bytes(32))
    changed = {
        "missing": honest[:2],
        "twice": [honest[0], honest[0], honest[2]],
        "stranger": [honest[0], honest[1], replace(honest[2], aggregator=4)],
        "another session": [honest[0], other, honest[2]],
        "misnamed": [honest[0], world.signed_by_aggregator(replace(honest[1], sid=bytes(32)), 2), honest[2]],
        "forged": [honest[0], replace(honest[1], signature=honest[0].signature), honest[2]],
    }[damage]
    with pytest.raises(AbortError):
        getattr(world, step)({1: changed})
    with pytest.raises(RefusedError, match="used already"):
        getattr(world, step)()


def test_certifying_needs_every_opening(make_world) -> None:
    world = make_world(n=3)
    world.run(to="open")
    with pytest.raises(AbortError):
        world.certify({1: world.openings[:2]})
    with pytest.raises(RefusedError, match="used already"):
        world.certify()


def test_the_hubs_messages_are_for_this_session_and_fit_each_other(world) -> None:
    world.run(to="commit")
    world.hub_commitment = HubCommitment(bytes(32), world.hub_commitment.commitment)
    with pytest.raises(AbortError, match="another session"):
        world.agree()


def test_a_hub_sum_of_another_session_is_refused(world) -> None:
    world.run(to="open")
    world.total = HubSum(bytes(32), world.total.share)
    with pytest.raises(AbortError, match="not the one that it committed to"):
        world.certify()


def test_sessions_are_closed_as_they_ended(world) -> None:
    world.run(1, 2)
    opened_round, opened_state = world.round, world.state_id
    world.accept(bytes([1]) * 32)
    world.run(1, 2, to="agree")
    agreed_round, agreed_state = world.round, world.state_id
    world.announce(agreed_round + 5)
    for s, own in world.aggregators.items():
        memory = world.aggregator_memories[s]
        assert own.closing(memory, 1, opened_round, opened_state).outcome == OPENED
        assert own.closing(memory, 1, agreed_round, agreed_state).outcome == VOID
        assert own.closing(memory, 1, agreed_round + 3, agreed_state).outcome == VOID
        for epoch, number in ((1, world.round), (1, world.round + 1), (2, 0)):
            with pytest.raises(RefusedError, match="is not closed"):
                own.closing(memory, epoch, number, world.state_id)


def test_how_sessions_ended_is_remembered_across_epochs(world) -> None:
    world.run(1, 2)
    opened_round, opened_state = world.round, world.state_id
    world.set_up(bytes(32))
    for s, own in world.aggregators.items():
        closing = own.closing(world.aggregator_memories[s], 1, opened_round, opened_state)
        assert closing.outcome == OPENED
        assert closing.sid in world.aggregator_memories[s].opened


def test_no_repr_of_a_state_shows_a_share_or_a_salt(world) -> None:
    world.run(to="agree")
    for state in world.states.values():
        for shown in (repr(state), repr(state.committed)):
            assert repr(state.committed.salt) not in shown
            assert "array" not in shown


def test_keys_of_this_round_are_needed_to_commit(world) -> None:
    world.run(to="vote")
    memory = world.aggregator_memories[1]
    world.aggregator_memories[1] = replace(
        memory, chains={i: KeyChain(world.round + 1, chain.key) for i, chain in memory.chains.items()}
    )
    with pytest.raises(RefusedError, match="keys are erased"):
        world.commit()


def _another_sum(world) -> HubCommitment:
    return HubCommitment(world.sid, bytes([7]) * 32)


def test_one_transcript_is_signed_for_a_session_whatever_is_reloaded(world) -> None:
    world.run(to="commit")
    own, committed = world.aggregators[1], dump_committed(world.states[1])
    world.agree()
    memory = AggregatorMemory.from_bytes(world.aggregator_memories[1].to_bytes())
    again = load_committed(committed, 1, world.manifest)
    with pytest.raises(RefusedError, match="another transcript was signed"):
        own.agree(memory, again, world.commitments, _another_sum(world))
    same = own.agree(memory, load_committed(committed, 1, world.manifest), world.commitments, world.hub_commitment)
    assert same.message.to_bytes() == world.agreements[0].to_bytes()
    # With that entry of its memory lost, the hub gets a second transcript after it has seen what the first one opened.
    world.open()
    forgetful = replace(world.aggregator_memories[1], transcript=b"")
    second = own.agree(forgetful, load_committed(committed, 1, world.manifest), world.commitments, _another_sum(world))
    assert second.message.transcript != world.agreements[0].transcript


def test_nothing_is_opened_under_a_transcript_that_is_not_in_the_memory(world) -> None:
    world.run(to="commit")
    before = dict(world.aggregator_memories)
    world.agree()
    with pytest.raises(RefusedError, match="another transcript was signed"):
        world.aggregators[1].open(before[1], world.states[1], world.agreements)


def test_a_session_that_was_given_up_is_over_for_every_state_of_it(world) -> None:
    world.run(to="commit")
    own, committed = world.aggregators[1], dump_committed(world.states[1])
    ended = own.stop(world.aggregator_memories[1], Point.COMMIT).memory
    memory = AggregatorMemory.from_bytes(ended.to_bytes())
    again = load_committed(committed, 1, world.manifest)
    with pytest.raises(RefusedError, match="gave the session up"):
        own.agree(memory, again, world.commitments, world.hub_commitment)
    later = own.announce(memory, world.epoch, world.round + 1, world.state_id)
    assert not later.memory.stopped
    assert own.closing(later.memory, world.epoch, world.round, world.state_id).outcome == VOID


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_of_another_length_is_refused_before_anything_is_said(world, salt) -> None:
    world.run(to="vote")
    with pytest.raises(MalformedError, match="a salt has 32 bytes"):
        world.aggregators[1].commit(world.aggregator_memories[1], world.states[1], world.votes, salt)


def test_a_client_that_floods_the_vote_with_headers_is_left_out_after_its_second(world, monkeypatch) -> None:
    world.run(to="submit")
    flood = [
        replace(world.submissions[2].header, nonce=bytes([k]) * 32).signed_by(world.client_keys[2], world.sid)
        for k in range(50)
    ]
    checked = []
    real = Header.require_signature_of
    monkeypatch.setattr(
        Header, "require_signature_of", lambda self, *rest: (checked.append(self), real(self, *rest))[1]
    )
    others = [world.submissions[i].header for i in (1, 3, 4)]
    state = world.aggregators[1].vote(world.aggregator_memories[1], world.states[1], [*flood, *others]).state
    assert sorted(state.headers) == [1, 3, 4]
    assert len(checked) == 2 + 3


def test_an_opening_that_has_not_left_yet_can_be_erased(world) -> None:
    world.run(to="agree")
    step = world.aggregators[1].open(world.aggregator_memories[1], world.states[1], world.agreements)
    assert step.message.share.any()
    step.state.erase()
    assert not step.message.share.any()
