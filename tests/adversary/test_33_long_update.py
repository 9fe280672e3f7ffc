"""33. An update that is short in every coordinate and long in L2: clients refuse the sum at check 8.

The clip alone lets one corrupt client move the average by up to sqrt(d) clips. A limit of the L2 norm leaves twice that
limit: from where the honest clients stand to the far side of the ball.
"""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation import result
from privateyes.aggregation.client import Client
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import Check
from privateyes.encoding.norm import UpdateEncoder

DIMENSION, CORRUPT = 64, 4


class Unlimited(Client):
    """The corrupt client: it does all that the others do, and leaves its update as long as it is."""

    def _encoder(self, *arguments) -> UpdateEncoder:
        encoder = super()._encoder(*arguments)
        encoder._limit = None
        return encoder


@pytest.fixture
def network(make_network, case):
    """The L2 norm of an update is at most 1, a coordinate too; W = 2 + 3 + 4 + 5."""
    made = make_network(**case, corrupt_clients=(CORRUPT,), d=DIMENSION, privacy=Privacy(1.0))
    own = made.clients[CORRUPT].own
    made.clients[CORRUPT].own = Unlimited(own.manifest, own.number, own.identity, own.data_set)
    return made


def _play(network, corrupt: float, honest: float = 0.0) -> None:
    for i, actor in network.clients.items():
        actor.delta = np.full(DIMENSION, corrupt if i == CORRUPT else honest, np.float32)
    network.play()


def _refusals(network) -> set[int]:
    return {network.refusal_of(f"client {i}").check for i in network.honest_clients}


def test_an_update_short_in_every_coordinate_and_long_in_l2_is_refused(network) -> None:
    """At check 8, so check 7 saw nothing in any coordinate."""
    _play(network, corrupt=1.0)
    assert _refusals(network) == {Check.NORM}
    assert network.nobody_accepted()
    network.require_sound()


def test_without_check_8_it_moves_the_average_much_further_than_the_limit(network, monkeypatch) -> None:
    monkeypatch.setattr(result, "_require_short", lambda *_: None)
    _play(network, corrupt=1.0)
    for i in network.honest_clients:
        (average,) = network.clients[i].accepted
        assert average.mean.tolist() == [5 / 14] * DIMENSION
        assert float(np.linalg.norm(average.mean)) > 2.8


@pytest.mark.parametrize(("beyond", "accepted"), [(0, True), (1, False)])
def test_what_stays_possible_is_a_move_to_the_edge_of_the_ball(network, beyond, accepted) -> None:
    """A blind shift, tags and all, of a sum that is zero."""
    longest = 14 * 2**network.world.encoding.scale_bits
    network.hub.shift = lambda share: network.shifted(share, network.matching({0: longest, 1: beyond}))
    _play(network, corrupt=0.0)
    if accepted:
        assert network.every_honest_client_accepted(network.ideal(shift=[longest] + [0] * DIMENSION))
    else:
        assert _refusals(network) == {Check.NORM}
        assert network.nobody_accepted()
    network.require_sound()


def test_honest_updates_are_shortened_before_they_leave_and_so_never_refused(network) -> None:
    """All of them long and in one direction: the sum is at its limit, as far as rounding lets it be."""
    own = network.clients[CORRUPT].own
    network.clients[CORRUPT].own = Client(own.manifest, own.number, own.identity, own.data_set)
    _play(network, corrupt=0.9, honest=0.9)
    assert network.every_honest_client_accepted(network.ideal())
    for i in network.honest_clients:
        assert 0.99 < float(np.linalg.norm(network.clients[i].accepted[0].mean)) <= 1.0
    network.require_sound()
