"""22. A deviation in the last, the weight, or two cancelling coordinates: the tag covers each of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privateyes.aggregation import challenge
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.result import Check
from privateyes.crypto import kernels

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


LAST_TAG, WEIGHT = -1, 7


@pytest.mark.parametrize("changes", [{LAST_TAG: 1}, {6: 1}, {WEIGHT: 1}, {0: 1, 1: -1}, {0: 1, 3: -1}, {0: 5, 6: -5}])
def test_such_a_deviation_ends_in_a_tag_abort_at_every_client(operators, changes) -> None:
    operators.hub.shift = lambda share: operators.shifted(share, changes)
    operators.play()
    assert {operators.refusal_of(f"client {i}").check for i in operators.honest_clients} == {Check.TAG}
    assert operators.nobody_accepted()
    operators.require_sound()


def _modulo(prime_field, first, values, rows, columns, sums) -> None:
    """A test double of the challenge: b[t mod B] alone, whose period is the grid's width."""
    kernels.tensor_dot(prime_field, first, values, np.ones_like(rows), columns, sums)


def test_with_a_modulo_tiling_two_cancelling_coordinates_are_accepted(operators, monkeypatch) -> None:
    class Patched:
        tensor_dot = staticmethod(_modulo)

    monkeypatch.setattr(challenge, "kernels", Patched)
    width = math.isqrt(operators.d) + 1
    operators.hub.shift = lambda share: operators.shifted(share, {0: 5, width: -5})
    operators.play()
    shift = [5] + [0] * (width - 1) + [-5] + [0] * (operators.d - width)
    assert operators.every_honest_client_accepted(operators.ideal(shift=shift))


@pytest.mark.parametrize("tiling", ["floor of the root", "modulo"])
def test_other_tilings_leave_deviations_that_no_tag_sees(field, monkeypatch: pytest.MonkeyPatch, tiling) -> None:
    """floor(sqrt(d)) squared leaves the last coordinates out; b[t mod B] alone has pairs that cancel."""
    coordinates = 11
    side = math.isqrt(coordinates - 1)

    def uncovered(prime_field, first, values, rows, columns, sums) -> None:
        inside = values[: max(0, side * side - first)]
        kernels.tensor_dot(prime_field, first, inside, rows[:, :side], np.ascontiguousarray(columns[:, :side]), sums)

    class Patched:
        tensor_dot = staticmethod(uncovered if tiling == "floor of the root" else _modulo)

    monkeypatch.setattr(challenge, "kernels", Patched)
    unseen = {coordinates - 1: 1} if tiling == "floor of the root" else {0: 1, 4: -1}
    assert not _tags_change(field, coordinates, unseen)
    monkeypatch.undo()
    assert _tags_change(field, coordinates, unseen)
