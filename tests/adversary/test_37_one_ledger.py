"""37. A second manifest, task or key, or an unchanged model asks for a second update from the same weights: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isolation import less, open_with, sum_of
from privateyes.aggregation.ledger import SessionEnd, at_weights
from privateyes.errors import RefusedError
from world import state_after


@pytest.fixture
def second_task(make_world, case):
    """Another manifest among the same parties, with the same keys and data sets, from the same weights."""
    return make_world(n=case["n"], field=case["field"], settings=bytes([9]) * 32)


def test_another_manifest_from_the_same_weights_is_refused_by_the_data_sets_ledger(world, second_task) -> None:
    assert second_task.manifest.digest() != world.manifest.digest()
    open_with(world, 1, 2, 3)
    second_task.ledgers = world.ledgers
    second_task.announce()
    for client in (1, 2, 3):
        with pytest.raises(RefusedError, match="was opened, or is not proven void"):
            second_task.submit(client)


def test_another_key_of_the_same_data_set_is_refused_too(world, make_world, case) -> None:
    open_with(world, 1, 2, 3)
    other = make_world(n=case["n"], field=case["field"], first_client=1)
    assert other.clients[1].identity.public_bytes != world.clients[1].identity.public_bytes
    other.ledgers = world.ledgers
    other.announce()
    with pytest.raises(RefusedError, match="was opened"):
        other.submit(1)
    entries = world.ledgers[1]
    own, weights = world.clients[1], world.client_memories[1].state.weights
    assert at_weights(entries, weights, bytes(32), own.data_set) == tuple(entries)
    assert at_weights(entries, weights, own.identity.public_bytes, bytes(32)) == tuple(entries)
    assert at_weights(entries, weights, bytes(32), bytes(32)) == ()
    assert at_weights(entries, bytes(32), own.identity.public_bytes, own.data_set) == ()


def test_void_in_its_own_manifest_frees_the_weights_and_void_in_another_does_not(world, second_task) -> None:
    world.run(1, 2, 3, to="submit")
    world.give_up()
    closings = world.closings(world.round)
    second_task.ledgers = world.ledgers
    second_task.settle(1, closings)  # the same keys sign in both tasks
    assert world.ledgers[1][0].end is SessionEnd.UNKNOWN
    world.settle(1, closings)
    assert world.ledgers[1][0].end is SessionEnd.VOID
    second_task.announce()
    second_task.submit(1)


def test_a_step_that_leaves_the_weights_as_they_were_gives_no_second_update(world) -> None:
    world.run(1, 2, 3)
    for client in (1, 2, 3):
        memory = world.client_memories[client]
        same = replace(state_after(memory.state, b""), weights=memory.state.weights)
        average = world.check(client)
        changed = world.clients[client].accept(memory, world.ledgers[client], average, same)
        world.take_change(client, changed)
    world.announce()
    with pytest.raises(RefusedError, match="was opened"):
        world.submit(1)


def test_with_a_ledger_for_each_task_the_difference_of_two_tasks_is_one_clients_update(world, second_task) -> None:
    first = open_with(world, 1, 2, 3)
    victim = sum_of(world, 3)
    second = open_with(second_task, 1, 2)
    assert less(first, second) == victim
