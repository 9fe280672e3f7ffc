"""A client's side of a round: what it does with what it trained, and what it shows to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.federation.observation import EACH_CLIENT, HUB, Observation
from privateyes.federation.participants import ClientUpdate, HandOver, LocalLog, Participant, by_samples, equally
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import RoundSettings, ServerState, run_rounds
from privateyes.federation.server_step import FedAvg

D = 3


def trained(client: str, samples: int, value: float, loss: float = 0.5) -> ClientUpdate:
    return ClientUpdate(client, samples, np.full(D, value, np.float32), loss, 2 * samples)


def start() -> ServerState:
    return ServerState(np.zeros(D, np.float32))


def test_by_default_an_update_is_handed_over_as_it_was_trained_and_weighs_its_samples() -> None:
    own = trained("ada", 7, 0.5)
    update = Participant(own).hand_over()
    assert (update.client, update.weight, by_samples(7)) == ("ada", 7, 7)
    assert update.delta is own.delta


def test_a_client_transforms_and_weighs_before_anything_leaves() -> None:
    policy = HandOver(transform=lambda delta: np.clip(delta, -0.1, 0.1), weight=equally)
    participants = [Participant(trained("ada", 7, 0.5), policy), Participant(trained("bob", 1, 0.05), policy)]
    following, _ = PlainExchange(FedAvg()).exchange(start(), participants)
    assert np.allclose(following.vector, 0.075)
    assert participants[0].log == LocalLog(7, 0.5, 14)  # its own log tells its samples, whatever its update weighs


class Fixed:
    """Trains to numbers that were given."""

    def __init__(self, **policies: HandOver) -> None:
        self._policys = policies

    def train(
        self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
    ) -> list[Participant]:
        return [
            Participant(trained(name, 10 * place, 0.1, float(place)), self._policys.get(name, HandOver()))
            for place, name in enumerate(cohort, start=1)
        ]


@pytest.mark.parametrize(
    ("withholding", "loss", "samples"), [((), 5 / 3, 30), (("ada",), 2.0, 20), (("ada", "bob"), None, 0)]
)
def test_losses_and_counts_of_those_who_withhold_them_are_in_no_outcome(
    withholding: tuple[str, ...], loss: float | None, samples: int
) -> None:
    trainer = Fixed(**{name: HandOver(withholds=True) for name in withholding})
    (outcome,) = run_rounds(start(), RoundSettings(1, 1.0, 0), ["ada", "bob"], trainer, PlainExchange(FedAvg()))
    assert outcome.train_loss == (None if loss is None else pytest.approx(loss))
    assert (outcome.samples, outcome.passed) == (samples, 2 * samples)
    assert not outcome.void


def test_an_observer_is_told_what_the_hub_and_each_client_see() -> None:
    seen: list[Observation] = []
    exchange = PlainExchange(FedAvg(), seen.append)
    exchange.exchange(ServerState(np.zeros(D, np.float32), round=4), [Participant(trained("ada", 7, 0.5))])
    assert [(one.adversary, one.round, one.what) for one in seen] == [(HUB, 5, "update"), (EACH_CLIENT, 5, "mean")]
    assert isinstance(seen[0].value, ClientUpdate)
    assert np.array_equal(seen[1].value, np.full(D, 0.5))


class WithControls(FedAvg):
    """Takes the mean of a second vector besides, and adds half of it."""

    vectors = 2

    def step(self, state: ServerState, mean: NDArray[np.float64], sid: bytes = b"") -> ServerState:
        moved, besides = np.split(mean, 2)
        return super().step(state, moved + 0.5 * besides, sid)


def test_an_optimiser_may_have_a_second_vector_averaged() -> None:
    delta = np.repeat(np.array([0.1, 0.4], np.float32), D)
    participants = [Participant(ClientUpdate("ada", 1, delta, 0.0))]
    following, report = PlainExchange(WithControls()).exchange(start(), participants)
    assert np.allclose(following.vector, 0.3)
    assert (report.bytes_up_per_client, report.bytes_down_per_client) == (8 + 2 * 4 * D, 4 * D)
