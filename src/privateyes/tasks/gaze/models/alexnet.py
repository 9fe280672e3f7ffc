"""An AlexNet-style estimator for full faces with spatial weights, 196,604,483 parameters at 448x448.

Source: [FullFace], in the form that hysts/pytorch_mpiigaze gives it: the five convolutions of [One weird
trick], three 1x1 convolutions for the spatial weights, and three linear layers with dropout. The first linear layer
holds nine tenths of the parameters and depends on the image's size: 57,143,875 in all at 224x224. The originals start
from weights trained on ImageNet. Nothing is downloaded here, so training starts from random ones, and the published
errors are no promise. There is no normalisation layer.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last
from privateyes.tasks.gaze.models.spatial_weights import SpatialWeights

_CHANNELS = 256
_FEATURES = 4096
_DROPOUT = 0.5
# (63 + 4 - 11) / 4 + 1 = 15 -> 7 -> 3 -> 1: the last pooling has one window.
SMALLEST_SIDE = 63


class AlexNet(nn.Module):
    """Face image in, gaze or point of gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.spatial_weights = SpatialWeights(_CHANNELS, hidden=2)
        height, width = (_side_after_convolutions(side) for side in image_shape)
        self.first = nn.Linear(_CHANNELS * height * width, _FEATURES)
        self.second = nn.Linear(_FEATURES, _FEATURES)
        self.gaze = nn.Linear(_FEATURES, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 3, H, W) float32 in [0, 1], RGB.

        Returns:
            (B, 2) float32: gaze (pitch, yaw) in radians, or the point of gaze (x, y) in cm.
        """
        hidden = self.spatial_weights(self.convolutions(channels_last(image))).flatten(1)
        hidden = functional.dropout(functional.relu(self.first(hidden)), _DROPOUT, self.training)
        hidden = functional.dropout(functional.relu(self.second(hidden)), _DROPOUT, self.training)
        gaze: Tensor = self.gaze(hidden)
        return gaze


def _side_after_convolutions(side: int) -> int:
    side = (side + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
