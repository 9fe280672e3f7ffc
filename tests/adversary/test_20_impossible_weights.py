"""20. Zero, negative or huge weights, and sums out of range: refused at submission, and at decoding if forced.

A corrupt client knows the group key, so the coalition can shift the sum before COMMIT, tags and all: point 3 of the
ideal functionality. These checks keep that shift within what clipped updates could add up to.
"""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation import result
from privateyes.aggregation.client import Client, SubmissionSecrets, Update, VerifiedAverage
from privateyes.aggregation.result import Check
from privateyes.encoding.clips import segments
from privateyes.errors import TrainingError

FRESH = SubmissionSecrets(bytes(32), bytes(32))


@pytest.mark.parametrize("weight", [0, -1, 51, 2**31, 2**61 - 1, 1.0, 1.5, float("nan"), True, "3", None])
def test_a_weight_that_is_no_whole_number_in_the_bounds_is_refused_before_anything_is_sent(make_world, weight) -> None:
    world = make_world(n=2)
    world.announce()
    before, update = world.client_memories[1], Update(world.delta(1), weight)
    with pytest.raises(TrainingError, match="is not a whole number in"):
        world.clients[1].submit(before, (), world.announcements, update, FRESH, lambda piece: None)
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
    """A test double that believes every total and every sum."""

    def check(self, memory, delivery, clips=None):
        session = self._require_own_session(memory, delivery)
        sums, tags_match = result._unmask(self.manifest, session.group.session_key(delivery.sid), delivery)
        assert tags_match
        total_weight = int(sums[-1])
        parts = segments(self.manifest.encoding, self.manifest.dimension, clips)
        mean = result._decode_in_place(parts, sums, total_weight)
        return VerifiedAverage(delivery.sid, mean, total_weight, tuple(i for i, _ in delivery.roster), True)


def _force(network, changes: dict[int, int], weight: int = 1, value: float = 0.0) -> None:
    """All clients hold one value and weight; the hub shifts C, tags and all, before it commits to it."""
    for actor in network.clients.values():
        actor.delta, actor.weight = np.full(network.d, value, np.float32), weight
    network.hub.shift = lambda share: network.shifted(share, network.matching(changes))
    network.play()


def _refusals(network) -> set[int]:
    return {network.refusal_of(f"client {i}").check for i in network.honest_clients}


@pytest.mark.parametrize(("weight", "shift"), [(1, -1), (1, -4), (1, -40), (50, 1), (1, 10**6), (50, -(10**6))])
def test_a_total_weight_that_the_roster_cannot_have_is_refused(coalition, weight, shift) -> None:
    _force(coalition, {coalition.d: shift}, weight)
    assert _refusals(coalition) == {Check.WEIGHT}
    assert coalition.nobody_accepted()
    coalition.require_sound()


@pytest.mark.parametrize("shift", [0, 1, 49 * 4])
def test_a_total_weight_that_the_roster_can_have_is_the_blind_shift_that_a_corrupt_client_may_add(
    coalition, shift
) -> None:
    _force(coalition, {coalition.d: shift})
    assert coalition.every_honest_client_accepted(coalition.ideal(shift=[0] * coalition.d + [shift]))
    coalition.require_sound()


def test_without_the_weight_check_the_average_is_turned_over(make_network, case) -> None:
    network = make_network(**case, client_type=Careless)
    _force(network, {network.d: -8}, value=0.5)
    assert all(np.all(network.clients[i].accepted[0].mean == -0.5) for i in network.honest_clients)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("excess", "accepted"), [(4, True), (5, False)])
def test_a_sum_is_accepted_up_to_what_clipped_and_rounded_updates_add_up_to(
    coalition, direction, excess, accepted
) -> None:
    honest = 8 * 2**coalition.world.encoding.scale_bits
    assert coalition.world.encoding.sum_bound(4, 8) == honest + 4
    _force(coalition, {0: direction * excess}, 2, direction)
    if accepted:
        assert coalition.clients[1].accepted[0].mean[0] == direction * (honest + excess) / honest
    else:
        assert _refusals(coalition) == {Check.RANGE}
        assert coalition.nobody_accepted()
    coalition.require_sound()


def test_without_the_range_check_the_coalition_moves_a_coordinate_anywhere(make_network, case) -> None:
    network = make_network(**case, client_type=Careless)
    _force(network, {0: 1000 * 4 * 2**network.world.encoding.scale_bits})
    assert all(network.clients[i].accepted[0].mean[0] == 1000 for i in network.honest_clients)
