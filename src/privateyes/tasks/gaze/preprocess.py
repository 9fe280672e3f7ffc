"""From stored pictures to what a model sees: grey, size and histogram when they are read, scaling by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from privateyes.errors import ConfigError

_LEVELS = 256
# Luma of red, green and blue [BT.601].
_LUMA: Final = (0.299, 0.587, 0.114)
# Bytes of uint8 pictures at a time; they become four times as many as float32.
_RESIZE_BYTES: Final = 8 << 20
# Images at a time: the table of bins takes eight bytes for each pixel.
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is done to each picture, by itself, when it is read: first grey, then size, then histogram.

    Args:
        grey: whether RGB pictures become grey.
        resize: (height, width) that every picture is brought to, pixels; None leaves the size.
        equalise: whether to equalise the histogram of each (grey) picture.
    """

    grey: bool = False
    resize: tuple[int, int] | None = None
    equalise: bool = False

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What (height, width) or (height, width, 3) becomes.

        Raises:
            ConfigError: RGB pictures would have to be equalised.
        """
        colour = () if self.grey else shape[2:]
        if self.equalise and colour:
            raise ConfigError("data.equalise needs grey images, and these are RGB", "set data.grey = true as well")
        return (*(self.resize or shape[:2]), *colour)

    def apply(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, H, W) or (N, H, W, 3) uint8 -> the same of `shape_after`; raises as that does."""
        self.shape_after(pictures.shape[1:])
        if self.grey and pictures.ndim == 4:
            pictures = to_grey(pictures)
        if self.resize is not None:
            pictures = resize(pictures, self.resize)
        return equalise(pictures) if self.equalise else pictures


def to_grey(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB (N, H, W, 3) uint8 -> grey (N, H, W) uint8: the luma of [BT.601], rounded."""
    result = np.empty(pictures.shape[:3], dtype=np.uint8)
    for start in range(0, len(pictures), _CHUNK):
        chunk = pictures[start : start + _CHUNK].astype(np.float32)
        result[start : start + _CHUNK] = np.rint(sum(weight * chunk[..., i] for i, weight in enumerate(_LUMA)))
    return result


def resize(pictures: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring pictures to a size: bilinear; where they shrink, each pixel is a weighted mean of all that it covers.

    Args:
        pictures: (N, H, W) or (N, H, W, 3) uint8.
        size: (height, width) wanted, pixels.

    Returns:
        (N, height, width) or (N, height, width, 3) uint8; `pictures` itself if it has that size.
    """
    if pictures.shape[1:3] == size:
        return pictures
    result = np.empty((len(pictures), *size, *pictures.shape[3:]), dtype=np.uint8)
    rows = max(1, _RESIZE_BYTES // max(1, int(np.prod(pictures.shape[1:]))))
    for start in range(0, len(pictures), rows):
        chunk = torch.from_numpy(np.ascontiguousarray(pictures[start : start + rows]))
        planes = (chunk[:, None] if chunk.ndim == 3 else chunk.movedim(3, 1)).to(torch.float32)
        sized = functional.interpolate(planes, size, mode="bilinear", antialias=True)
        levels = sized.round_().clamp_(0, _LEVELS - 1).to(torch.uint8)
        result[start : start + rows] = (levels[:, 0] if chunk.ndim == 3 else levels.movedim(1, 3)).numpy()
    return result


def scaled(pictures: Tensor, channels: int) -> Tensor:
    """Pictures as a model's input, on the device where they are.

    Args:
        pictures: (B, H, W) or (B, H, W, 3) uint8.
        channels: 1, or 3: then grey pictures are given three times.

    Returns:
        (B, channels, H, W) float32 in [0, 1].
    """
    planes = pictures[:, None] if pictures.ndim == 3 else pictures.movedim(3, 1)
    return (planes.to(torch.float32) / (_LEVELS - 1)).expand(-1, channels, -1, -1)


def face_grid(boxes: Tensor, cells: int) -> Tensor:
    """Where in the camera's frame a face is, as a mask [GazeCapture].

    Args:
        boxes: (B, 4) whole numbers: x, y, width, height in cells, x and y counted from 1; parts may lie outside.
        cells: along each side of the frame.

    Returns:
        (B, cells, cells) float32: rows from the top; 1 where the face is, else 0.
    """
    x, y, width, height = boxes.to(torch.int64).unbind(1)
    places = torch.arange(1, cells + 1, device=boxes.device)
    rows = (places >= y[:, None]) & (places < (y + height)[:, None])
    columns = (places >= x[:, None]) & (places < (x + width)[:, None])
    return (rows[:, :, None] & columns[:, None, :]).to(torch.float32)


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
