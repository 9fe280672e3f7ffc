"""3. The hub alters the sum C, or one client's share: every client aborts at the tag."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import hub
from privateyes.aggregation.client import Check
from privateyes.errors import AbortError, DeliveryError, MalformedError


def _run_with_altered_share(world, position: int = 2) -> None:
    world.run(to="vote")
    honest = world.submissions[1]
    world.submissions[1] = replace(honest, share=world.shifted(honest.share, {position: world.prime - 4}))
    for step in (world.commit, world.agree, world.open, world.certify, world.deliver):
        step()


def test_every_client_refuses_a_sum_with_an_altered_share(world) -> None:
    _run_with_altered_share(world)
    for i in world.clients:
        with pytest.raises(DeliveryError) as refusal:
            world.check(i)
        assert refusal.value.check == Check.TAG


def test_without_the_tag_the_altered_sum_is_accepted(make_world, untagged_client, field) -> None:
    world = make_world(n=2, field=field, client_type=untagged_client)
    _run_with_altered_share(world)
    grid = world.ideal().total_weight * 2**world.encoding.scale_bits
    assert world.check(3).mean[2] == (world.ideal().values[2] - 4) / grid


def test_a_sum_that_was_altered_after_agreement_is_refused_by_the_aggregators(world) -> None:
    world.run(to="open")
    world.total = replace(world.total, share=world.shifted(world.total.share, world.with_matching_tags({0: 1})))
    with pytest.raises(AbortError, match="the hub is at fault"):
        world.certify()


def test_a_hub_that_is_honest_notices_a_damaged_share_before_the_round_is_spoilt(world) -> None:
    world.run(to="submit")
    honest = world.submissions[2]
    assert hub.require_intact(honest) == honest.header
    with pytest.raises(MalformedError, match="does not fit its header"):
        hub.require_intact(replace(honest, share=world.shifted(honest.share, {-1: 1})))
