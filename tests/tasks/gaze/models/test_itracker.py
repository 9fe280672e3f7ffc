from __future__ import annotations

import torch
from torch import nn

from privateyes.tasks.gaze.models.itracker import ITracker, ResponseNorm


def _small() -> tuple[ITracker, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    inputs = {
        "image": torch.rand(2, 3, 60, 64),
        "left": torch.rand(2, 3, 36, 40),
        "right": torch.rand(2, 3, 36, 40),
        "grid": torch.rand(2, 25, 25).round(),
    }
    return ITracker((60, 64), (36, 40)), inputs


def test_it_has_the_parameters_of_its_authors_code() -> None:
    with torch.device("meta"):
        model = ITracker((224, 224), (224, 224))
    picture = (3 * 96 * 121 + 96) + (48 * 256 * 25 + 256) + (256 * 384 * 9 + 384) + (384 * 64 + 64)
    eyes, face = 2 * 9216 * 128 + 128, (9216 * 128 + 128) + (128 * 64 + 64)
    grid, joined = (625 * 256 + 256) + (256 * 128 + 128), (320 * 128 + 128) + (128 * 2 + 2)
    assert 2 * picture + eyes + face + grid + joined == 6_286_274
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_286_274


def test_both_eyes_pass_through_the_same_weights_each_on_its_side() -> None:
    model, inputs = _small()
    left, right = (model.eye(inputs[side]).flatten(1) for side in ("left", "right"))
    eyes = model.eyes_features(torch.cat([left, right], dim=1)).relu()
    face = model.face_features(model.face(inputs["image"]).flatten(1))
    where = model.grid_features(inputs["grid"].flatten(1))
    expected = model.gaze(model.joined(torch.cat([eyes, face, where], dim=1)).relu())
    torch.testing.assert_close(model(**inputs), expected, atol=1e-6, rtol=1e-5)
    swapped = {**inputs, "left": inputs["right"], "right": inputs["left"]}
    assert not torch.allclose(model(**swapped), expected, atol=1e-6)


def test_response_normalisation_is_torchs_with_its_gradient() -> None:
    hidden = (100 * torch.randn(2, 7, 3, 4)).requires_grad_()
    expected = nn.LocalResponseNorm(5)(hidden)
    found = ResponseNorm()(hidden)
    torch.testing.assert_close(found, expected)
    (first,) = torch.autograd.grad(found.square().sum(), hidden)
    (second,) = torch.autograd.grad(expected.square().sum(), hidden)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_the_place_of_the_face_in_the_frame_matters() -> None:
    model, inputs = _small()
    assert not torch.equal(model(**inputs), model(**{**inputs, "grid": inputs["grid"].flip(2)}))


def test_response_normalisation_does_not_overflow_in_half_precision() -> None:
    hidden = torch.full((1, 5, 2, 2), 1000.0, dtype=torch.float16)
    found = ResponseNorm()(hidden)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), ResponseNorm()(hidden.float()), rtol=1e-2, atol=0.0)
    assert found.min() > 0
