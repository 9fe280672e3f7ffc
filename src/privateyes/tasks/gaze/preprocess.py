"""From stored grey images to what a model sees: histogram equalisation and scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256
# Images at a time: the table of bins takes eight bytes for each pixel.
_CHUNK = 512


def equalise(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equalise the grey histogram of every image by itself.

    A grey level v becomes round(255 (c(v) - c_min) / (N - c_min)), where c counts the pixels up to and including a
    level, c_min is the count at the darkest level present and N is the number of pixels [Gonzalez & Woods, section
    3.3]. It removes differences of exposure and contrast between people and days; MPIIGaze images come equalised. An
    image of one grey level has nothing to equalise and is returned as it is.

    Args:
        images: (N, H, W) uint8.

    Returns:
        (N, H, W) uint8, a new array.
    """
    result = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), _CHUNK):
        result[start : start + _CHUNK] = _equalise_chunk(images[start : start + _CHUNK])
    return result


def to_model_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey images as a model's input.

    Args:
        images: (N, H, W) uint8.

    Returns:
        (N, 1, H, W) float32 in [0, 1].
    """
    scaled: NDArray[np.float32] = images[:, None].astype(np.float32) / np.float32(_LEVELS - 1)
    return scaled


def _equalise_chunk(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, pixels = len(images), images[0].size
    flat = images.reshape(count, pixels)
    # One histogram for each image: image i counts in the bins 256 i to 256 i + 255.
    bins = flat.astype(np.int64) + _LEVELS * np.arange(count, dtype=np.int64)[:, None]
    histogram = np.bincount(bins.ravel(), minlength=_LEVELS * count).reshape(count, _LEVELS)
    cumulated = np.cumsum(histogram, axis=1)
    darkest = histogram[np.arange(count), np.argmax(histogram > 0, axis=1)][:, None]
    span = pixels - darkest
    # Rounding half up in whole numbers: (2 * 255 * x + span) // (2 * span), the same on every machine.
    table = (2 * (_LEVELS - 1) * (cumulated - darkest) + span) // np.maximum(2 * span, 1)
    levels = np.where(span == 0, np.arange(_LEVELS), np.clip(table, 0, _LEVELS - 1)).astype(np.uint8)
    equalised: NDArray[np.uint8] = levels.ravel()[bins].reshape(images.shape)
    return equalised
