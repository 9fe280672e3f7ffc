"""Which of a person's samples would be the calibration dots."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, DataError
from privateyes.training.calibration_settings import PLACEMENTS, Placement

_LOW, _MIDDLE, _HIGH = 0.0, 0.5, 1.0
_CORNERS = ((_LOW, _LOW), (_LOW, _HIGH), (_HIGH, _LOW), (_HIGH, _HIGH))
_EDGES = ((_LOW, _MIDDLE), (_HIGH, _MIDDLE), (_MIDDLE, _LOW), (_MIDDLE, _HIGH))
_CENTRE = ((_MIDDLE, _MIDDLE),)
# The usual dots of calibration screens, in shares of the person's range of gaze.
_DOTS = MappingProxyType({1: _CENTRE, 4: _CORNERS, 5: _CENTRE + _CORNERS, 9: _CENTRE + _CORNERS + _EDGES})
# A dot stands for the samples near it: as many as these, so that draws differ.
_NEAREST_SHARE, _NEAREST_LEAST = 0.05, 10


def choose_dots(labels: NDArray[np.floating], count: int, placement: Placement, seed: int) -> NDArray[np.int64]:
    """Draw calibration samples.

    "spread": each dot of a calibration screen takes one of the samples that lie nearest to it, drawn from the nearest
    twentieth of all (10 at least). The screen reaches from the 10 % to the 90 % quantile of the person's labels; 1, 4,
    5 and 9 dots stand in the usual pattern, other numbers in a Halton sequence. "random": any samples, blindly.

    Args:
        labels: (N, 2) the samples that may be chosen.
        count: k, at least 1 and below N, so that one is left to test on.
        placement: how to choose.
        seed: the draw depends on it and the arguments only.

    Returns:
        (k,) int64, positions in `labels`, all different.

    Raises:
        ConfigError: `count` is below 1, or the placement is not known.
        DataError: there are too few samples.
    """
    if count < 1:
        raise ConfigError(f"calibration with k = {count} samples", "give 1 or more")
    if placement not in PLACEMENTS:
        raise ConfigError(f'calibration.placement = "{placement}"', f"choose from: {', '.join(PLACEMENTS)}")
    if count >= len(labels):
        problem = f"calibration with k = {count} of {len(labels)} usable samples leaves none to test on"
        raise DataError(problem, f"use k up to {len(labels) - 1}" if len(labels) > 1 else "record more samples")
    generator = np.random.Generator(np.random.PCG64(seed))
    if placement == "random":
        return generator.choice(len(labels), size=count, replace=False).astype(np.int64)
    places = _in_range(labels.astype(np.float64))
    nearest = max(_NEAREST_LEAST, int(_NEAREST_SHARE * len(labels)))
    free = np.ones(len(labels), dtype=np.bool_)
    chosen = np.empty(count, dtype=np.int64)
    for index, dot in enumerate(_dots(count)):
        distance = np.where(free, ((places - dot) ** 2).sum(axis=1), np.inf)
        left = min(nearest, int(free.sum()))
        chosen[index] = generator.choice(np.argsort(distance, kind="stable")[:left])
        free[chosen[index]] = False
    return chosen


def _in_range(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Labels in shares of the person's range; a column that does not vary is 0."""
    low, high = np.quantile(labels, [0.1, 0.9], axis=0)
    span = high - low
    places: NDArray[np.float64] = (labels - low) / np.where(span > 0, span, 1.0)
    return places


def _dots(count: int) -> NDArray[np.float64]:
    if count in _DOTS:
        return np.array(_DOTS[count])
    return np.array([[_halton(index, 2), _halton(index, 3)] for index in range(1, count + 1)])


def _halton(index: int, base: int) -> float:
    """The index mirrored at the decimal point, in base `base` ([Halton])."""
    value, scale = 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        scale /= base
        value += scale * digit
    return value
