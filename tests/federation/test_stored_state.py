"""The accepted state is read back to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.errors import RunDirectoryError
from privateyes.federation.rounds import ServerState
from privateyes.federation.stored_state import dump_state, load_state

VECTOR = np.array([0.0, -0.0, np.nan, np.inf, 1e-45, 3.5], dtype=np.float32)


@pytest.mark.parametrize("moments", [0, 1, 2])
def test_a_state_is_read_back_to_the_bit(moments: int) -> None:
    arrays = tuple(np.arange(6, dtype=np.float64) / (3 + place) for place in range(moments))
    lineage = tuple(bytes([number]) * 32 for number in range(moments))
    state = ServerState(VECTOR, arrays, round=7, last_sid=bytes(range(32)), lineage=lineage)
    again = load_state(bytearray(b"".join(dump_state(state))))
    assert again.digest() == state.digest()
    assert again.lineage == lineage
    assert (again.round, again.last_sid, again.vector.dtype, len(again.moments)) == (7, state.last_sid, "<f4", moments)
    again.vector[0] = 1  # its own memory, and not read-only


@pytest.mark.parametrize("version", ["", '"version": 1, ', '"version": 3, '])
def test_a_state_of_another_version_is_refused_with_a_remedy(version: str) -> None:
    _, header, *arrays = dump_state(ServerState(VECTOR))
    other = bytes(header).replace(b'"version": 2, ', version.encode())
    assert other != header
    data = b"".join([len(other).to_bytes(4, "big"), other, *arrays])
    with pytest.raises(RunDirectoryError, match=f"another version of privateyes .state {version[-3:-2] or 1}, not 2"):
        load_state(data)


def test_a_state_of_another_length_than_it_says_is_refused() -> None:
    data = b"".join(dump_state(ServerState(VECTOR)))
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(RunDirectoryError, match="another length"):
            load_state(wrong)
