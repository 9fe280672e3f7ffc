"""Test values, all derived from their names, and how numbers are written.

No value here is fit for use: anyone can compute it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from privateyes.errors import BlamedError, DeliveryError, PrivateyesError

PREFIX = "privateyes test vectors, not for use: "


def secret(name: str, count: int = 32) -> bytes:
    """SHA-256(prefix + name + "/" + block number), blocks from 0, cut to ``count`` bytes."""
    blocks = (hashlib.sha256(f"{PREFIX}{name}/{block}".encode()).digest() for block in range(-(-count // 32)))
    return b"".join(blocks)[:count]


def numbers(values: Iterable[Any]) -> list[str]:
    """Integers that may pass 2^53, as decimal text."""
    return [str(int(value)) for value in values]


def bits32(values: Any) -> list[str]:
    """The big-endian bytes of float32 values."""
    return [np.array(value, dtype=">f4").tobytes().hex() for value in np.asarray(values, dtype=np.float32)]


def bits64(values: Any) -> list[str]:
    """The big-endian bytes of float64 values."""
    return [np.array(value, dtype=">f8").tobytes().hex() for value in np.atleast_1d(values)]


def elements(prime: int, name: str, count: int) -> list[int]:
    """``count`` integers below p from a name (bias does not matter here)."""
    data = secret(name, 16 * count)
    return [int.from_bytes(data[16 * t : 16 * t + 16], "big") % prime for t in range(count)]


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """What a call that must fail raises, as the vectors write it.

    Raises:
        RuntimeError: it does not fail.
    """
    try:
        call()
    except (PrivateyesError, TypeError, OverflowError) as error:
        out: dict[str, Any] = {"error": type(error).__name__}
        if isinstance(error, DeliveryError):
            out["check"] = int(error.check)
        if isinstance(error, BlamedError):
            out["blamed"] = error.party
        return out
    raise RuntimeError("a negative vector was accepted")


def require(expected: dict[str, Any], got: dict[str, Any], name: str) -> dict[str, Any]:
    """What a person wrote down must be what happens.

    Raises:
        RuntimeError: it is not.
    """
    if expected != got:
        raise RuntimeError(f"{name}: {got} where {expected} was expected")
    return expected
