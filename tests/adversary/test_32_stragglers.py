"""32. A straggler that was left out accepts and goes on; a client that is listed without having submitted aborts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.client import Check, Client
from privateyes.errors import DeliveryError


def _leave_out(world, client: int) -> None:
    world.run(to="submit")
    kept = [submission.header for i, submission in world.submissions.items() if i != client]
    world.vote(everywhere=kept)
    for step in (world.commit, world.agree, world.open, world.certify, world.deliver):
        step()


def test_a_straggler_accepts_the_sum_of_the_others_learns_of_it_and_goes_on(world) -> None:
    _leave_out(world, 4)
    got = world.check(4)
    assert got.counted is False
    assert got.roster == (1, 2, 3)
    assert np.array_equal(got.mean, world.mean_of(world.ideal(1, 2, 3)))
    world.accept(bytes([1]) * 32)
    world.run()
    assert world.check(4).counted is True


def test_a_client_that_did_not_take_part_accepts_too(world) -> None:
    world.run(1, 2)
    assert world.check(3).counted is False


def test_a_client_that_is_listed_without_having_submitted_aborts(world) -> None:
    world.run()
    unaware = replace(world.client_memories[4], pending=())
    with pytest.raises(DeliveryError) as refusal:
        world.clients[4].check(unaware, world.delivery)
    assert refusal.value.check == Check.ROSTER


def test_a_client_that_is_listed_with_another_submission_aborts(world) -> None:
    world.run()
    pending = replace(world.client_memories[4].pending[0], header_hash=bytes(32))
    fooled = replace(world.client_memories[4], pending=(pending,))
    with pytest.raises(DeliveryError) as refusal:
        world.clients[4].check(fooled, world.delivery)
    assert refusal.value.check == Check.ROSTER


def test_without_that_check_somebody_elses_submission_speaks_for_the_client(make_world) -> None:
    class Careless(Client):
        def _require_session_and_roster(self, memory, delivery) -> bool:
            return self.number in dict(delivery.roster)

    world = make_world(client_type=Careless)
    world.run()
    unaware = replace(world.client_memories[4], pending=())
    assert world.clients[4].check(unaware, world.delivery).counted is True
