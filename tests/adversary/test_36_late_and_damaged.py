"""36. After T was signed, messages come late or damaged: nothing is lost, and nobody opens what was given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isolation import less, open_with, opened_sum, sum_of
from privateyes.aggregation import aggregator as aggregator_code
from privateyes.aggregation.messages import ANNOUNCE, GIVE_UP, VOID
from privateyes.errors import AbortError, RefusedError

HONEST = 1


def test_a_damaged_agreement_costs_nothing_and_the_right_one_still_opens(world) -> None:
    world.run(1, 2, 3, to="agree")
    before = dict(world.aggregator_memories)
    damaged = [replace(message, transcript=bytes(32)) for message in world.agreements]
    for s, own in world.aggregators.items():
        for seen in (damaged, world.agreements[:-1], []):
            with pytest.raises((AbortError, RefusedError)):
                own.open(world.aggregator_memories[s], world.shares[s], seen)
    assert world.aggregator_memories == before
    world.finish_from("open")
    assert world.check(1).total_weight == world.ideal(1, 2, 3).total_weight


def test_after_t_the_next_round_waits_until_the_session_is_opened_or_given_up_by_all(world) -> None:
    world.run(1, 2, 3, to="agree")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    following = world.request(ANNOUNCE, world.round + 1)
    with pytest.raises(RefusedError, match="neither opened nor given up"):
        own.announce(memory, following)
    round_number = world.round
    notices = world.give_up()
    assert {notice.step for notice in notices} == {4}
    assert {closing.outcome for closing in world.closings(round_number)} == {VOID}
    with pytest.raises(RefusedError, match="gave the session up"):
        own.open(world.aggregator_memories[HONEST], world.shares[HONEST], world.agreements)
    for client in (1, 2, 3):
        world.settle(client, world.closings(round_number))
    open_with(world, 1, 2)
    assert opened_sum(world) == sum_of(world, 1, 2)


def test_what_was_opened_is_not_given_up_and_a_stale_memory_stores_neither(world) -> None:
    """Giving up races opening: both begin from one memory, and the store takes one of the two."""
    world.run(1, 2, 3, to="agree")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    opened = own.open(memory, world.shares[HONEST], world.agreements)
    given_up = own.give_up(memory, world.request(GIVE_UP, world.round))
    assert opened.memory.version == given_up.memory.version == memory.version + 1
    with pytest.raises(RefusedError, match="was opened here"):
        own.give_up(opened.memory, world.request(GIVE_UP, world.round))
    with pytest.raises(RefusedError, match="gave the session up"):
        own.open(given_up.memory, world.shares[HONEST], world.agreements)


def test_without_that_check_a_session_is_void_and_opened(make_world, case, monkeypatch) -> None:
    monkeypatch.setattr(aggregator_code, "last_session", lambda memory, sid: memory.session)
    world = make_world(n=case["n"], field=case["field"])
    world.run(1, 2, 3, to="agree")
    roots = {s: memory.session.share_root for s, memory in world.aggregator_memories.items()}
    world.give_up()
    closings = world.closings(world.round)
    assert {closing.outcome for closing in closings} == {VOID}
    for s, memory in world.aggregator_memories.items():  # salt and root, which giving up erased, are the adversary's
        session = replace(memory.session, salt=bytes(32), share_root=roots[s])
        world.aggregator_memories[s] = replace(memory, session=session)
    world.finish_from("open", until="open")
    first, victim = opened_sum(world), sum_of(world, 3)
    for client in (1, 2):
        world.settle(client, closings)
    second = open_with(world, 1, 2)
    assert less(first, second) == victim
