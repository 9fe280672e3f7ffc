"""A LeNet-style gaze estimator: two convolutions and two linear layers, 1,827,076 parameters at 36x60.

Source: [LeNet] in the gaze estimator of [MPIIGaze 2015], where the head's pose joins the features before the last
layer. It has no normalisation layer, so nothing but its parameters takes part in federated averaging.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last

_KERNEL = 5
_FIRST_CHANNELS, _SECOND_CHANNELS, _FEATURES = 20, 50, 500
# Each of the two stages cuts off 4 pixels and then halves: 16 -> 12 -> 6 -> 2 -> 1.
SMALLEST_SIDE = 16


class LeNet(nn.Module):
    """Grey eye image and head pose in, gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        height, width = (_side_after_stages(side) for side in image_shape)
        self.first = nn.Conv2d(1, _FIRST_CHANNELS, _KERNEL)
        self.second = nn.Conv2d(_FIRST_CHANNELS, _SECOND_CHANNELS, _KERNEL)
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
        hidden = functional.max_pool2d(self.first(channels_last(image)), 2).relu()
        hidden = functional.max_pool2d(self.second(hidden), 2).relu()
        hidden = functional.relu(self.features(hidden.flatten(1)))
        gaze: Tensor = self.gaze(torch.cat([hidden, pose], dim=1))
        return gaze


def _side_after_stages(side: int) -> int:
    for _ in range(2):
        side = (side - _KERNEL + 1) // 2
    return side
