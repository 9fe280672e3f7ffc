from __future__ import annotations

import numpy as np
import pytest

from privateyes.errors import TrainingError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.plain import PlainExchange, weighted_mean
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from taking_part import taking_part


def update(client: str, weight: int, delta: list[float]) -> ClientUpdate:
    return ClientUpdate(client, weight, np.array(delta, dtype=np.float32), loss=0.0)


def test_the_mean_is_weighted_by_samples() -> None:
    mean = weighted_mean([update("a", 1, [1.0, 0.0]), update("b", 3, [5.0, -4.0])])
    assert mean.dtype == np.float64
    np.testing.assert_allclose(mean, [4.0, -3.0])


def test_the_next_state_is_the_server_step_on_the_mean() -> None:
    state = ServerState(np.array([1.0, 1.0], dtype=np.float32), round=2)
    following, report = PlainExchange(FedAvg()).exchange(state, taking_part([update("a", 2, [0.5, -0.5])]))
    np.testing.assert_array_equal(following.vector, np.array([1.5, 0.5], dtype=np.float32))
    assert following.round == 3
    assert (report.bytes_up_per_client, report.bytes_down_per_client) == (4 * 2 + 8, 4 * 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_and_its_client_named(bad: float) -> None:
    state = ServerState(np.zeros(2, dtype=np.float32))
    with pytest.raises(TrainingError, match="client b has 1 values that are NaN or infinite; lower"):
        PlainExchange(FedAvg()).exchange(state, taking_part([update("a", 1, [0, 0]), update("b", 1, [0, bad])]))


def test_a_wrong_length_is_refused_and_its_client_named() -> None:
    state = ServerState(np.zeros(2, dtype=np.float32))
    with pytest.raises(TrainingError, match=r"client b has shape \(3,\) where the model has 2"):
        PlainExchange(FedAvg()).exchange(state, taking_part([update("b", 1, [0, 0, 0])]))


def test_a_weight_of_nothing_is_refused() -> None:
    state = ServerState(np.zeros(1, dtype=np.float32))
    with pytest.raises(TrainingError, match="client b has weight 0"):
        PlainExchange(FedAvg()).exchange(state, taking_part([update("b", 0, [0])]))


def test_a_round_without_updates_is_refused() -> None:
    with pytest.raises(TrainingError, match="no client handed over an update"):
        PlainExchange(FedAvg()).exchange(ServerState(np.zeros(1, dtype=np.float32)), taking_part([]))
