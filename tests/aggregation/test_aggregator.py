"""An aggregator says one word of each kind in a session, whatever is asked for, how often and in what order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from privateyes.aggregation.keys import MAX_ROUND
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    OPENED,
    VOID,
)
from privateyes.errors import MalformedError, RefusedError
from sessions import bound_anew, one, passed
from world import World

SALT = bytes([6]) * 32
ZERO = bytes(32)


@pytest.fixture
def world() -> World:
    """Four clients and two aggregators."""
    return World(n=2)


# Step 0: announcements


def test_an_announcement_is_signed_for_its_set_up_and_stands_in_the_next_memory(world) -> None:
    own, before = one(world)
    step = own.announce(before, world.request(ANNOUNCE, 3, SALT))
    said, session = step.message, step.memory.session
    assert (said.setup, said.aggregator, said.round, said.state_id) == (world.setup, 1, 3, SALT)
    said.require_signature_of(world.aggregator_keys[1].public_bytes, world.setup)
    assert (session.setup, session.round, session.state_id) == (world.setup, 3, SALT)
    assert session == type(session)(world.setup, 3, SALT)
    assert step.memory.version == before.version + 1


@pytest.mark.parametrize("number", [0, 3, 4])
def test_rounds_strictly_increase(world, number) -> None:
    world.announce(4)
    own, memory = one(world)
    with pytest.raises(RefusedError, match=f"round {number} does not follow round 4"):
        own.announce(memory, world.request(ANNOUNCE, number, SALT))


def test_a_new_set_up_begins_with_any_round_again(world) -> None:
    world.announce(4)
    world.set_up()
    world.announce(0)
    assert world.aggregator_memories[1].session.round == 0
    own, memory = one(world)
    with pytest.raises(RefusedError, match="round 0 does not follow round 0"):
        own.announce(memory, world.request(ANNOUNCE, 0, SALT))


def test_the_last_round_of_all_is_announced_too(world) -> None:
    own, memory = one(world)
    last = own.announce(replace(memory, chains={}), world.request(ANNOUNCE, MAX_ROUND, ZERO))
    assert last.memory.session.round == MAX_ROUND


def test_a_jump_over_64_rounds_is_the_longest(world) -> None:
    own, memory = one(world)
    with pytest.raises(RefusedError, match="more than 64 rounds after 0"):
        own.announce(memory, world.request(ANNOUNCE, 65, ZERO))
    world.announce(64)
    own, memory = one(world)
    with pytest.raises(RefusedError, match="more than 64 rounds after 64"):
        own.announce(memory, world.request(ANNOUNCE, 129))
    world.announce(128)


@pytest.mark.parametrize("to", ["submit", "vote", "commit", "agree", "open", "certify"])
def test_the_last_announcement_is_repeated_to_the_byte_wherever_its_session_is(world, to) -> None:
    world.run(to=to)
    own, memory = one(world)
    again = own.announce(memory, world.request(ANNOUNCE, world.round))
    assert again.memory is None
    assert again.message.to_bytes() == world.announcements[0].to_bytes()


def test_an_announcement_is_not_repeated_after_its_session_was_given_up_nor_after_a_later_one(world) -> None:
    world.announce()
    world.give_up()
    own, memory = one(world)
    with pytest.raises(RefusedError, match="gave the session up"):
        own.announce(memory, world.request(ANNOUNCE, world.round))
    world.announce()
    own, memory = one(world)
    with pytest.raises(RefusedError, match="round 0 does not follow round 1"):
        own.announce(memory, world.request(ANNOUNCE, 0))


def test_only_the_started_current_set_up_is_announced_in(world) -> None:
    world.announce()
    old = world.request(ANNOUNCE, 5)
    bound = bound_anew(world)
    for request in (old, world.request(ANNOUNCE, 0, ZERO, bound.current.id), world.request(ANNOUNCE, 0, ZERO, SALT)):
        with pytest.raises(RefusedError, match="not this aggregator's current one, or not started"):
            world.aggregators[1].announce(bound, request)
    # Not even the announcement that it made last.
    with pytest.raises(RefusedError, match="not this aggregator's current one"):
        world.aggregators[1].announce(bound, world.request(ANNOUNCE, world.round))


def test_nothing_is_announced_in_the_set_up_before_the_started_one(world) -> None:
    old = world.request(ANNOUNCE, 0, ZERO)
    world.set_up()
    own, memory = one(world)
    with pytest.raises(RefusedError, match="not this aggregator's current one"):
        own.announce(memory, old)


def test_no_round_is_announced_while_a_transcript_is_outstanding(world) -> None:
    """Others may have opened that session: then its clients need this aggregator's opening too."""
    world.run(to="agree")
    own, memory = one(world)
    request = world.request(ANNOUNCE, world.round + 1)
    with pytest.raises(RefusedError, match="neither opened nor given up"):
        own.announce(memory, request)
    given_up = own.give_up(memory, world.request(GIVE_UP, world.round)).memory
    world.open()
    for settled in (given_up, world.aggregator_memories[1]):
        assert own.announce(settled, request).memory.session.round == world.round + 1


