"""20. Zero, negative or huge weights, and sums out of range: refused at submission, and at decoding if forced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.client import Check, Client, SubmissionSecrets
from privateyes.errors import DeliveryError, TrainingError

FRESH = SubmissionSecrets(bytes(32), bytes(32))


@pytest.mark.parametrize("weight", [0, -1, 51, 2**31, 2**61 - 1, 1.0, 1.5, float("nan"), True, "3", None])
def test_a_weight_that_is_no_whole_number_in_the_bounds_is_refused_before_anything_is_sent(make_world, weight) -> None:
    world = make_world(n=2)
    world.announce()
    before = world.client_memories[1]
    with pytest.raises(TrainingError, match="is not a whole number in"):
        world.clients[1].submit(before, world.announcements, world.delta(1), weight, FRESH)
    world.submit(1)


@pytest.mark.parametrize("weight", [1, 50, np.int64(7), np.uint8(7)])
def test_every_whole_number_in_the_bounds_is_a_weight(make_world, weight, field) -> None:
    world = make_world(n=2, field=field)
    world.announce()
    world.submit(1, weight=weight)
    world.submit(2, weight=1)
    world.finish()
    assert world.check(1).total_weight == 1 + int(weight)


class Careless(Client):
    """A test double that believes every total."""

    def _require_possible(self, values, total_weight, roster_size) -> None:
        pass


def _force(world, changes: dict[int, int], weight: int = 1, delta=None) -> None:
    """A corrupt client knows the group key, so it can shift its own share, tags and all."""
    world.announce()
    for i in world.clients:
        world.submit(i, delta, weight)
    world.vote()
    corrupt = world.submissions[4]
    shifted = world.shifted(corrupt.share, world.with_matching_tags(changes))
    world.submissions[4] = replace(corrupt, share=shifted)
    for step in (world.commit, world.agree, world.open, world.certify, world.deliver):
        step()


@pytest.mark.parametrize(("weight", "shift"), [(1, -1), (1, -4), (1, -40), (50, 1), (1, 10**6), (50, -(10**6))])
def test_a_total_weight_that_the_roster_cannot_have_is_refused(make_world, field, weight, shift) -> None:
    world = make_world(n=2, field=field)
    _force(world, {world.d: shift}, weight)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1)
    assert refusal.value.check == Check.WEIGHT


@pytest.mark.parametrize("shift", [0, 1, 49 * 4])
def test_a_total_weight_that_the_roster_can_have_is_the_blind_shift_that_a_corrupt_client_may_add(
    make_world, shift
) -> None:
    world = make_world(n=2)
    _force(world, {world.d: shift}, delta=np.zeros(world.d, np.float32))
    assert world.check(1).total_weight == 4 + shift


def test_without_the_weight_check_the_average_is_turned_over(make_world) -> None:
    world = make_world(n=2, client_type=Careless)
    _force(world, {world.d: -8}, delta=np.full(world.d, 0.5, np.float32))
    assert np.all(world.check(1).mean == -0.5)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("excess", "accepted"), [(4, True), (5, False)])
def test_a_sum_is_accepted_up_to_what_clipped_and_rounded_updates_add_up_to(
    make_world, field, direction, excess, accepted
) -> None:
    world = make_world(n=2, field=field)
    honest = 8 * 2**world.encoding.scale_bits
    assert world.encoding.sum_bound(4, 8) == honest + 4
    _force(world, {0: direction * excess}, 2, np.full(world.d, direction, np.float32))
    if accepted:
        assert world.check(1).mean[0] == direction * (honest + excess) / honest
        return
    with pytest.raises(DeliveryError) as refusal:
        world.check(1)
    assert refusal.value.check == Check.RANGE


def test_without_the_range_check_one_client_moves_a_coordinate_anywhere(make_world) -> None:
    world = make_world(n=2, client_type=Careless)
    _force(world, {0: 1000 * 4 * 2**world.encoding.scale_bits}, delta=np.zeros(world.d, np.float32))
    assert world.check(1).mean[0] == 1000
