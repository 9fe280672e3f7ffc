from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.errors import ConfigError
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg, build_server_optimiser

VALUES = st.lists(st.tuples(st.floats(-10, 10, width=32), st.floats(-1, 1)), min_size=1, max_size=40)


@given(VALUES, st.floats(0.1, 2.0))
def test_fedavg_rounds_once_to_float32(pairs: list[tuple[float, float]], rate: float) -> None:
    vector = np.array([pair[0] for pair in pairs], dtype=np.float32)
    mean = np.array([pair[1] for pair in pairs])
    following = FedAvg(rate).step(ServerState(vector), mean)
    expected = np.array([np.float32(float(v) + rate * float(m)) for v, m in zip(vector, mean, strict=True)])
    assert following.vector.dtype == np.float32
    np.testing.assert_array_equal(following.vector, expected)


@given(VALUES, st.integers(1, 39))
def test_fedavg_works_element_by_element(pairs: list[tuple[float, float]], cut: int) -> None:
    vector = np.array([pair[0] for pair in pairs], dtype=np.float32)
    mean = np.array([pair[1] for pair in pairs])
    whole = FedAvg().step(ServerState(vector), mean).vector
    parts = [FedAvg().step(ServerState(vector[s]), mean[s]).vector for s in (slice(None, cut), slice(cut, None))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_a_step_counts_the_round_and_notes_the_session() -> None:
    state = ServerState(np.zeros(2, dtype=np.float32), round=4)
    following = FedAvg().step(state, np.ones(2), sid=b"session")
    assert (following.round, following.last_sid, following.moments) == (5, b"session", ())
    assert FedAvg().initial_moments(2) == ()


def test_an_unknown_server_optimiser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r'server_optimiser = "fedup".*fedavg'):
        build_server_optimiser("fedup", 1.0)