def test_what_a_set_up_that_was_bound_meanwhile_would_announce_is_no_repetition(world) -> None:
    """The same round and state under another set-up are another session."""
    world.announce(0)
    memory = world.aggregator_memories[1]
    other = replace(memory.session, setup=SALT)
    step = world.aggregators[1].announce(replace(memory, session=other), world.request(ANNOUNCE, 0))
    assert step.memory.session.setup == world.setup


def test_announcing_erases_the_keys_of_every_earlier_round(world) -> None:
    first = world.aggregator_memories[1].chains
    world.announce(6)
    assert set(first) == {1, 2, 3, 4}
    for client, chain in world.aggregator_memories[1].chains.items():
        assert chain == first[client].advance_to(6, world.setup)
        assert chain.next_round == 6


def test_announcing_closes_every_terminal_set_up_and_not_before(world) -> None:
    world.announce()
    world.set_up()
    world.set_up()
    memory = world.aggregator_memories[1]
    assert list(memory.terminal.values()) == [False, False]
    world.announce()
    assert world.aggregator_memories[1].terminal == dict.fromkeys(memory.terminal, True)


def test_a_session_that_was_opened_and_not_finished_is_kept_beside_the_next_one(world) -> None:
    world.run()
    record = world.aggregator_memories[1].session
    world.announce()
    memory = world.aggregator_memories[1]
    assert memory.unfinished == {record.sid: record}
    assert memory.opened == {record.sid: record.rho}


@pytest.mark.parametrize("end", ["finished", "given up", "announced"])
def test_any_other_session_is_gone_with_the_next_announcement(world, end) -> None:
    if end == "finished":
        world.run()
        world.finish_session()
    else:
        world.run(to="agree" if end == "given up" else "commit")
    if end == "given up":
        world.give_up()
    world.announce()
    assert world.aggregator_memories[1].unfinished == {}


def test_every_request_is_the_hubs_and_for_this_step(world) -> None:
    world.run()
    own, memory = one(world)
    asked = {ANNOUNCE: own.announce, CLOSING: own.closing, GIVE_UP: own.give_up}
    for action, ask in asked.items():
        for other in {*asked, BIND, 0, 5} - {action}:
            with pytest.raises(RefusedError, match="asked for something else"):
                ask(memory, world.request(other, 1))
        for wrong in (world.announcements[0], None, world.headers[0]):
            with pytest.raises(RefusedError, match="asked for something else"):
                ask(memory, wrong)
        request = world.request(action, 1)
        stranger = request.signed_by(world.aggregator_keys[2], world.setup)
        elsewhere = request.signed_by(world.hub_key, ZERO)
        for wrong in (stranger, elsewhere, replace(request, round=2), replace(request, state_id=ZERO)):
            with pytest.raises(MalformedError, match="HubRequest does not verify"):
                ask(memory, wrong)


# How sessions ended


def _outcome(world: World, memory: AggregatorMemory, *named: Any) -> int:
    closing = world.aggregators[1].closing(memory, world.request(CLOSING, *named))
    closing.require_signature_of(world.aggregator_keys[1].public_bytes, closing.sid)
    return int(closing.outcome)


def _not_closed(world: World, memory: AggregatorMemory, *named: Any) -> None:
    with pytest.raises(RefusedError, match="is not closed: it may still be opened"):
        _outcome(world, memory, *named)


def test_sessions_are_closed_as_they_ended(world) -> None:
    world.run(1, 2)
    opened = (world.round, world.state_id)
    world.accept()
    world.run(1, 2, to="commit")
    committed = (world.round, world.state_id)
    world.announce(committed[0] + 5)
    memory = world.aggregator_memories[1]
    assert _outcome(world, memory, *opened) == OPENED
    assert _outcome(world, memory, *committed) == VOID
    # Rounds that were never announced and never will be, and other states of earlier rounds.
    for named in ((committed[0] + 3, committed[1]), (opened[0], ZERO)):
        assert _outcome(world, memory, *named) == VOID
    for number in (world.round, world.round + 1, MAX_ROUND):
        _not_closed(world, memory, number)
    _not_closed(world, memory, world.round, ZERO)


def test_an_opened_session_is_opened_while_it_is_the_last_one_and_after_it_is_finished(world) -> None:
    world.run()
    named = (world.round, world.state_id)
    assert _outcome(world, world.aggregator_memories[1], *named) == OPENED
    world.finish_session()
    world.accept()
    world.announce()
    memory = world.aggregator_memories[1]
    assert memory.record_of(world.delivery.sid) is None
    assert _outcome(world, memory, *named) == OPENED


def test_a_session_that_was_given_up_is_void_at_once_and_no_other_of_its_round(world) -> None:
    world.run(to="agree")
    _not_closed(world, world.aggregator_memories[1], world.round)
    world.give_up()
    memory = world.aggregator_memories[1]
    assert _outcome(world, memory, world.round) == VOID
    _not_closed(world, memory, world.round, ZERO)
    _not_closed(world, memory, world.round + 1)


