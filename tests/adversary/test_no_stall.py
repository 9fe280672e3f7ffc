"""Nothing honest stalls: if all parties are honest and lose no disk, every round of an honest hub ends.

The network drops, delays, damages and repeats what it carries, and processes die at any moment. The hub asks again, and
may lose its own disk. Each round ends with a result that all clients accept, or it is void and all clients know; and
once the weather is fair, rounds are accepted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from client_actor import ClientActor
from network import Network
from privateyes.crypto.field import COMPACT, WIDE
from schedules import remembered_signatures
from weather import HonestHub, Weather

SHAPES = [(2, 3, 2), (2, 3, 3), (3, 4, 2)]
"""n, m and R_min."""


@pytest.fixture(autouse=True)
def _remembered_signatures() -> Iterator[None]:
    with remembered_signatures():
        yield


@pytest.fixture
def make_honest(make_network: Callable[..., Network]) -> Callable[..., tuple[Network, HonestHub]]:
    """A network whose aggregators and hub are honest, and whose clients are but for some, in some weather."""

    def make(seed: int, shape: tuple[int, int, int], corrupt_clients: tuple[int, ...] = ()):
        dice = random.Random(seed)
        n, m, least = shape
        mode, field = dice.choice(["sealed", "public"]), dice.choice([COMPACT, WIDE])
        sizes = {"n": n, "m": m, "d": 3, "roster_min": least, "tolerated": len(corrupt_clients)}
        network = make_network(**sizes, field=field, mode=mode, corrupt_clients=corrupt_clients)
        network.adversary = Weather(network, dice)
        return network, HonestHub(network, dice, forgets=dice.choice([0.0, 0.1]))

    return make


def _play(network: Network, hub: HonestHub, seed: int, rounds: int = 3) -> int:
    """Some rounds, a new set-up and a last round in fair weather; how many were accepted."""
    accepted = 0
    for _ in range(rounds):
        submitters = [i for i in network.clients if hub.dice.random() < 0.8 or network.manifest.is_fixed_cohort]
        accepted += hub.play(*submitters)
        if hub.dice.random() < 0.3:
            hub.set_up(hub.dice.choice(network.manifest.leaders))
    network.adversary.badness = hub.forgets = 0.0
    assert hub.play(), f"schedule {seed}: a round in fair weather is not accepted"
    states = {network.clients[i].memory.state for i in network.honest_clients}
    assert len(states) == 1, f"schedule {seed}: somebody is left behind"
    network.require_sound()
    return accepted


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}-{shape[1]}-{shape[2]}")
def test_every_round_of_honest_parties_ends(make_honest, shape) -> None:
    accepted = 0
    for seed in range(25):
        accepted += _play(*make_honest(seed, shape), seed)
    assert accepted > 40, "most rounds end well in the worst weather, too"


class Vetoer(ClientActor):
    """A client with a header that fits nobody else's."""

    def do_submit(self, packet):
        answer = super().do_submit(packet)
        if answer is None:
            return None
        (submission,) = answer
        header = replace(submission.header, **{self.field: bytes([9]) * 32}).signed_by(
            self.own.identity, submission.header.sid
        )
        self.made[header.hash()] = self.made[submission.header.hash()]
        return [replace(submission, header=header)]

    def do_resend(self, packet):
        """It does not help, either."""


@pytest.fixture(params=["group_check", "session_key_hash"])
def vetoed(make_honest, request):
    """Client 4 vetoes, if it can."""

    def make(seed: int):
        network, hub = make_honest(seed, (2, 4, 3), (4,))
        old = network.clients[4]
        network.clients[4] = network.actors[old.name] = vetoer = Vetoer(old.own, old.disk, old.encoded)
        vetoer.delta, vetoer.field = old.delta, request.param
        return network, hub

    return make


def test_one_client_with_a_header_that_fits_nobody_vetoes_no_round(vetoed) -> None:
    for seed in range(10):
        network, hub = vetoed(seed)
        _play(network, hub, seed)
        assert network.clients[1].accepted[-1].roster == (1, 2, 3)


def test_if_the_hub_does_not_group_headers_it_vetoes_every_round(vetoed) -> None:
    for seed in range(5):
        network, hub = vetoed(seed)
        network.hub.one_kind = list
        with pytest.raises(AssertionError, match="a round in fair weather is not accepted"):
            _play(network, hub, seed)
