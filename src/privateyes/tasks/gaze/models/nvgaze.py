"""A small estimator for near-eye infrared images, 157,755 parameters at 127x127.

Source: [NVGaze] and the code that its authors released: six 3x3 convolutions of stride 2, without padding and without
pooling, whose channels grow by half from layer to layer, dropout of whole channels after each, and one linear layer.
The later versions' instance normalisation is left out.
"""

from __future__ import annotations

from torch import Tensor, nn

from privateyes.tasks.gaze.models.channels_last import channels_last

_CHANNELS = (16, 24, 36, 54, 81, 122)
_DROPOUT = 0.1
# 127 -> 63 -> 31 -> 15 -> 7 -> 3 -> 1
SMALLEST_SIDE = 127


class NVGazeNet(nn.Module):
    """Grey near-eye image in, gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        height, width = image_shape
        for before, after in zip((1, *_CHANNELS), _CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2), nn.ReLU(), nn.Dropout2d(_DROPOUT)]
            height, width = (height - 1) // 2, (width - 1) // 2
        self.convolutions = nn.Sequential(*layers)
        self.gaze = nn.Linear(_CHANNELS[-1] * height * width, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 1, H, W) float32 in [0, 1].

        Returns:
            (B, 2) float32, gaze (pitch, yaw), radians.
        """
        gaze: Tensor = self.gaze(self.convolutions(channels_last(image)).flatten(1))
        return gaze
