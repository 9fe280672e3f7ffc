"""GazeNet: the thirteen convolutions of VGG16 for grey eye images, 90,235,586 parameters at 36x60.

Source: [MPIIGaze]: the convolutions of [VGG], with the first two poolings at stride 1 because eye images
are small, then two linear layers of 4096 units, the second of which also sees the head's pose. The first convolution
takes one channel. The original starts from weights trained on ImageNet; nothing is downloaded here, so training starts
from random ones. There is neither normalisation nor dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last

# Channels of the convolutions of each stage, and the stride of the pooling after it.
_STAGES = (((64, 64), 1), ((128, 128), 1), ((256, 256, 256), 2), ((512, 512, 512), 2), ((512, 512, 512), 2))
_FEATURES = 4096
# Two poolings take one pixel each, three halve: 10 -> 9 -> 8 -> 4 -> 2 -> 1.
SMALLEST_SIDE = 10


class GazeNet(nn.Module):
    """Grey eye image and head pose in, gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels, stride in _STAGES:
            for count in channels:
                layers += [nn.Conv2d(before, count, 3, padding=1), nn.ReLU()]
                before = count
            layers.append(nn.MaxPool2d(2, stride))
        self.convolutions = nn.Sequential(*layers)
        height, width = (_side_after_stages(side) for side in image_shape)
        self.first = nn.Linear(before * height * width, _FEATURES)
        self.second = nn.Linear(_FEATURES + 2, _FEATURES)
        self.gaze = nn.Linear(_FEATURES, 2)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 1, H, W) float32 in [0, 1].
            pose: (B, 2) float32, head (pitch, yaw), radians.

        Returns:
            (B, 2) float32, gaze (pitch, yaw), radians.
        """
        hidden = functional.relu(self.first(self.convolutions(channels_last(image)).flatten(1)))
        hidden = functional.relu(self.second(torch.cat([hidden, pose], dim=1)))
        gaze: Tensor = self.gaze(hidden)
        return gaze


def _side_after_stages(side: int) -> int:
    for _, stride in _STAGES:
        side = (side - 2) // stride + 1
    return side
