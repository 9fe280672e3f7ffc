"""Spatial weights: a map, learned from the features themselves, of where in a face to look for gaze [FullFace].

The map multiplies all channels alike. Its gradient is divided by their number, as in [FullFace]: each
channel contributes to it, and the sum would drown the rest. The map begins near 1 everywhere, so that training starts
from the network without it; a map that began at random would have switched off half of the face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_INITIAL_SCALE = 1e-3


class SpatialWeights(nn.Module):
    """1x1 convolutions, each rectified, the last of which has one channel: the map.

    Args:
        channels: of the features.
        hidden: further 1x1 convolutions of `channels` channels before the last one.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(hidden))
        self.weight_map = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features -> the same, weighted."""
        hidden = features
        for convolution in self.hidden:
            hidden = functional.relu(convolution(hidden))
        weights = functional.relu(self.weight_map(hidden))
        # The value of `weights`, and a part of its gradient.
        share = weights / features.shape[1]
        weighted: Tensor = features * (share + (weights - share).detach())
        return weighted

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Give the last convolution its initial values; the others have those of every convolution."""
        self.weight_map.weight.normal_(0.0, _INITIAL_SCALE, generator=generator)
        if self.weight_map.bias is not None:
            self.weight_map.bias.fill_(1.0)
