"""15. Different results for different clients: the signatures disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import client
from privateyes.aggregation.client import Check
from privateyes.errors import DeliveryError


def test_a_client_refuses_a_result_that_not_every_aggregator_signed(world) -> None:
    world.run()
    altered = replace(world.delivery, share=world.shifted(world.delivery.share, world.with_matching_tags({1: 3})))
    world.check(1)
    with pytest.raises(DeliveryError) as refusal:
        world.check(2, altered)
    assert refusal.value.check == Check.SIGNATURES


@pytest.mark.parametrize("damage", ["missing", "extra", "swapped", "empty", "commitment"])
def test_a_client_needs_exactly_every_aggregators_signature(world, damage) -> None:
    world.run()
    results, commitments = world.delivery.results, world.delivery.commitments
    altered = {
        "missing": replace(world.delivery, results=results[:-1]),
        "extra": replace(world.delivery, results=(*results, results[0])),
        "swapped": replace(world.delivery, results=(results[1], results[0], *results[2:])),
        "empty": replace(world.delivery, results=()),
        "commitment": replace(world.delivery, commitments=(bytes(32), *commitments[1:])),
    }[damage]
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, altered)
    assert refusal.value.check == Check.SIGNATURES


def test_without_the_signatures_two_clients_accept_two_results(world, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    altered = replace(world.delivery, share=world.shifted(world.delivery.share, world.with_matching_tags({1: 3})))
    monkeypatch.setattr(client, "require_signature", lambda *arguments: None)
    assert world.check(1).mean[1] != world.check(2, altered).mean[1]
