"""27. What n - 1 aggregators, the hub and a corrupt client see does not depend on an honest client's input."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.keys import share_stream
from privateyes.aggregation.messages import Submission
from privateyes.crypto.streams import scratch_words

D = 1 << 13


class View:
    """Everything that the adversary can strip from client 1's upload: the streams of its aggregators, and the mask."""

    def __init__(self, network, value: float) -> None:
        self.network = network
        network.clients[1].delta, network.clients[1].weight = np.full(D, value, np.float32), 50
        self.chains = network.clients[1].memory.chains  # K[1,s], which aggregator s holds too
        network.play()
        (self.submission,) = network.words_of("client 1", Submission)

    def stripped(self, aggregators, mask: bool):
        return self.upload(aggregators, mask)[:D]

    def weight(self, aggregators, mask: bool) -> int:
        """The coordinate after the update."""
        return int(self.upload(aggregators, mask)[D])

    def upload(self, aggregators, mask: bool):
        network, header, rest = self.network, self.submission.header, np.array(self.submission.share)
        setup = network.clients[1].memory.group.setup
        for s in aggregators:
            key = self.chains[s - 1].advance_to(network.round, setup).round_key(setup)
            scratch = scratch_words(network.field)
            share_stream(network.field, key, network.sid, 1, s, header.nonce, scratch).add_to(rest)
        return network.unmasked(rest, masks=1) if mask else rest


def _chi_square(values, prime: int) -> float:
    """63 degrees of freedom: mean 63, standard deviation 11.2 if uniform."""
    counts = np.bincount((values.astype(np.float64) * 64 / prime).astype(np.int64), minlength=64)
    return float(((counts - D / 64) ** 2 / (D / 64)).sum())


LIMIT = 63 + 6 * 11.2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_but_one_aggregator_and_a_client_see_uniform_noise_whatever_the_input(make_network, case, value) -> None:
    network = make_network(**case, d=D)
    view = View(network, value)
    assert _chi_square(view.stripped(network.liars, mask=True), network.prime) < LIMIT
    assert _chi_square(view.stripped([], mask=True), network.prime) < LIMIT
    network.require_sound()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_in_sealed_mode_even_all_aggregators_see_noise_without_a_client(make_network, case, value) -> None:
    network = make_network(**case, d=D)
    assert _chi_square(View(network, value).stripped(network.aggregators, mask=False), network.prime) < LIMIT


def test_what_crosses_the_network_in_the_honest_names_is_noise_too(make_network, case) -> None:
    """The honest opening and Z, with every corrupt share and the mask taken off, are the sum and nothing more."""
    network = make_network(**case, d=D)
    View(network, 1.0)
    total, shares = network.session.total.share, [opening.share for opening in network.session.parsed("open")]
    assert all(_chi_square(share[:D], network.prime) < LIMIT for share in shares)
    honest = network.ideal()
    assert network.read(network.add(total, *shares), masks=4) == [*honest.values, honest.total_weight]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_without_an_honest_aggregator_a_client_and_all_aggregators_see_the_input(make_network, case, value) -> None:
    """The guard that is off is the one honest party."""
    network = make_network(**case, d=D)
    seen = View(network, value).stripped(network.aggregators, mask=True)
    assert _chi_square(seen, network.prime) > 10_000
    assert seen.tolist() == [q % network.prime for q in network.input_of(1).values]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_in_public_mode_a_single_update_and_a_single_weight_stay_as_private(make_network, case, value) -> None:
    """There is no mask, and still one honest aggregator's stream hides both; only the sums are opened."""
    network = make_network(**case, d=D, mode="public")
    view = View(network, value)
    assert _chi_square(view.stripped(network.liars, mask=False), network.prime) < LIMIT
    assert view.weight(network.liars, mask=False) != 50
    assert network.ideal().total_weight != 50
    network.require_sound()


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_without_an_honest_aggregator_the_weight_is_read_too(make_network, case, mode) -> None:
    network = make_network(**case, d=D, mode=mode)
    assert View(network, 1.0).weight(network.aggregators, mask=mode == "sealed") == 50
