"""4. A rushing aggregator turns Z into -Z or 2Z: its commitment tells, and so would the tag's pads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import Check
from privateyes.errors import BlamedError, DeliveryError


def _scale_the_result(world, factor: int) -> None:
    """The last to open chooses its share so that the sum of all becomes ``factor`` times what it was."""
    result = world.total.share.astype(object) + sum(opening.share.astype(object) for opening in world.openings)
    last = world.openings[-1]
    share = ((last.share.astype(object) + (factor - 1) * result) % world.prime).astype(world.field.dtype)
    world.openings[-1] = world.signed_by_aggregator(replace(last, share=share), last.aggregator)


@pytest.mark.parametrize("factor", [-1, 2])
def test_a_scaled_result_does_not_fit_the_commitment(world, factor) -> None:
    world.run(to="open")
    _scale_the_result(world, factor)
    with pytest.raises(BlamedError):
        world.certify()


@pytest.mark.parametrize("factor", [-1, 2])
def test_even_without_the_commitment_the_pads_of_the_tags_refuse_it(world, factor, monkeypatch) -> None:
    world.run(to="open")
    _scale_the_result(world, factor)
    monkeypatch.setattr(aggregator, "equal_in_constant_time", lambda left, right: True)
    world.certify()
    world.deliver()
    with pytest.raises(DeliveryError) as refusal:
        world.check(1)
    assert refusal.value.check == Check.TAG


@pytest.mark.parametrize("factor", [-1, 2])
def test_without_commitment_and_pads_the_tags_of_a_scaled_result_fit(world, factor, monkeypatch) -> None:
    made = TensorChallenge.accumulator

    def without_pads(challenge):
        accumulator = made(challenge)
        accumulator._pads = np.zeros_like(accumulator._pads)
        return accumulator

    monkeypatch.setattr(TensorChallenge, "accumulator", without_pads)
    monkeypatch.setattr(aggregator, "equal_in_constant_time", lambda left, right: True)
    world.run(to="open")
    _scale_the_result(world, factor)
    world.certify()
    _, tags_fit = world.clients[1]._unmask(world.client_memories[1], world.deliver(), len(world.entries))
    assert tags_fit
