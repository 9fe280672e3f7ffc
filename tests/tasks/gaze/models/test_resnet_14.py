from __future__ import annotations

import pytest
import torch
from torch import nn

from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.models.resnet_14 import Block, ResNet14


@pytest.mark.parametrize(("size", "expected"), [((224, 224, 3), 2_883_395), ((64, 64, 3), 2_791_235)])
def test_it_has_the_number_of_parameters_that_its_page_tells(size: tuple[int, ...], expected: int) -> None:
    assert sum(parameter.numel() for parameter in build_model("resnet_14", size, 0).parameters()) == expected


def test_it_is_resnet_18_without_its_last_stage() -> None:
    model = build_model("resnet_14", (64, 64, 3), 0)
    assert isinstance(model, ResNet14)
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    assert [(block.conv1.in_channels, block.conv1.out_channels, block.conv1.stride[0]) for block in blocks] == [
        (64, 64, 1),
        (64, 64, 1),
        (64, 128, 2),
        (128, 128, 1),
        (128, 256, 2),
        (256, 256, 1),
    ]
    # The stem, two for each block, the map, and a shortcut where a stage changes the shape.
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == 1 + 12 + 1 + 2


def test_normalisation_has_as_many_parameters_as_batch_normalisation() -> None:
    for norm in (m for m in build_model("resnet_14", (32, 32, 3), 0).modules() if isinstance(m, nn.GroupNorm)):
        assert [p.shape for p in norm.parameters()] == [p.shape for p in nn.BatchNorm2d(norm.num_channels).parameters()]
        assert norm.num_groups * 2 == norm.num_channels


@pytest.mark.parametrize("size", [(32, 45), (33, 64), (47, 48)])
def test_the_last_layer_fits_any_size(size: tuple[int, int]) -> None:
    assert build_model("resnet_14", size, 0)(torch.rand(1, 3, *size)).shape == (1, 2)
