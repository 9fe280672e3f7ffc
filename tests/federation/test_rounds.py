from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import ClientUpdate, RoundSettings, ServerState, run_rounds
from privateyes.federation.seeds import derive_seed
from privateyes.federation.server_step import FedAvg

CLIENTS = ["a", "b", "c", "d"]
SETTINGS = RoundSettings(rounds=6, cohort_fraction=0.5, seed=5)


class DrawnUpdates:
    """A trainer whose updates depend on round, client and vector."""

    def train(self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32]) -> list[ClientUpdate]:
        updates = []
        for client in cohort:
            generator = np.random.default_rng(derive_seed(0, client, round_index))
            delta = generator.normal(size=vector.size).astype(np.float32) - np.float32(0.1) * vector
            updates.append(ClientUpdate(client, weight=ord(client), delta=delta, loss=1.0))
        return updates


def start() -> ServerState:
    return ServerState(np.linspace(-1, 1, 7, dtype=np.float32))


def test_rounds_that_are_resumed_anywhere_end_in_the_same_state() -> None:
    outcomes = list(run_rounds(start(), SETTINGS, CLIENTS, DrawnUpdates(), PlainExchange(FedAvg())))
    assert [outcome.state.round for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
    for outcome in outcomes[:-1]:
        resumed = list(run_rounds(outcome.state, SETTINGS, CLIENTS, DrawnUpdates(), PlainExchange(FedAvg())))
        assert len(resumed) == SETTINGS.rounds - outcome.state.round
        assert resumed[-1].state.digest() == outcomes[-1].state.digest()


def test_a_state_that_has_done_its_rounds_runs_none() -> None:
    done = replace(start(), round=6)
    assert list(run_rounds(done, SETTINGS, CLIENTS, DrawnUpdates(), PlainExchange(FedAvg()))) == []


def test_only_the_cohort_trains_and_its_loss_is_weighted() -> None:
    class OneLoss(DrawnUpdates):
        def train(self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32]) -> list[ClientUpdate]:
            updates = super().train(round_index, cohort, vector)
            return [replace(update, weight=w, loss=x) for update, w, x in zip(updates, (1, 3), (4.0, 8.0), strict=True)]

    outcome = next(run_rounds(start(), SETTINGS, CLIENTS, OneLoss(), PlainExchange(FedAvg())))
    assert len(outcome.cohort) == 2
    assert outcome.train_loss == pytest.approx(7.0)


def test_the_digest_sees_every_field() -> None:
    state = ServerState(np.zeros(3, dtype=np.float32), (np.zeros(3),), 1, b"sid")
    others = [
        replace(state, vector=np.array([0, 0, 1e-30], dtype=np.float32)),
        replace(state, moments=(np.array([0, 0, 1e-300]),)),
        replace(state, moments=()),
        replace(state, moments=(np.zeros(3), np.zeros(3))),
        replace(state, round=2),
        replace(state, last_sid=b"sie"),
    ]
    assert len({other.digest() for other in [state, *others]}) == 7
    assert len(state.digest()) == 32
    assert replace(state, vector=np.zeros(6, dtype=np.float32)[::2]).digest() == state.digest()
