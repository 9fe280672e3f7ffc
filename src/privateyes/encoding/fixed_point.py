"""Fixed-point encoding of weighted updates: q = stochastic_round(w * clip(delta) * 2^f) (protocol, "Encoding").

The weight multiplies before rounding, so the rounding error of the average shrinks with the total weight: with roster R
and total weight W every coordinate of the decoded average differs from the exact weighted mean of the clipped updates
by less than |R| / (W * 2^f).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from privateyes.crypto.field import Elements, Field
from privateyes.errors import ParameterError, TrainingError

MAX_WEIGHT: Final = 1 << 24
"""Below this a weight times a float32 is exact in float64, so encoding is exact up to the rounding that it means to do.
"""

MAX_SCALE_BITS: Final = 40
"""Finer grids than 2^-40 are lost in the float64 average."""

_WORD_TO_UNIT = np.float64(2.0**-32)


def exact_clip(clip: float) -> float:
    """The largest float32 that is no larger than ``clip``: encoding needs a bound whose products are exact."""
    nearest = np.float32(min(clip, float(np.finfo(np.float32).max)))
    return float(nearest if float(nearest) <= clip else np.nextafter(nearest, np.float32(0)))


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """How one task encodes its updates.

    Attributes:
        field: where the sum lives.
        clip: largest absolute value of an update's coordinate, a float32 value; larger ones are clipped.
        scale_bits: f; the grid is 2^-f.
        weight_max: largest weight of one client.
        roster_max: most clients in one sum.
        noise_bound: largest absolute noise added after rounding, on the grid; 0 without distributed privacy noise.

    Raises:
        ParameterError: if any allowed roster could make the sum, or the sum of the weights, wrap.
    """

    field: Field
    clip: float
    scale_bits: int
    weight_max: int
    roster_max: int
    noise_bound: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clip) and self.clip > 0 and exact_clip(self.clip) == self.clip):
            nearest = exact_clip(abs(self.clip)) if math.isfinite(self.clip) else 0.0
            raise ParameterError(f"clip = {self.clip} is not a positive float32 value", f"use {nearest or 1.0!r}")
        if not 1 <= self.weight_max <= MAX_WEIGHT:
            raise ParameterError(f"weight_max = {self.weight_max} is outside 1..{MAX_WEIGHT}", "scale the weights down")
        if not 0 <= self.scale_bits <= MAX_SCALE_BITS:
            raise ParameterError(
                f"scale_bits = {self.scale_bits} is outside 0..{MAX_SCALE_BITS}", "choose a scale in that range"
            )
        if self.roster_max < 1 or self.noise_bound < 0:
            raise ParameterError("roster_max must be at least 1 and noise_bound at least 0", "correct the manifest")
        self._require_no_wrap()

    def _require_no_wrap(self) -> None:
        prime = self.field.prime
        if 2 * self.roster_max * self.weight_max >= prime:
            raise ParameterError(
                f"{self.roster_max} clients of weight up to {self.weight_max} could wrap the sum of "
                f"the weights in the {self.field.name} field",
                'lower weight_max or use field = "wide"',
            )
        if 2 * self.roster_max * (self.largest_value + self.noise_bound) >= prime:
            best = largest_scale_bits(self.field, self.clip, self.weight_max, self.roster_max, self.noise_bound)
            advice = (
                f"use scale_bits = {best} or less"
                if best is not None
                else "no scale is small enough: lower clip or weight_max"
            )
            raise ParameterError(
                f"scale_bits = {self.scale_bits} could wrap: {self.roster_max} clients x weight {self.weight_max} "
                f"x clip {self.clip:g} x 2^{self.scale_bits} is not below half of the {self.field.name} prime",
                advice if self.field.name == "wide" else f'{advice}, or field = "wide"',
            )

    @property
    def largest_value(self) -> int:
        """ceil(w_max * clip * 2^f): no honest encoded coordinate is larger in absolute value."""
        return math.ceil(self.weight_max * Fraction(self.clip) * (1 << self.scale_bits))

    def deviation_bound(self, roster_size: int, total_weight: int) -> float:
        """|R| / (W * 2^f): what rounding can change in any coordinate of the average.

        Comparing two float64 averages adds their own rounding, a few units in the last place of ``clip``.
        """
        return roster_size / (total_weight * 2.0**self.scale_bits) + 4 * self.clip * 2.0**-52

    def sum_bound(self, roster_size: int, total_weight: int) -> int:
        """The largest |Y_t| that a client accepts: W * clip * 2^f + |R| * (1 + noise_bound) (protocol, step 5)."""
        return math.floor(total_weight * Fraction(self.clip) * (1 << self.scale_bits)) + roster_size * (
            1 + self.noise_bound
        )

    def encode(
        self,
        delta: NDArray[np.float32],
        weight: int,
        rounding: NDArray[np.uint32],
        out: Elements,
        shrink: float = 1.0,
    ) -> int:
        """Encode a chunk of an update.

        Args:
            delta: (c,) float32, the client's model minus the round's model.
            weight: w, in [1, weight_max].
            rounding: (c,) uniform 32-bit words from a cryptographic stream; one decides one coordinate's rounding.
            out: (c,) elements, overwritten.
            shrink: factor in (0, 1] of the clipped values (encoding/norm.py); 1 changes no bit.

        Returns:
            How many coordinates were clipped. It stays in the client's own log.

        Raises:
            TrainingError: the chunk holds a NaN or an infinity.
        """
        scale = np.float64(weight * 2.0**self.scale_bits * shrink)
        clipped: int = _encode(delta, np.float64(self.clip), scale, rounding, out, self.field.prime)
        if clipped < 0:
            raise TrainingError(
                "the update holds a NaN or an infinite value", "lower the learning rate or check the client's images"
            )
        return clipped

    def decode(self, total: NDArray[np.int64], total_weight: int) -> NDArray[np.float64]:
        """Lifted sums (d,) to the weighted average (d,)."""
        average: NDArray[np.float64] = total.astype(np.float64) / (total_weight * 2.0**self.scale_bits)
        return average


def largest_scale_bits(field: Field, clip: float, weight_max: int, roster_max: int, noise_bound: int = 0) -> int | None:
    """The finest grid that cannot wrap, or None if even f = 0 could."""
    for bits in range(MAX_SCALE_BITS, -1, -1):
        largest = math.ceil(weight_max * Fraction(clip) * (1 << bits)) + noise_bound
        if 2 * roster_max * largest < field.prime:
            return bits
    return None


@njit(nogil=True, cache=True)
def _encode(delta: Any, clip: Any, scale: Any, rounding: Any, out: Any, prime: Any) -> int:
    clipped = 0
    bad = False
    for t in range(delta.size):
        value = np.float64(delta[t])
        bad |= not np.isfinite(value)
        bounded = min(max(value, -clip), clip)
        clipped += bounded != value
        scaled = bounded * scale
        below = np.floor(scaled)
        up = np.float64(rounding[t]) * _WORD_TO_UNIT < scaled - below
        integer = np.int64(below) + np.int64(up)
        out[t] = integer + prime if integer < 0 else integer
    return -1 if bad else clipped
