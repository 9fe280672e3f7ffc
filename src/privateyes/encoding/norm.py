"""The L2 clip of an update, and the exact test that makes it a fact (protocol, "Encoding").

Floats shorten an update to about the limit; integers decide. Whatever the floats did, the encoded update q satisfies
``||q||_2 <= w * c``, with each coordinate measured on the manifest's grid: on a tensor's finer grid 2^-f_t, its square
counts 4^-(f_t - f). The sum Y of a roster then satisfies ``||Y||_2 <= W * c``, which is check 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from privateyes.crypto import kernels
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.streams import CHUNK_BYTES, KeyStream
from privateyes.encoding.clips import Segment, within

FLOAT_RESERVE: Final = 2.0**-30
"""Far more than the relative error of a norm summed in float64 here: below 2^17 additions in a row for d < 2^32."""


@dataclass(frozen=True, slots=True)
class NormLimit:
    """The largest L2 norm of an encoded update of weight 1.

    Attributes:
        bound: c, in steps of the grid.
        scale_bits: f; the grid is 2^-f.
    """

    bound: int
    scale_bits: int

    def shrink(self, norm: float, weight: int, dimension: int) -> float:
        """The factor in (0, 1] that brings a clipped update of this norm within reach of the exact test.

        Stochastic rounding adds at most d/4 + 8 w c to the squared norm, but for a chance of about e^-32.
        """
        radius = weight * self.bound
        target = math.isqrt(4 * radius * radius - dimension - 32 * radius) / 2 * (1 - FLOAT_RESERVE)
        length = weight * 2.0**self.scale_bits * norm
        return target / length if length > target else 1.0


class SquaredNorm:
    """||q||^2, added up exactly over chunks in units of the finest grid of all tensors.

    Args:
        parts: how each part of the vector is encoded.
    """

    def __init__(self, parts: tuple[Segment, ...]) -> None:
        self._parts = parts
        self._finest = max(part.encoding.scale_bits for part in parts)
        self.total = 0

    def add(self, start: int, values: NDArray[np.int64]) -> None:
        """Add the coordinates from ``start`` on."""
        for part in within(self._parts, start, start + values.size):
            squares = kernels.sum_of_squares(part.encoding.field, values[part.span])
            self.total += squares << 2 * (self._finest - part.encoding.scale_bits)

    def radius(self, limit: NormLimit, weight: int) -> int:
        """The largest norm that passes for a total weight, in the same unit."""
        return weight * limit.bound << (self._finest - limit.scale_bits)

    def exceeds(self, limit: NormLimit, weight: int) -> bool:
        """Whether the vector is too long for a total weight."""
        return self.total > self.radius(limit, weight) ** 2


class UpdateEncoder:
    """Encodes one update, weighted, clipped and rounded, in pieces that fit the cache.

    Args:
        delta: (d,) float32.
        weight: w.
        rounding: 32-bit words that decide the rounding, one for each coordinate.
        parts: how each part of the update is encoded.
        limit: of the L2 norm; None for none, and then no bit differs from an encoding without it.

    Attributes:
        weight: w.
        clipped: coordinates clipped so far, for the client's own log.
        shortened: whether the L2 clip changed the update, for the client's own log.
    """

    def __init__(
        self,
        delta: NDArray[np.float32],
        weight: int,
        rounding: KeyStream,
        parts: tuple[Segment, ...],
        limit: NormLimit | None = None,
    ) -> None:
        self.weight, self.clipped, self.shortened = int(weight), 0, False  # a NumPy integer would overflow
        self._delta, self._rounding, self._parts, self._limit = delta, rounding, parts, limit

    def pieces(self, out: Elements) -> Iterator[Elements]:
        """Write q into ``out``, (d,), and hand it out piece by piece, in order; the caller may change what it got.

        With a limit, all of q is in ``out`` before the first piece is handed out: only then its norm is known.

        Raises:
            TrainingError: the update holds a NaN or an infinity.
        """
        if self._limit is None:
            yield from self._encoded(out, 1.0)
            return
        self._encode_within(self._limit, out)
        yield from _cut(out)

    def _encode_within(self, limit: NormLimit, out: Elements) -> None:
        shrink = limit.shrink(clipped_norm(self._delta, self._parts), self.weight, self._delta.size)
        squared, field = SquaredNorm(self._parts), self._parts[0].encoding.field
        lifted, start = np.empty(_step(out), dtype=np.int64), 0
        for piece in self._encoded(out, shrink):
            kernels.lift(field, piece, lifted[: piece.size])
            squared.add(start, lifted[: piece.size])
            start += piece.size
        self.shortened = shrink < 1
        if squared.exceeds(limit, self.weight):
            self.shortened = True
            _scale_down(field, out, squared.radius(limit, self.weight), squared.total)

    def _encoded(self, out: Elements, shrink: float) -> Iterator[Elements]:
        words, start = np.empty(_step(out), dtype=np.uint32), 0
        for piece in _cut(out):
            self._rounding.fill(words[: piece.size].data.cast("B"))
            for part in within(self._parts, start, start + piece.size):
                values, into = self._delta[start + part.start : start + part.stop], piece[part.span]
                self.clipped += part.encoding.encode(values, self.weight, words[part.span], into, shrink)
            yield piece
            start += piece.size


def clipped_norm(delta: NDArray[np.float32], parts: tuple[Segment, ...]) -> float:
    """The L2 norm of an update whose coordinates are clipped; of one with a NaN, nothing that means anything."""
    total = 0.0
    for part in parts:
        for start in range(part.start, part.stop, CHUNK_BYTES // delta.itemsize):
            values = delta[start : min(start + CHUNK_BYTES // delta.itemsize, part.stop)]
            total += _squared_norm(values, np.float64(part.encoding.clip))
    return math.sqrt(total)


def smallest_bound(dimension: int) -> int:
    """The least c for d coordinates: below it, rounding alone could fill the norm of an update of weight 1."""
    return max(9, math.isqrt(16 * dimension - 1) + 1)


def _step(out: Elements) -> int:
    return min(CHUNK_BYTES // out.itemsize, max(out.size, 1))


def _cut(out: Elements) -> Iterator[Elements]:
    for start in range(0, out.size, _step(out)):
        yield out[start : start + _step(out)]


def _scale_down(field: Field, out: Elements, radius: int, squared: int) -> None:
    """q := q * radius / ||q||, rounded towards zero in exact integers, so that ||q|| <= radius afterwards.

    Never seen with the factor of ``NormLimit.shrink``; but that is a float, and this is why no float matters.
    """
    norm = math.isqrt(squared - 1) + 1
    for piece in _cut(out):
        lifted = np.empty(piece.size, dtype=np.int64)
        kernels.lift(field, piece, lifted)
        shorter = [(abs(value) * radius // norm) * (1 if value > 0 else -1) % field.prime for value in lifted.tolist()]
        piece[:] = shorter


@njit(nogil=True, cache=True)
def _squared_norm(delta: Any, clip: Any) -> Any:
    # Four sums side by side, always the same ones: quicker than one after the other, and as repeatable.
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    whole = delta.size - delta.size % 4
    for t in range(0, whole, 4):
        value = min(max(np.float64(delta[t]), -clip), clip)
        first += value * value
        value = min(max(np.float64(delta[t + 1]), -clip), clip)
        second += value * value
        value = min(max(np.float64(delta[t + 2]), -clip), clip)
        third += value * value
        value = min(max(np.float64(delta[t + 3]), -clip), clip)
        fourth += value * value
    for t in range(whole, delta.size):
        value = min(max(np.float64(delta[t]), -clip), clip)
        first += value * value
    return (first + second) + (third + fourth)
