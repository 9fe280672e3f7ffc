from __future__ import annotations

import pytest
import torch
from torch import nn

from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.models.nvgaze import NVGazeNet


def test_its_channels_grow_by_half_and_nothing_is_padded_or_pooled() -> None:
    layers = list(NVGazeNet((127, 127)).convolutions)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16, 24, 36, 54, 81, 122]
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in convolutions} == {((3, 3), (2, 2), (0, 0))}
    assert not any(isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) for layer in layers)


@pytest.mark.parametrize(("size", "features"), [((127, 127), 122), ((191, 255), 122 * 2 * 3), ((130, 160), 122)])
def test_the_last_layer_fits_any_size(size: tuple[int, int], features: int) -> None:
    model = build_model("nvgaze", size, 0)
    assert isinstance(model, NVGazeNet)
    assert model.gaze.in_features == features
    assert model(torch.rand(1, 1, *size)).shape == (1, 2)
