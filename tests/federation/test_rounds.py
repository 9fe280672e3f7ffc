from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.federation.cohorts import ClientFailures
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import RoundOutcome, RoundSettings, ServerState, run_rounds
from privateyes.federation.seeds import derive_seed
from privateyes.federation.server_step import FedAvg, FedAvgM, StepSettings
from taking_part import taking_part

CLIENTS = ["a", "b", "c", "d"]
SETTINGS = RoundSettings(rounds=6, cohort_fraction=0.5, seed=5)


class DrawnUpdates:
    """A trainer whose updates depend on round, client and vector."""

    def train(
        self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
    ) -> list[Participant]:
        return taking_part(self.updates_of(round_index, cohort, vector, work))

    def updates_of(
        self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
    ) -> list[ClientUpdate]:
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
        def updates_of(
            self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
        ) -> list[ClientUpdate]:
            updates = super().updates_of(round_index, cohort, vector, work)
            return [replace(update, weight=w, loss=x) for update, w, x in zip(updates, (1, 3), (4.0, 8.0), strict=True)]

    outcome = next(run_rounds(start(), SETTINGS, CLIENTS, OneLoss(), PlainExchange(FedAvg())))
    assert len(outcome.attendance.cohort) == 2
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
        replace(state, lineage=(bytes(32),)),
        replace(state, lineage=(bytes(32), bytes(32))),
    ]
    assert len({other.digest() for other in [state, *others]}) == 9
    assert len(state.digest()) == 32
    assert replace(state, vector=np.zeros(6, dtype=np.float32)[::2]).digest() == state.digest()


def test_the_weights_are_those_of_the_vector_alone_and_of_no_other_state() -> None:
    state = start()
    assert replace(state, round=3, last_sid=b"sid", lineage=(bytes(32),)).weights() == state.weights()
    assert replace(state, vector=state.vector + 1).weights() != state.weights()
    assert state.weights() == state.weights() == start().weights()


