"""1. An aggregator adds a delta to its share before it commits: every client aborts at the tag."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Check
from privateyes.aggregation.messages import HubCommitment, HubSum
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.errors import DeliveryError


class Adding(Aggregator):
    """Aggregator 2 adds one to the first coordinate, and commits to the result."""

    def _regenerate(self, memory, sid, headers):
        share, spent = super()._regenerate(memory, sid, headers)
        if self.number == 2:
            share[0] = (int(share[0]) + 1) % self.manifest.field.prime
        return share, spent


@pytest.mark.parametrize(("n", "field"), [(2, COMPACT), (3, COMPACT), (2, WIDE), (3, WIDE)])
def test_every_client_refuses_a_sum_that_an_aggregator_shifted_before_committing(make_world, n, field) -> None:
    world = make_world(n=n, field=field, aggregator_type=Adding)
    world.run()
    for i in world.clients:
        with pytest.raises(DeliveryError) as refusal:
            world.check(i)
        assert refusal.value.check == Check.TAG


def test_without_the_tag_the_shifted_sum_is_accepted(make_world, untagged_client) -> None:
    world = make_world(aggregator_type=Adding, client_type=untagged_client)
    world.run()
    got, honest = world.check(1), world.ideal()
    grid = honest.total_weight * 2**world.encoding.scale_bits
    assert got.mean[0] == (honest.values[0] + 1) / grid
    assert np.array_equal(got.mean[1:], world.mean_of(honest)[1:])


@pytest.mark.parametrize("position", [0, 3, -1])
def test_altering_a_tag_itself_is_refused_too(make_world, position, field) -> None:
    world = make_world(n=2, field=field)
    world.announce()
    world.submit_all()
    world.vote()
    world.commit()
    world.total = HubSum(world.sid, world.shifted(world.total.share, {position: 1}))
    world.hub_commitment = HubCommitment(world.sid, commit_to_sum(world.sid, world.total.share))
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    with pytest.raises(DeliveryError) as refusal:
        world.check(1)
    assert refusal.value.check == Check.TAG
