from __future__ import annotations

import torch
from torch import nn

from privateyes.tasks.gaze.models.gazenet import GazeNet


def test_it_has_the_thirteen_convolutions_of_vgg16_for_one_channel() -> None:
    with torch.device("meta"):
        model = GazeNet((36, 60))
    convolutions = [layer for layer in model.convolutions if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 13
    # 14,714,688 with three channels [calc]; the first layer has two thirds of its weights less.
    assert sum(parameter.numel() for parameter in model.convolutions.parameters()) == 14_714_688 - 2 * 9 * 64
    assert sum(parameter.numel() for parameter in model.parameters()) == 90_235_586


def test_the_first_two_poolings_keep_the_size_of_a_small_eye() -> None:
    with torch.device("meta"):
        model = GazeNet((36, 60))
        features = model.convolutions(torch.empty(1, 1, 36, 60))
    assert features.shape == (1, 512, 4, 7)
    assert [layer.stride for layer in model.convolutions if isinstance(layer, nn.MaxPool2d)] == [1, 1, 2, 2, 2]
