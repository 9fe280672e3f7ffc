"""The digest of a model's weights alone, by which a task knows weights that it had before.

A client submits one update from one model: a second one from the same weights, over other clients, would help to tell
the two rosters apart. So the states of a task carry the digests W of the weights before them, and a server step that
gives one of these again is the task's end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import TrainingError

WEIGHTS_BYTES: Final = 32
_VERSION: Final = b"privateyes weights v1"
_NAME: Final = b"vector"  # the only tensor: all trainable parameters in one


def weights_digest(vector: NDArray[np.float32]) -> bytes:
    """W: SHA-256 (32 bytes) over a version, then the tensor's name, shape, dtype and little-endian bytes.

    Weights that compute the same have the same digest where only the sign of a zero differs.

    Args:
        vector: the trainable parameters, float32 (d,).

    Raises:
        TrainingError: a NaN, which equals nothing, not even itself.
    """
    exact = np.add(vector, np.float32(0), dtype="<f4")  # -0.0 becomes 0.0
    if exact.size and np.isnan(exact.min()):
        raise TrainingError("the model has values that are NaN", "lower the learning rates of clients and server")
    shape = b"".join(length.to_bytes(8, "big") for length in exact.shape)
    return prefixed_digest((_VERSION, _NAME, shape, exact.dtype.str.encode(), exact))


def split_lineage(digests: bytes) -> tuple[bytes, ...]:
    """The digests W of a lineage that was stored one after the other."""
    return tuple(digests[start : start + WEIGHTS_BYTES] for start in range(0, len(digests), WEIGHTS_BYTES))


def prefixed_digest(parts: Iterable[bytes | NDArray[Any]]) -> bytes:
    """SHA-256 (32 bytes) over the parts, each after its length in bytes (8 bytes, big endian); arrays contiguous."""
    running = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.reshape(-1).view(np.uint8).data
        running.update(len(data).to_bytes(8, "big"))
        running.update(data)
    return running.digest()
