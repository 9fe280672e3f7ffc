"""22. A deviation in the last, the weight, or two cancelling coordinates: the tag covers each of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privateyes.aggregation import challenge
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import Check
from privateyes.aggregation.messages import HubCommitment, HubSum
from privateyes.crypto import kernels
from privateyes.crypto.commitment import commit_to_sum
from privateyes.errors import DeliveryError

SID, KEY = bytes(32), bytes([3]) * 32


def _tags_change(field, coordinates: int, changes: dict[int, int]) -> bool:
    shift = field.zeros(coordinates)
    for position, amount in changes.items():
        shift[position] = amount % field.prime
    accumulator = TensorChallenge(field, coordinates, KEY, SID).accumulator()
    accumulator.update(shift)
    return bool(np.any(accumulator.tags(pads=0)))


@pytest.mark.parametrize("coordinates", [2, 3, 8, 9, 10, 15, 16, 17, 24, 25, 26])
def test_every_single_coordinate_changes_every_tag(field, coordinates) -> None:
    for position in range(coordinates):
        assert _tags_change(field, coordinates, {position: 1})


@pytest.mark.parametrize("coordinates", [9, 16, 17])
def test_no_two_coordinates_cancel(field, coordinates) -> None:
    for first in range(coordinates):
        for second in range(first):
            assert _tags_change(field, coordinates, {first: 1, second: -1})
            assert _tags_change(field, coordinates, {first: 1, second: 1})


@pytest.mark.parametrize("changes", [{-1: 1}, {6: 1}, {7: 1}, {0: 1, 1: -1}, {0: 1, 3: -1}, {0: 5, 6: -5}])
def test_such_a_deviation_ends_in_a_tag_abort(world, changes) -> None:
    world.run(to="commit")
    world.total = HubSum(world.sid, world.shifted(world.total.share, changes))
    world.hub_commitment = HubCommitment(world.sid, commit_to_sum(world.sid, world.total.share))
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    with pytest.raises(DeliveryError) as refusal:
        world.check(1)
    assert refusal.value.check == Check.TAG


@pytest.mark.parametrize("tiling", ["floor of the root", "modulo"])
def test_other_tilings_leave_deviations_that_no_tag_sees(field, monkeypatch: pytest.MonkeyPatch, tiling) -> None:
    """floor(sqrt(d)) squared leaves the last coordinates out; b[t mod B] alone has pairs that cancel."""
    coordinates = 11
    side = math.isqrt(coordinates - 1)

    def uncovered(prime_field, first, values, rows, columns, sums) -> None:
        inside = values[: max(0, side * side - first)]
        kernels.tensor_dot(prime_field, first, inside, rows[:, :side], np.ascontiguousarray(columns[:, :side]), sums)

    def modulo(prime_field, first, values, rows, columns, sums) -> None:
        kernels.tensor_dot(prime_field, first, values, np.ones_like(rows), columns, sums)

    class Patched:
        tensor_dot = staticmethod(uncovered if tiling == "floor of the root" else modulo)

    monkeypatch.setattr(challenge, "kernels", Patched)
    unseen = {coordinates - 1: 1} if tiling == "floor of the root" else {0: 1, 4: -1}
    assert not _tags_change(field, coordinates, unseen)
    monkeypatch.undo()
    assert _tags_change(field, coordinates, unseen)
