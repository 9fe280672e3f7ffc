"""9. A client is asked to submit twice from one training state after the first sum was opened: it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import OPENED, VOID, Closing
from privateyes.errors import MalformedError, RefusedError


def _open_and_withhold_the_result(world, *clients: int) -> None:
    world.run(*clients)
    world.first_sid, world.first_round, world.first_sum = world.sid, world.round, world.ideal()
    world.announce()


@pytest.mark.parametrize("cohort", [(1, 2), (1, 2, 3, 4)], ids=["smaller", "larger"])
def test_after_an_opening_the_client_submits_to_no_other_roster(world, cohort) -> None:
    _open_and_withhold_the_result(world, 1, 2, 3)
    with pytest.raises(RefusedError, match="its result was not accepted"):
        world.submit(cohort[0])


def test_the_true_closings_do_not_release_the_client(world) -> None:
    _open_and_withhold_the_result(world, 1, 2)
    closings = world.closings(world.first_round)
    assert {closing.outcome for closing in closings} == {OPENED}
    settled = world.clients[1].settle(world.client_memories[1], closings)
    assert settled.pending == world.client_memories[1].pending


def test_one_honest_aggregator_outweighs_every_false_claim_that_nothing_was_opened(world) -> None:
    _open_and_withhold_the_result(world, 1, 2)
    closings = world.closings(world.first_round)
    for s in range(2, world.n + 1):
        lie = Closing(world.first_sid, s, VOID)
        closings[s - 1] = lie.signed_by(world.aggregator_keys[s], world.first_sid)
    assert world.clients[1].settle(world.client_memories[1], closings).pending


def test_the_honest_word_can_be_neither_left_out_nor_forged_nor_taken_from_another_session(world) -> None:
    _open_and_withhold_the_result(world, 1, 2)
    memory, client = world.client_memories[1], world.clients[1]
    lies = [
        Closing(world.first_sid, s, VOID).signed_by(world.aggregator_keys[s], world.first_sid)
        for s in range(2, world.n + 1)
    ]
    with pytest.raises(RefusedError):
        client.settle(memory, lies)
    with pytest.raises(RefusedError):
        client.settle(memory, [lies[0], *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, [Closing(world.first_sid, 1, VOID), *lies])
    other = world.aggregators[1].closing(world.aggregator_memories[1], world.epoch, world.first_round, bytes(32))
    assert other.outcome == VOID
    with pytest.raises((RefusedError, MalformedError)):
        client.settle(memory, [other, *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, [replace(other, sid=world.first_sid), *lies])
    misnamed = Closing(bytes(32), 2, VOID).signed_by(world.aggregator_keys[2], world.first_sid)
    true = world.closings(world.first_round)
    with pytest.raises(RefusedError, match="close different sessions"):
        client.settle(memory, [true[0], misnamed, *true[2:]])
    unknown = Closing(world.first_sid, 2, 2).signed_by(world.aggregator_keys[2], world.first_sid)
    with pytest.raises(MalformedError, match="neither void nor opened"):
        client.settle(memory, [true[0], unknown, *true[2:]])
    with pytest.raises(RefusedError):
        client.settle(memory, [])


def test_a_void_session_releases_the_client(world) -> None:
    world.run(1, 2, to="agree")
    first_round = world.round
    world.announce()
    with pytest.raises(RefusedError):
        world.submit(1)
    for i in (1, 2):
        world.client_memories[i] = world.clients[i].settle(world.client_memories[i], world.closings(first_round))
    world.submit_all(1, 2)
    world.finish()
    assert world.check(3).total_weight == world.ideal().total_weight


def test_an_aggregator_that_said_void_never_opens(world) -> None:
    world.run(1, 2, to="agree")
    states, agreements = dict(world.states), list(world.agreements)
    first_round = world.round
    world.announce()
    assert {closing.outcome for closing in world.closings(first_round)} == {VOID}
    for s, own in world.aggregators.items():
        with pytest.raises(RefusedError, match="this session is closed"):
            own.open(world.aggregator_memories[s], states[s], agreements)


def test_an_aggregator_declares_no_session_void_that_it_may_still_open(world) -> None:
    world.run(1, 2, to="agree")
    for round_number in (world.round, world.round + 1):
        with pytest.raises(RefusedError, match="is not closed"):
            world.closings(round_number)


def test_without_the_guard_the_difference_of_two_sums_is_one_clients_update(world) -> None:
    _open_and_withhold_the_result(world, 1, 2, 3)
    for i in (2, 3):
        world.client_memories[i] = replace(world.client_memories[i], pending=())
        world.submit(i)
    world.finish()
    first, second = world.first_sum, world.ideal()
    stolen = [a - b for a, b in zip(first.values, second.values, strict=True)]
    assert stolen == world.encoded(world.delta(1), 2, bytes([1]) * 32)
