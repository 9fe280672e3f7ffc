from __future__ import annotations

import pytest
import torch

from privateyes.tasks.gaze.models.alexnet import AlexNet


@pytest.mark.parametrize(("side", "left", "expected"), [(448, 13, 196_604_483), (224, 6, 57_143_875)])
def test_its_first_linear_layer_holds_most_of_its_parameters(side: int, left: int, expected: int) -> None:
    with torch.device("meta"):
        model = AlexNet((side, side))
    assert model.first.in_features == 256 * left * left
    convolutions = sum(parameter.numel() for parameter in model.convolutions.parameters())
    assert convolutions == 2_469_696  # those of torchvision's alexnet
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_the_convolutions_end_with_the_size_that_the_linear_layer_expects() -> None:
    model = AlexNet((95, 130))
    assert model.convolutions(torch.rand(1, 3, 95, 130)).flatten(1).shape[1] == model.first.in_features
