"""15. Different results for different clients: the signatures disagree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.result import Check
from privateyes.errors import DeliveryError


def _give_client_two_another_result(network) -> None:
    """Tags and all, as the colluding client can make them; and all corrupt aggregators would sign it."""

    def other(delivery):
        return replace(delivery, share=network.shifted(delivery.share, network.matching({1: 3})))

    network.adversary.on("check", lambda packet: network.altered(packet, 0, other), "hub", "client 2")
    network.play()


def test_a_client_refuses_a_result_that_the_honest_aggregator_did_not_sign(coalition) -> None:
    _give_client_two_another_result(coalition)
    assert coalition.refusal_of("client 2").check == Check.SIGNATURES
    assert not coalition.clients[2].accepted
    assert coalition.clients[1].accepted
    coalition.require_sound()


@pytest.mark.usefixtures("without_result_signatures")
def test_without_the_signatures_two_clients_accept_two_results(coalition) -> None:
    _give_client_two_another_result(coalition)
    first, second = (coalition.clients[i].accepted[0] for i in (1, 2))
    grid = first.total_weight * 2**coalition.world.encoding.scale_bits
    assert second.mean[1] * grid == pytest.approx(first.mean[1] * grid + 3)
    assert coalition.clients[1].memory.state.digest != coalition.clients[2].memory.state.digest


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
