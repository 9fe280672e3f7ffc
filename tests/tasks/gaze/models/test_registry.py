from __future__ import annotations

import pytest
import torch
from torch import nn

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.models import MODELS, build_model

SIZES = {"lenet": [(36, 60), (16, 16), (64, 64)], "resnet_preact_8": [(36, 60), (9, 15), (8, 8), (64, 64)]}
MODEL_SIZES = [(name, size) for name, sizes in SIZES.items() for size in sizes]


def _vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_every_model_is_tested_here() -> None:
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize(("name", "size"), MODEL_SIZES)
def test_models_turn_images_and_head_poses_into_finite_gazes(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, size, 0)
    gaze = model(torch.rand(3, 1, *size), torch.zeros(3, 2))
    assert gaze.shape == (3, 2)
    assert gaze.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_determines_every_parameter(name: str) -> None:
    first, again, other = (_vector(build_model(name, (36, 60), seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", MODELS)
def test_building_neither_reads_nor_moves_the_global_generator(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _vector(build_model(name, (36, 60), 7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(_vector(build_model(name, (36, 60), 7)), first)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_parameters_and_holds_no_running_statistics(name: str) -> None:
    model = build_model(name, (36, 60), 0)
    assert list(model.buffers()) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_training_and_evaluation_are_the_same_function(name: str) -> None:
    model = build_model(name, (36, 60), 0)
    image, pose = torch.rand(4, 1, 36, 60), torch.rand(4, 2)
    assert torch.equal(model.train()(image, pose), model.eval()(image, pose))


@pytest.mark.parametrize("name", MODELS)
def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    model = build_model(name, (36, 60), 0)
    image, pose = torch.rand(8, 1, 36, 60), torch.rand(8, 2)
    torch.testing.assert_close(model(image, pose)[:1], model(image[:1], pose[:1]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_takes_part(name: str) -> None:
    model = build_model(name, (36, 60), 0)
    model(torch.rand(8, 1, 36, 60), torch.rand(8, 2)).square().sum().backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", MODELS)
def test_untrained_predictions_are_small(name: str) -> None:
    gaze = build_model(name, (36, 60), 0)(torch.rand(32, 1, 36, 60), 0.2 * torch.randn(32, 2))
    assert gaze.abs().mean() < 1.0


def test_unknown_models_are_refused_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="no model 'resnet_preact8'; did you mean resnet_preact_8"):
        build_model("resnet_preact8", (36, 60), 0)


def test_images_too_small_for_a_model_are_refused_with_what_is_accepted() -> None:
    message = "lenet cannot take 9x15 images: it accepts 16x16 and larger; use larger images or choose resnet_preact_8"
    with pytest.raises(ConfigError, match=message):
        build_model("lenet", (9, 15), 0)
    with pytest.raises(ConfigError, match="resnet_preact_8 cannot take 4x60 images: it accepts 8x8 and larger"):
        build_model("resnet_preact_8", (4, 60), 0)
