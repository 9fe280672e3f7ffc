"""ResNet-preact-8: a small pre-activation residual network for gaze, 77,046 parameters.

Source: identity mappings of [ResNet v2], in the small form used for MPIIGaze: a 3x3 convolution, three stages of 16, 32
and 64 channels with one block each, global average pooling, and a linear layer that also sees the head's pose.

Normalisation is by groups of channels within each image [GroupNorm], not by batch. Batch normalisation keeps running
means and variances that are no parameters; clients whose images differ would average statistics of different
distributions, and training and testing would use different functions. Group normalisation has the same number of
parameters (a scale and a shift for each channel) and no other state, so the model is its parameter vector. See
docs/decisions/0002-group-normalisation.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_CHANNELS = (16, 32, 64)
# Smaller groups learn faster here; the numbers are in the decision record.
_CHANNELS_PER_GROUP = 2
# Two stages halve the image; two pixels must be left for the 3x3 convolutions of the last one to see a neighbour.
SMALLEST_SIDE = 8


class ResNetPreact8(nn.Module):
    """Grey eye image and head pose in, gaze out. Works for every image size from `SMALLEST_SIDE` up."""

    def __init__(self) -> None:
        super().__init__()
        narrow, middle, wide = _CHANNELS
        self.stem = nn.Conv2d(1, narrow, 3, padding=1, bias=False)
        self.stages = nn.Sequential(Block(narrow, narrow, 1), Block(narrow, middle, 2), Block(middle, wide, 2))
        self.norm = _group_norm(wide)
        self.gaze = nn.Linear(wide + 2, 2)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 1, H, W) float32 in [0, 1].
            pose: (B, 2) float32, head (pitch, yaw), radians.

        Returns:
            (B, 2) float32, gaze (pitch, yaw), radians.
        """
        hidden = self.stages(self.stem(image))
        pooled = functional.relu(self.norm(hidden)).mean(dim=(2, 3))
        gaze: Tensor = self.gaze(torch.cat([pooled, pose], dim=1))
        return gaze


class Block(nn.Module):
    """Basic pre-activation block: twice normalise, rectify and convolve, then add the input [ResNet v2, fig. 4e].

    Where the number of channels changes, a 1x1 convolution of the normalised and rectified input is added instead.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = _group_norm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm2 = _group_norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        changes = channels_in != channels_out
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False) if changes else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        active = functional.relu(self.norm1(hidden))
        residual = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        kept = hidden if self.shortcut is None else self.shortcut(active)
        total: Tensor = kept + residual
        return total


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels)
