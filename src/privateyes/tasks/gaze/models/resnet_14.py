"""ResNet-14: a residual network for full faces with spatial weights, 2,883,395 parameters at 224x224.

Source: [ResNet] with 18 layers and without its last stage, a 1x1 convolution for the spatial weights [FullFace], and a
linear layer of the weighted features: the plan of hysts/pytorch_mpiigaze, and the estimator that [PrivatEyes] attacks
with DualView. At 64x64 it has 2,791,235 parameters. Normalisation is by groups of two channels [GroupNorm] where the
originals have batch normalisation, with as many parameters; docs/decisions/0002-group-normalisation.md says why. The
originals start from weights trained on ImageNet; nothing is downloaded here, so training starts from random ones.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last
from privateyes.tasks.gaze.models.spatial_weights import SpatialWeights

_CHANNELS = (64, 128, 256)
_CHANNELS_PER_GROUP = 2
_HALVINGS = 4
# Two pixels are left where the last stage begins.
SMALLEST_SIDE = 32


class ResNet14(nn.Module):
    """Face image in, gaze or point of gaze out.

    Args:
        image_shape: (height, width), each at least `SMALLEST_SIDE`.
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        narrow, middle, wide = _CHANNELS
        self.stem = nn.Conv2d(3, narrow, 7, stride=2, padding=3, bias=False)
        self.norm = _group_norm(narrow)
        self.stages = nn.Sequential(
            Block(narrow, narrow, 1),
            Block(narrow, narrow, 1),
            Block(narrow, middle, 2),
            Block(middle, middle, 1),
            Block(middle, wide, 2),
            Block(wide, wide, 1),
        )
        self.spatial_weights = SpatialWeights(wide, hidden=0)
        height, width = (-(-side // 2**_HALVINGS) for side in image_shape)
        self.gaze = nn.Linear(wide * height * width, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Predict gaze.

        Args:
            image: (B, 3, H, W) float32 in [0, 1], RGB.

        Returns:
            (B, 2) float32: gaze (pitch, yaw) in radians, or the point of gaze (x, y) in cm.
        """
        hidden = functional.relu(self.norm(self.stem(channels_last(image))))
        hidden = self.stages(functional.max_pool2d(hidden, 3, 2, padding=1))
        gaze: Tensor = self.gaze(self.spatial_weights(hidden).flatten(1))
        return gaze


class Block(nn.Module):
    """Basic block: convolve and normalise twice, add the input, rectify [ResNet, figure 5, left].

    Where the shape changes, a normalised 1x1 convolution of the input is added instead.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _group_norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = _group_norm(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            reshape = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(reshape, _group_norm(channels_out))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        residual = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(hidden)))))
        return functional.relu(self.shortcut(hidden) + residual)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // _CHANNELS_PER_GROUP, channels)
