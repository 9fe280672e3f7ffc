"""17. A wrong |R| announced to the clients: signatures disagree, and the pads would not fit either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import client
from privateyes.aggregation.client import Check
from privateyes.errors import DeliveryError


def _without_one(world):
    world.run(1, 2, 3)
    return replace(world.delivery, roster=world.delivery.roster[:-1])


def test_a_shortened_roster_has_no_signatures(world) -> None:
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, _without_one(world))
    assert refusal.value.check == Check.SIGNATURES


def test_even_with_signatures_the_pads_do_not_fit_a_shortened_roster(world, monkeypatch: pytest.MonkeyPatch) -> None:
    altered = _without_one(world)
    monkeypatch.setattr(client, "require_signature", lambda *arguments: None)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, altered)
    assert refusal.value.check == Check.TAG


def test_without_signatures_and_tags_a_wrong_sum_comes_as_far_as_the_range_checks(
    make_world, untagged_client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(client_type=untagged_client)
    altered = _without_one(world)
    monkeypatch.setattr(client, "require_signature", lambda *arguments: None)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, altered)
    assert refusal.value.check in (Check.WEIGHT, Check.RANGE)
