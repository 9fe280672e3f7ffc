"""The accepted state is read back to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.engines.local.stored_state import dump_state, load_state
from privateyes.errors import RunDirectoryError
from privateyes.federation.rounds import ServerState

VECTOR = np.array([0.0, -0.0, np.nan, np.inf, 1e-45, 3.5], dtype=np.float32)


@pytest.mark.parametrize("moments", [0, 1, 2])
def test_a_state_is_read_back_to_the_bit(moments: int) -> None:
    arrays = tuple(np.arange(6, dtype=np.float64) / (3 + place) for place in range(moments))
    state = ServerState(VECTOR, arrays, round=7, last_sid=bytes(range(32)))
    again = load_state(bytearray(b"".join(dump_state(state))))
    assert again.digest() == state.digest()
    assert (again.round, again.last_sid, again.vector.dtype, len(again.moments)) == (7, state.last_sid, "<f4", moments)
    again.vector[0] = 1  # its own memory, and not read-only


def test_a_state_of_another_length_than_it_says_is_refused() -> None:
    data = b"".join(dump_state(ServerState(VECTOR)))
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(RunDirectoryError, match="another length"):
            load_state(wrong)
