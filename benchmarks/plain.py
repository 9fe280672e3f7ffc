"""Plain averaging in float32, in the methods that NumPy users write it. Each returns the weighted average, (d,)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

Updates = Iterable[tuple[NDArray[np.float32], int]]

PIECE: Final = 1 << 17
TOGETHER: Final = 8


def in_place(updates: Updates, dimension: int) -> NDArray[np.float32]:
    """One update after another, as they come: scaled into a buffer, added to the sum."""
    total = np.zeros(dimension, dtype=np.float32)
    scaled = np.empty_like(total)
    weights = 0
    for update, weight in updates:
        np.multiply(update, np.float32(weight), out=scaled)
        total += scaled
        weights += weight
    total /= np.float32(weights)
    return total


def in_pieces(updates: Updates, dimension: int) -> NDArray[np.float32]:
    """As ``in_place``, but eight updates at a time and of these a piece each, so that sum and buffer stay in the cache.

    The fastest of these for large updates, and like the hub it needs only a few updates at hand.
    """
    coming = iter(updates)
    total = np.zeros(dimension, dtype=np.float32)
    scaled = np.empty(min(PIECE, dimension), dtype=np.float32)
    weights = 0
    while together := list(islice(coming, TOGETHER)):
        for start in range(0, dimension, PIECE):
            piece = total[start : start + PIECE]
            for update, weight in together:
                np.multiply(update[start : start + PIECE], np.float32(weight), out=scaled[: piece.size])
                piece += scaled[: piece.size]
        weights += sum(weight for _, weight in together)
    total /= np.float32(weights)
    return total


def simplest(updates: Updates, dimension: int) -> NDArray[np.float32]:
    """What one writes first; every product is a new array."""
    total = np.zeros(dimension, dtype=np.float32)
    weights = 0
    for update, weight in updates:
        total += np.float32(weight) * update
        weights += weight
    return total / np.float32(weights)


def as_flower(updates: Updates, dimension: int) -> NDArray[np.float32]:  # noqa: ARG001 - the others need the length
    """In the style of Flower's strategies (flwr.server.strategy.aggregate): all products, then their sum."""
    held = list(updates)
    products = [update * np.float32(weight) for update, weight in held]
    total: NDArray[np.float32] = reduce(np.add, products) / np.float32(sum(weight for _, weight in held))
    return total


VARIANTS: Final[dict[str, Callable[[Updates, int], NDArray[np.float32]]]] = {
    "in place": in_place,
    "in pieces": in_pieces,
    "simplest": simplest,
    "as Flower": as_flower,
}
BASELINE: Final = "in pieces"
