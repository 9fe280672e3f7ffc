"""A small convolutional estimator for crops of the iris, 169,030 parameters at 9x15.

In a crop of 9x15 pixels the gaze is where the iris is, to a fraction of a pixel. Global average pooling, with which
residual networks end, throws that away; here a single halving and a flattened hidden layer keep it. The plan is that
of [LeNet] in [MPIIGaze 2015], with padded 3x3 convolutions in place of 5x5 ones, which would eat up such a crop. It is
this project's own, and no published accuracy belongs to it. There is no normalisation layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last

_FIRST_CHANNELS, _SECOND_CHANNELS, _FEATURES = 16, 32, 128
SMALLEST_SIDE = 8


class SmallCNN(nn.Module):
    """Eye image and head pose in, gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        height, width = (-(-side // 2) for side in image_shape)
        self.first = nn.Conv2d(1, _FIRST_CHANNELS, 3, padding=1)
        self.second = nn.Conv2d(_FIRST_CHANNELS, _SECOND_CHANNELS, 3, padding=1)
        self.features = nn.Linear(_SECOND_CHANNELS * height * width, _FEATURES)
        self.gaze = nn.Linear(_FEATURES + 2, 2)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 1, H, W) float32 in [0, 1].
            pose: (B, 2) float32, head (pitch, yaw), radians.

        Returns:
            (B, 2) float32, gaze (pitch, yaw), radians.
        """
        hidden = functional.relu(self.first(channels_last(image)))
        # Rounding up keeps the last row and column of an image with an odd number of them.
        hidden = functional.relu(functional.max_pool2d(self.second(hidden), 2, ceil_mode=True))
        hidden = functional.relu(self.features(hidden.flatten(1)))
        gaze: Tensor = self.gaze(torch.cat([hidden, pose], dim=1))
        return gaze
