"""17. A wrong |R| announced to the clients: signatures disagree. The tags alone would not tell: they scale with Z."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.result import Check
from privateyes.errors import DeliveryError


def _announce_fewer(network) -> None:
    """Every client is told a roster without its last member."""

    def shorter(delivery):
        return replace(delivery, roster=delivery.roster[:-1])

    network.adversary.on("check", lambda packet: network.altered(packet, 0, shorter), sender="hub")
    network.play()


def _checks(network) -> set[int]:
    return {network.refusal_of(f"client {i}").check for i in network.honest_clients}


def test_a_shortened_roster_has_no_signatures(coalition) -> None:
    _announce_fewer(coalition)
    assert _checks(coalition) == {Check.SIGNATURES}
    coalition.require_sound()


@pytest.mark.usefixtures("without_result_signatures")
@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_even_with_signatures_the_pads_do_not_fit_a_shortened_roster(make_network, case, mode) -> None:
    network = make_network(**case, mode=mode)
    _announce_fewer(network)
    assert _checks(network) == {Check.TAG}


@pytest.mark.usefixtures("without_result_signatures", "without_pads")
def test_without_signatures_and_pads_a_public_task_accepts_a_lie_about_who_is_counted(make_network, case) -> None:
    network = make_network(**case, mode="public", weight_max=20)
    _announce_fewer(network)
    for i in network.honest_clients:
        (average,) = network.clients[i].accepted
        assert average.roster == (1, 2, 3)
        assert average.total_weight == network.ideal().total_weight


def _doubled(world):
    """The delivery with every element doubled, tags included, and three more clients in the roster."""
    doubled = (world.delivery.share.astype(object) * 2 % world.prime).astype(world.field.dtype)
    strangers = tuple((i, bytes([i]) * 32) for i in (4, 5, 6))
    return replace(world.delivery, roster=(*world.delivery.roster, *strangers), share=doubled)


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_only_the_signatures_tell_a_sum_that_was_scaled_with_the_roster(make_world, field, mode) -> None:
    """Tags, mask and pads all scale with the sum, so they fit any |R| that it is scaled to."""
    world = make_world(n=2, m=6, field=field, mode=mode)
    world.run(1, 2, 3)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, _doubled(world))
    assert refusal.value.check == Check.SIGNATURES


@pytest.mark.usefixtures("without_result_signatures")
@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_without_them_a_client_believes_in_twice_as_many(make_world, field, mode) -> None:
    world = make_world(n=2, m=6, field=field, mode=mode)
    world.run(1, 2, 3)
    average = world.check(1, _doubled(world))
    assert average.roster == (1, 2, 3, 4, 5, 6)
    assert average.total_weight == 2 * world.ideal().total_weight