class Settling(DrawnUpdates):
    """Moves for three rounds, then no more; notes the weights that it trains from."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []

    def updates_of(
        self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
    ) -> list[ClientUpdate]:
        self.begun.append(vector.tobytes())
        updates = super().updates_of(round_index, cohort, vector, work)
        return updates if round_index < 3 else [replace(update, delta=0 * update.delta) for update in updates]


def test_rounds_end_with_the_one_that_moves_nothing_and_keep_the_state_before_it() -> None:
    trainer = Settling()
    outcomes = list(run_rounds(start(), SETTINGS, CLIENTS, trainer, PlainExchange(FedAvg())))
    assert [outcome.converged for outcome in outcomes] == [False, False, False, True]
    assert [outcome.void for outcome in outcomes] == [False, False, False, True]
    before, last = outcomes[2:]
    assert last.state.digest() == before.state.digest()
    assert (last.state.rounds_run, last.state.round, last.state.void_rounds) == (4, 3, 1)
    assert last.train_loss == 1.0
    assert len(set(trainer.begun)) == len(trainer.begun)


def test_without_the_lineage_clients_would_train_from_one_model_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = iter(range(1000))
    monkeypatch.setattr(ServerState, "weights", lambda state: next(drawn).to_bytes(32, "big"))
    trainer = Settling()
    outcomes = list(run_rounds(start(), SETTINGS, CLIENTS, trainer, PlainExchange(FedAvg())))
    assert len({outcome.attendance.cohort for outcome in outcomes[3:]}) > 1  # other rosters, the same weights
    assert len(set(trainer.begun[3:])) == 1


def test_momentum_may_go_on_where_the_updates_end() -> None:
    optimiser = FedAvgM(StepSettings(1.0, beta1=0.5))
    state = replace(start(), moments=optimiser.initial_moments(7))
    outcomes = list(run_rounds(state, SETTINGS, CLIENTS, Settling(), PlainExchange(optimiser)))
    assert not any(outcome.converged for outcome in outcomes)


def test_rounds_that_are_resumed_before_the_last_one_end_with_it_too() -> None:
    outcomes = list(run_rounds(start(), SETTINGS, CLIENTS, Settling(), PlainExchange(FedAvg())))
    for outcome in outcomes[:-1]:
        (*_, last) = run_rounds(outcome.state, SETTINGS, CLIENTS, Settling(), PlainExchange(FedAvg()))
        assert last.converged
        assert last.state.rounds_run == 4


def test_void_rounds_are_no_part_of_what_clients_agree_on() -> None:
    assert replace(start(), void_rounds=3).digest() == start().digest()
    assert replace(start(), round=2, void_rounds=3).rounds_run == 5


FAILING = replace(SETTINGS, rounds=25, cohort_fraction=1.0, failures=ClientFailures(dropout=0.6, stragglers=0.25))


def outcomes_of(settings: RoundSettings, state: ServerState | None = None) -> list[RoundOutcome]:
    return list(run_rounds(state or start(), settings, CLIENTS, DrawnUpdates(), PlainExchange(FedAvg())))


def test_only_those_who_arrive_train_and_are_averaged() -> None:
    trained: list[tuple[str, ...]] = []

    class Noting(DrawnUpdates):
        def updates_of(
            self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
        ) -> list[ClientUpdate]:
            trained.append(tuple(cohort))
            assert work == {}
            return super().updates_of(round_index, cohort, vector, work)

    outcomes = list(run_rounds(start(), FAILING, CLIENTS, Noting(), PlainExchange(FedAvg())))
    assert trained == [outcome.attendance.arrived for outcome in outcomes if not outcome.void]
    state = start()
    for outcome in outcomes:
        if not outcome.void:
            number = state.rounds_run
            updates = DrawnUpdates().updates_of(number, outcome.attendance.arrived, state.vector, {})
            state, _ = PlainExchange(FedAvg()).exchange(state, taking_part(updates))
            assert outcome.state.vector.tobytes() == state.vector.tobytes()
        state = outcome.state
    assert len({outcome.attendance.arrived for outcome in outcomes}) > 3


def test_stragglers_are_told_their_share_where_partial_work_counts() -> None:
    told: list[Mapping[str, float]] = []

    class Noting(DrawnUpdates):
        def updates_of(
            self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
        ) -> list[ClientUpdate]:
            told.append(work)
            assert set(work) <= set(cohort)
            return super().updates_of(round_index, cohort, vector, work)

    settings = replace(SETTINGS, cohort_fraction=1.0, failures=ClientFailures(stragglers=0.5, partial_work=True))
    outcomes = list(run_rounds(start(), settings, CLIENTS, Noting(), PlainExchange(FedAvg())))
    assert [len(work) for work in told] == [2] * 6
    assert told == [outcome.attendance.stragglers for outcome in outcomes]
    assert all(outcome.attendance.arrived == tuple(CLIENTS) for outcome in outcomes)


@pytest.mark.parametrize("least", [1, 2, 3])
def test_a_round_in_which_too_few_arrive_changes_nothing_and_is_counted(least: int) -> None:
    outcomes = outcomes_of(replace(FAILING, least_arrivals=least))
    assert [outcome.state.rounds_run for outcome in outcomes] == list(range(1, 26))
    assert {outcome.void for outcome in outcomes} == {False, True}
    before = start()
    for outcome in outcomes:
        assert outcome.void == (len(outcome.attendance.arrived) < least)
        assert (outcome.state.digest() == before.digest()) == outcome.void
        assert (outcome.train_loss is None) == outcome.void
        if outcome.void:
            assert outcome.report.bytes_up_per_client == outcome.report.seconds == outcome.seconds_training == 0
        before = outcome.state
    assert before.round == sum(not outcome.void for outcome in outcomes)


def test_a_run_without_anyone_ends_where_it_began() -> None:
    class Nobody(DrawnUpdates):
        def updates_of(self, *_: object) -> list[ClientUpdate]:
            raise AssertionError("nobody is there to train")

    settings = replace(SETTINGS, failures=ClientFailures(stragglers=1.0))
    outcomes = list(run_rounds(start(), settings, CLIENTS, Nobody(), PlainExchange(FedAvg())))
    assert [outcome.state.void_rounds for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
    assert outcomes[-1].state.digest() == start().digest()


def test_rounds_that_are_resumed_after_a_void_one_meet_the_same_fates() -> None:
    outcomes = outcomes_of(replace(FAILING, least_arrivals=2))
    for index, outcome in enumerate(outcomes[:-1]):
        resumed = outcomes_of(replace(FAILING, least_arrivals=2), outcome.state)
        assert [again.attendance for again in resumed] == [first.attendance for first in outcomes[index + 1 :]]
        assert resumed[-1].state.digest() == outcomes[-1].state.digest()
        assert resumed[-1].state.void_rounds == outcomes[-1].state.void_rounds
