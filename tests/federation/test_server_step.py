"""The server optimisers, step by step against references in plain Python floats, one coordinate at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.errors import ConfigError, ConvergedError, TrainingError
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import SERVER_OPTIMISERS, FedAvg, StepSettings, build_server_optimiser

VALUES = st.lists(st.tuples(st.floats(-10, 10, width=32), st.floats(-1, 1)), min_size=1, max_size=40)
SETTINGS = StepSettings(learning_rate=0.03, beta1=0.8, beta2=0.95, tau=1e-2)
# A coordinate and the mean updates of five rounds: growing, shrinking, changing sign, zero, and tiny.
COURSES = [
    (0.5, [0.1, 0.2, 0.4, 0.8, 1.6]),
    (-1.0, [0.4, 0.2, 0.1, 0.05, 0.0]),
    (2.0, [0.3, -0.3, 0.3, -0.3, 0.3]),
    (0.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
    (7.25, [1e-9, -1e-12, 1e-9, 0.0, 1e-30]),
]


def fedavg_reference(start: float, updates: list[float], given: StepSettings) -> list[float]:
    x, course = np.float32(start), []
    for delta in updates:
        x = np.float32(float(x) + given.learning_rate * delta)
        course.append(float(x))
    return course


def fedavgm_reference(start: float, updates: list[float], given: StepSettings) -> list[float]:
    x, m, course = np.float32(start), 0.0, []
    for delta in updates:
        m = given.beta1 * m + delta
        x = np.float32(float(x) + given.learning_rate * m)
        course.append(float(x))
    return course


def algorithm_2(
    next_v: Callable[[float, float, float], float],
) -> Callable[[float, list[float], StepSettings], list[float]]:
    """[Reddi 2021], algorithm 2, lines 11 to 15, for one coordinate."""

    def course_of(start: float, updates: list[float], given: StepSettings) -> list[float]:
        x, m, v, course = np.float32(start), 0.0, given.tau * given.tau, []
        for delta in updates:
            m = given.beta1 * m + (1 - given.beta1) * delta
            v = next_v(v, delta, given.beta2)
            x = np.float32(float(x) + given.learning_rate * m / (math.sqrt(v) + given.tau))
            course.append(float(x))
        return course

    return course_of


def yogi_v(v: float, delta: float, beta2: float) -> float:
    squared = delta * delta
    sign = (v > squared) - (v < squared)
    return v - (1 - beta2) * squared * sign


REFERENCES = {
    "fedavg": fedavg_reference,
    "fedavgm": fedavgm_reference,
    "fedadagrad": algorithm_2(lambda v, delta, _: v + delta * delta),
    "fedadam": algorithm_2(lambda v, delta, beta2: beta2 * v + (1 - beta2) * delta * delta),
    "fedyogi": algorithm_2(yogi_v),
}


def start_state(name: str, vector: np.ndarray) -> ServerState:
    return ServerState(vector, build_server_optimiser(name, SETTINGS).initial_moments(vector.size))


def test_every_optimiser_has_a_reference() -> None:
    assert set(REFERENCES) == set(SERVER_OPTIMISERS)


@pytest.mark.parametrize("name", REFERENCES)
def test_each_step_is_that_of_the_reference_to_the_last_bit(name: str) -> None:
    optimiser = build_server_optimiser(name, SETTINGS)
    state = start_state(name, np.array([start for start, _ in COURSES], dtype=np.float32))
    expected = np.array([REFERENCES[name](start, updates, SETTINGS) for start, updates in COURSES])
    for index in range(5):
        state = optimiser.step(state, np.array([updates[index] for _, updates in COURSES]))
        np.testing.assert_array_equal(state.vector.astype(np.float64), expected[:, index])


@pytest.mark.parametrize("first", REFERENCES)
@pytest.mark.parametrize("second", REFERENCES)
def test_no_two_optimisers_are_the_same_function(first: str, second: str) -> None:
    courses = [REFERENCES[name](0.5, [0.1, 0.2, -0.4], SETTINGS) for name in (first, second)]
    assert (courses[0] == courses[1]) == (first == second)


@pytest.mark.parametrize("name", REFERENCES)
@given(pairs=VALUES, cut=st.integers(1, 39))
def test_steps_work_element_by_element(name: str, pairs: list[tuple[float, float]], cut: int) -> None:
    vector = np.array([pair[0] for pair in pairs], dtype=np.float32)
    mean = np.array([pair[1] for pair in pairs])
    optimiser = build_server_optimiser(name, SETTINGS)

    def two_steps(part: slice) -> list[np.ndarray]:
        """The vector and the moments; a last coordinate that moves keeps still ones from ending the task."""
        given = np.append(mean[part], 1.0)
        state = optimiser.step(start_state(name, np.append(vector[part], np.float32(0))), given)
        state = optimiser.step(state, -0.5 * given)
        return [array[:-1] for array in (state.vector, *state.moments)]

    whole, parts = two_steps(slice(None)), [two_steps(part) for part in (slice(None, cut), slice(cut, None))]
    for index, array in enumerate(whole):
        np.testing.assert_array_equal(array, np.concatenate([part[index] for part in parts]))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_state_is_left_as_it_was_and_its_types_are_kept(name: str) -> None:
    before = start_state(name, np.ones(3, dtype=np.float32))
    digest = before.digest()
    after = build_server_optimiser(name, SETTINGS).step(before, np.full(3, 0.25))
    assert before.digest() == digest
    assert after.digest() != digest
    assert after.vector.dtype == np.float32
    assert all(moment.dtype == np.float64 for moment in after.moments)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedadagrad"])
def test_where_updates_are_far_above_tau_their_size_does_not_matter(name: str) -> None:
    settings = replace(SETTINGS, beta1=0.0, tau=1e-9)
    optimiser = build_server_optimiser(name, settings)
    state = ServerState(np.zeros(2, dtype=np.float32), optimiser.initial_moments(2))
    moved = optimiser.step(state, np.array([1e-3, 1.0])).vector
    assert moved[0] == pytest.approx(moved[1], rel=1e-5)
    plain = FedAvg().step(state, np.array([1e-3, 1.0])).vector
    assert plain[1] / plain[0] == pytest.approx(1000, rel=1e-5)


def test_a_falling_rate_ends_at_zero_and_starts_at_the_rate() -> None:
    falling = StepSettings(2.0, rounds=10)
    assert [falling.rate_at(index) for index in (0, 5, 10, 11)] == [2.0, 1.0, 0.0, 0.0]
    assert falling.rate_at(3) == pytest.approx(1 + math.cos(0.3 * math.pi), abs=1e-9)
    assert StepSettings(2.0).rate_at(7) == 2.0


def test_a_falling_rate_has_no_bits_that_another_machines_cosine_could_change() -> None:
    for index in range(1000):
        share = StepSettings(1.0, rounds=1000).rate_at(index)
        assert math.ldexp(share, 32).is_integer()


def test_the_rate_follows_the_rounds_that_the_state_counts() -> None:
    optimiser = build_server_optimiser("fedavg", StepSettings(1.0, rounds=4))
    state = ServerState(np.zeros(1, dtype=np.float32), round=2)
    assert optimiser.step(state, np.ones(1)).vector[0] == 0.5


def test_a_step_counts_the_round_and_notes_the_session() -> None:
    state = ServerState(np.zeros(2, dtype=np.float32), round=4)
    following = FedAvg().step(state, np.ones(2), sid=b"session")
    assert (following.round, following.last_sid, following.moments) == (5, b"session", ())
    assert FedAvg().initial_moments(2) == ()


@pytest.mark.parametrize("rate", [0.0, -0.0, -1.0, math.inf, math.nan])
def test_a_rate_at_which_no_model_moves_or_stays_one_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="learning_rate = ") as refusal:
        StepSettings(rate)
    assert refusal.value.remedy


@pytest.mark.parametrize("name", REFERENCES)
def test_every_step_remembers_the_weights_that_it_left(name: str) -> None:
    optimiser = build_server_optimiser(name, SETTINGS)
    state, seen = start_state(name, np.ones(3, dtype=np.float32)), []
    for mean in (0.5, 0.25, 0.125):
        seen.append(state.weights())
        state = optimiser.step(state, np.full(3, mean))
        assert state.lineage == tuple(seen)
        assert state.weights() not in seen


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("mean", [0.0, -0.0, 1e-30])
def test_a_step_that_leaves_the_weights_as_they_were_ends_the_task(name: str, mean: float) -> None:
    state = replace(start_state(name, np.array([1.0, -0.0], dtype=np.float32)), round=6)
    change = np.array([mean, 0.0])
    with pytest.raises(ConvergedError, match="no longer changes: round 7 gave weights that the task had before"):
        build_server_optimiser(name, SETTINGS).step(state, change)


def test_a_step_that_leads_back_to_earlier_weights_ends_the_task() -> None:
    first = ServerState(np.array([1.0, 2.0], dtype=np.float32))
    second = FedAvg().step(first, np.array([0.5, 0.0]))
    third = FedAvg().step(second, np.array([0.0, 0.5]))
    with pytest.raises(ConvergedError, match="round 3"):
        FedAvg().step(third, np.array([-0.5, -0.5]))
    forgetful = replace(third, lineage=())
    again = FedAvg().step(forgetful, np.array([-0.5, -0.5]))
    assert again.weights() == first.weights()  # what the lineage is there to prevent


def test_weights_that_are_no_numbers_end_in_an_error() -> None:
    state = ServerState(np.array([1.0], dtype=np.float32))
    with pytest.raises(TrainingError, match="NaN"):
        FedAvg().step(state, np.array([math.nan]))


def test_an_unknown_server_optimiser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r'"fedup" is no server optimiser.*fedavg'):
        build_server_optimiser("fedup", StepSettings(1.0))


@pytest.mark.parametrize(("beta1", "edge"), [(0.5, 6.0), (0.9, 38.0)])
def test_how_far_a_server_may_step_where_clients_come_all_the_way_back(beta1: float, edge: float) -> None:
    """The bound of docs/decisions/0006: rate / tau below 2 (1 + beta1) / (1 - beta1), for updates well below tau."""

    def grown(factor: float) -> float:
        optimiser = build_server_optimiser("fedadam", StepSettings(factor * edge * 0.01, beta1, 0.99, 0.01))
        state = ServerState(np.array([1e-9], dtype=np.float32), (np.zeros(1), np.zeros(1)))
        for _ in range(200):
            state = optimiser.step(state, -state.vector.astype(np.float64))
        return abs(float(state.vector[0])) / 1e-9

    assert grown(0.97) < 0.5
    assert grown(1.03) > 2.0


def test_weights_beyond_what_float32_holds_end_in_an_error_that_says_so() -> None:
    state = ServerState(np.array([1.0], dtype=np.float32))
    with pytest.raises(TrainingError, match=r"training diverged: .* of round 1 gave .* infinity; lower the server's"):
        FedAvg(StepSettings(1e30)).step(state, np.array([1e10]))
