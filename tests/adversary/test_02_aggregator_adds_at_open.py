"""2. An aggregator adds a delta when it opens, tags and all, because it also holds a client: the commitment tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.errors import BlamedError


def _shift_the_second_opening(world) -> None:
    """The corrupt aggregator has seen the honest opening and knows the group key, so its tags fit any shift."""
    changes = world.with_matching_tags({0: 5, world.d: 1})
    opening = world.openings[1]
    altered = replace(opening, share=world.shifted(opening.share, changes))
    world.openings[1] = world.signed_by_aggregator(altered, 2)


def test_an_opening_that_differs_from_its_commitment_names_its_aggregator(world) -> None:
    world.run(to="open")
    _shift_the_second_opening(world)
    with pytest.raises(BlamedError, match="aggregator 2: opened something other"):
        world.certify()


def test_another_salt_is_no_way_out(world) -> None:
    world.run(to="open")
    world.openings[1] = world.signed_by_aggregator(replace(world.openings[1], salt=bytes(32)), 2)
    with pytest.raises(BlamedError):
        world.certify()


def test_without_the_commitment_any_aggregate_can_be_forced(world, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(to="open")
    _shift_the_second_opening(world)
    monkeypatch.setattr(aggregator, "equal_in_constant_time", lambda left, right: True)
    world.certify()
    world.deliver()
    assert world.check(1).total_weight == world.ideal().total_weight + 1
