"""16. An old result delivered again: it is of another session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.client import Check
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import DeliveryError


def test_a_result_is_accepted_for_its_own_session_only(world) -> None:
    world.run()
    first = world.delivery
    world.accept(bytes([1]) * 32)
    with pytest.raises(DeliveryError) as after_acceptance:
        world.check(1, first)
    world.run()
    with pytest.raises(DeliveryError) as in_the_next_round:
        world.check(1, first)
    assert {after_acceptance.value.check, in_the_next_round.value.check} == {Check.SESSION}


def test_a_client_that_waits_for_no_session_takes_none_without_an_id(world) -> None:
    world.run()
    world.accept(bytes([1]) * 32)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, replace(world.delivery, sid=NO_SESSION))
    assert refusal.value.check == Check.SESSION


def test_without_the_session_the_old_result_would_be_applied_again(world) -> None:
    world.run(1, 2)
    first = world.delivery
    world.accept(bytes([1]) * 32)
    fooled = replace(world.client_memories[3], current_sid=first.sid)
    assert world.clients[3].check(fooled, first).roster == (1, 2)