def test_a_set_up_that_ended_is_closed_once_another_has_announced(world) -> None:
    world.run(to="commit")
    first, named = world.setup, (world.round, world.state_id, world.setup)
    world.give_up()
    world.set_up()
    memory = world.aggregator_memories[1]
    # That it was given up is not forgotten; a later round there is neither this nor that yet.
    assert _outcome(world, memory, *named) == VOID
    _not_closed(world, memory, world.round + 1, *named[1:])
    world.announce()
    memory = world.aggregator_memories[1]
    for number in (0, 7, MAX_ROUND):
        assert _outcome(world, memory, number, ZERO, first) == VOID
    # Of two set-ups that ended, one may have announced and the other not.
    second = world.setup
    world.set_up()
    memory = world.aggregator_memories[1]
    assert _outcome(world, memory, *named) == VOID
    _not_closed(world, memory, 0, world.state_id, second)
    _not_closed(world, memory, 1, world.state_id, second)


def test_an_opened_session_of_a_set_up_that_ended_is_opened(world) -> None:
    world.run()
    named = (world.round, world.state_id, world.setup)
    for _ in range(2):
        world.set_up()
        assert _outcome(world, world.aggregator_memories[1], *named) == OPENED
        world.announce()
        assert _outcome(world, world.aggregator_memories[1], *named) == OPENED


def test_of_a_set_up_that_it_does_not_remember_an_aggregator_says_nothing(world) -> None:
    world.run()
    with pytest.raises(RefusedError, match="does not remember that set-up"):
        _outcome(world, world.aggregator_memories[1], world.round, world.state_id, SALT)


# Giving up


@pytest.mark.parametrize(("to", "point"), [("submit", 2), ("vote", 2), ("commit", 3), ("agree", 4)])
def test_a_session_is_given_up_wherever_it_is_before_it_is_opened(world, to, point) -> None:
    world.run(to=to)
    own, before = one(world)
    request = world.request(GIVE_UP, world.round)
    step = own.give_up(before, request)
    notice, memory = step.message, step.memory
    assert (notice.sid, notice.aggregator, notice.step) == (world.sid, 1, point)
    notice.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert memory.version == before.version + 1
    assert memory.session == replace(before.session, given_up=True, salt=b"", share_root=b"")
    again = own.give_up(AggregatorMemory.from_bytes(memory.to_bytes()), request)
    assert again.memory is None
    assert again.message.to_bytes() == notice.to_bytes()


@pytest.mark.parametrize("reached", ["announce", "vote", "commit", "agree"])
def test_nothing_is_said_any_more_in_a_session_that_was_given_up(world, reached) -> None:
    own, memory = world.aggregators[1], passed(world)[reached]
    memory = own.give_up(memory, world.request(GIVE_UP, world.round)).memory
    attempts = [
        lambda: own.vote(memory, world.sid, world.headers),
        lambda: own.commit(memory, world.headers, world.votes, SALT),
        lambda: own.agree(memory, world.commitments, world.hub_commitment),
        lambda: own.open(memory, world.shares[1], world.agreements),
        lambda: own.words(memory, world.sid),
        lambda: own.announce(memory, world.request(ANNOUNCE, world.round)),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedError, match="gave the session up"):
            attempt()
    with pytest.raises(RefusedError, match="did not open that session"):
        own.certify(memory, world.openings, world.total)
    with pytest.raises(RefusedError, match="signed no result"):
        own.finish(memory, world.results)


def test_what_was_opened_is_given_up_no_more(world) -> None:
    memories, request = passed(world), world.request(GIVE_UP, 0)
    finished = world.aggregators[1].finish(memories["certify"], world.results)
    world.announce()
    for memory in (memories["open"], memories["certify"], finished, world.aggregator_memories[1]):
        with pytest.raises(RefusedError, match="the session was opened here"):
            world.aggregators[1].give_up(memory, request)


def test_only_the_last_session_is_given_up(world) -> None:
    own, memory = one(world)
    with pytest.raises(RefusedError, match="only the last announced session"):
        own.give_up(memory, world.request(GIVE_UP, 0, ZERO))
    world.announce()
    world.announce()
    own, memory = one(world)
    for named in ((0,), (2,), (1, ZERO), (1, world.state_id, SALT)):
        with pytest.raises(RefusedError, match="only the last announced session"):
            own.give_up(memory, world.request(GIVE_UP, *named))
    world.give_up()


def test_the_last_session_is_given_up_after_its_set_up_ended_too(world) -> None:
    world.run(to="agree")
    request = world.request(GIVE_UP, world.round)
    bound = bound_anew(world)
    memory = world.aggregators[1].give_up(bound, request).memory
    assert memory.session.given_up
    assert _outcome(world, memory, world.round) == VOID
