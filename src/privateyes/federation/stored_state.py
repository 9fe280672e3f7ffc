"""The training state as the clients store it once they accepted it."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.encoding.clips import plan_of_pairs
from privateyes.errors import RunDirectoryError
from privateyes.federation.lineage import WEIGHTS_BYTES, split_lineage
from privateyes.federation.rounds import ServerState

_LENGTH_BYTES = 4
_VERSION = 2


def dump_state(state: ServerState) -> list[bytes | memoryview]:
    """A length, a JSON header, the lineage and the arrays, little endian; in pieces, the large ones not copied."""
    header = json.dumps(
        {
            "version": _VERSION,
            "round": state.round,
            "last_sid": state.last_sid.hex(),
            "dimension": state.vector.size,
            "moments": len(state.moments),
            "lineage": len(state.lineage),
            "clips": None if state.clips is None else list(state.clips.pairs()),
        }
    ).encode()
    vector = np.ascontiguousarray(state.vector, dtype="<f4").data.cast("B")
    moments = [np.ascontiguousarray(moment, dtype="<f8").data.cast("B") for moment in state.moments]
    return [len(header).to_bytes(_LENGTH_BYTES, "big"), header, b"".join(state.lineage), vector, *moments]


def load_state(data: bytes | bytearray) -> ServerState:
    """Read what ``dump_state`` wrote.

    Raises:
        RunDirectoryError: it was written by another version, or has another length than it says.
    """
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    header = json.loads(bytes(data[_LENGTH_BYTES:start]))
    version = header.get("version", 1)
    if version != _VERSION:
        raise RunDirectoryError(
            f"the stored state was written by another version of privateyes (state {version}, not {_VERSION})",
            "finish the run with that version, or start it in a new directory",
        )
    dimension, count, earlier = int(header["dimension"]), int(header["moments"]), int(header["lineage"])
    first_array = start + WEIGHTS_BYTES * earlier
    ends = list(accumulate([4 * dimension, *[8 * dimension] * count], initial=first_array))
    if ends[-1] != len(data):
        raise RunDirectoryError("the stored state has another length than it says", "start the run in a new directory")
    view = memoryview(data)
    arrays: list[NDArray[Any]] = [
        np.frombuffer(view[first:end], dtype="<f8" if place else "<f4").copy()
        for place, (first, end) in enumerate(pairwise(ends))
    ]
    return ServerState(
        vector=arrays[0],
        moments=tuple(arrays[1:]),
        round=int(header["round"]),
        last_sid=bytes.fromhex(header["last_sid"]),
        clips=None if header["clips"] is None else plan_of_pairs(header["clips"]),
        lineage=split_lineage(bytes(view[start:first_array])),
    )
