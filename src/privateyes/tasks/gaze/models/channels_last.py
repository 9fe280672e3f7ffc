"""Images with their channels last in memory, which convolutions on a processor read faster; the numbers stay."""

from __future__ import annotations

from torch import Tensor


def channels_last(images: Tensor) -> Tensor:
    """(B, C, H, W) -> the same values in the same shape, laid out as (B, H, W, C).

    Torch's own `contiguous(memory_format=...)` leaves images of one channel as they are, because both layouts then hold
    the same bytes; but it is by the strides that a convolution is chosen, so these are set here.
    """
    if images.shape[1] == 1:
        return images[:, 0, :, :, None].movedim(-1, 1)
    return images.movedim(1, -1).contiguous().movedim(-1, 1)
