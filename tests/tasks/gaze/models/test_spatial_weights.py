from __future__ import annotations

import torch

from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.models.resnet_14 import ResNet14
from privateyes.tasks.gaze.models.spatial_weights import SpatialWeights


def _weights(channels: int = 6, hidden: int = 1) -> SpatialWeights:
    torch.manual_seed(0)
    return SpatialWeights(channels, hidden)


def test_one_weight_for_each_place_multiplies_all_channels() -> None:
    weights, features = _weights(), torch.rand(2, 6, 3, 4)
    ratio = weights(features) / features
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4, atol=1e-6)
    expected = weights.weight_map(weights.hidden[0](features).relu()).relu()
    torch.testing.assert_close(ratio[:, :1], expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_the_map_is_divided_by_the_number_of_channels() -> None:
    weights, features = _weights(hidden=0), torch.rand(2, 6, 3, 4)
    weights.weight_map.bias.data.fill_(1.0)
    weights(features).sum().backward()
    assert weights.weight_map.bias.grad is not None
    found = weights.weight_map.bias.grad.clone()
    weights.zero_grad()
    (features * weights.weight_map(features).relu()).sum().backward()
    torch.testing.assert_close(found, weights.weight_map.bias.grad / 6)


def test_the_gradient_of_the_features_through_the_product_is_whole() -> None:
    weights, features = _weights(hidden=0), torch.rand(1, 6, 2, 2, requires_grad=True)
    weights.weight_map.weight.data.zero_()
    weights.weight_map.bias.data.fill_(0.5)
    weights(features).sum().backward()
    torch.testing.assert_close(features.grad, torch.full_like(features, 0.5))


def test_training_begins_with_a_map_that_is_near_one() -> None:
    model = build_model("resnet_14", (64, 64, 3), 3)
    assert isinstance(model, ResNet14)
    seen = model.spatial_weights.weight_map(torch.rand(1, 256, 4, 4)).relu()
    assert ((seen > 0.9) & (seen < 1.1)).all()
