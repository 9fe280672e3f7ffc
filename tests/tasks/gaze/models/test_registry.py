from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from privateyes.errors import ConfigError, UsageError
from privateyes.tasks.gaze.models import MODELS, Offer, build_model, count_parameters, find_kind, require_fit
from privateyes.tasks.gaze.models.registry import _initialise

Size = tuple[int, ...]

# What each is tested at: images, and eye crops of half the side where it takes some.
SIZES: dict[str, list[Size]] = {
    "small_cnn": [(9, 15), (8, 8), (36, 60)],
    "lenet": [(36, 60), (16, 16), (64, 64)],
    "resnet_preact_8": [(36, 60), (9, 15), (8, 8), (64, 64)],
    "gazenet": [(10, 12)],
    "alexnet": [(63, 64, 3), (63, 63)],
    "resnet_14": [(64, 64, 3), (32, 45), (64, 64)],
    "itracker": [(48, 50, 3), (35, 35)],
    "nvgaze": [(127, 127), (191, 255)],
}
MODEL_SIZES = [(name, size) for name, sizes in SIZES.items() for size in sizes]
SMALL = {name: sizes[0] for name, sizes in SIZES.items()}
# [calc] in hysts/pytorch_mpiigaze and the authors' own code, at the usual size.
PUBLISHED = {"lenet": 1_827_076, "resnet_preact_8": 77_046, "resnet_14": 2_883_395}
WITH_DROPOUT = {"alexnet", "nvgaze"}
NONE_OF = {"left": "person p has none", "right": "person p has none", "grid": "person p has none"}


def eyes_of(size: Size) -> Size:
    return (max(size[0] // 2, 35), max(size[1] // 2, 36), *size[2:])


def built(name: str, seed: int = 0, size: Size | None = None) -> nn.Module:
    size = size or SMALL[name]
    return build_model(name, size, seed, eyes_of(size) if "left" in MODELS[name].inputs else None)


def batch(name: str, rows: int, size: Size | None = None) -> list[Tensor]:
    size = size or SMALL[name]
    generator = torch.Generator().manual_seed(5)
    shapes = MODELS[name].shapes(size, eyes_of(size))
    return [torch.rand((rows, *shape), generator=generator) for shape in shapes.values()]


def vector(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_every_model_is_tested_here() -> None:
    assert set(SIZES) == set(MODELS)


@pytest.mark.parametrize(("name", "size"), MODEL_SIZES)
def test_models_turn_a_batch_into_finite_pairs(name: str, size: Size) -> None:
    predicted = built(name, size=size)(*batch(name, 3, size))
    assert predicted.shape == (3, 2)
    assert predicted.dtype == torch.float32
    assert predicted.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_side_is_accepted_and_one_pixel_less_is_not(name: str) -> None:
    side = MODELS[name].smallest_side
    least = (side, side)
    eyes = least if "left" in MODELS[name].inputs else None
    shapes = MODELS[name].shapes(least, eyes)
    assert build_model(name, least, 0, eyes)(*(torch.rand(2, *shape) for shape in shapes.values())).shape == (2, 2)
    with pytest.raises(ConfigError, match=rf"cannot take {side - 1}x{side} images: it accepts {side}x{side}"):
        build_model(name, (side - 1, side), 0, eyes)


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items())
def test_parameters_are_as_many_as_published(name: str, expected: int) -> None:
    assert count_parameters(MODELS[name]) == expected


@pytest.mark.parametrize("name", MODELS)
def test_the_docstring_tells_the_number_of_parameters(name: str) -> None:
    module = __import__(MODELS[name].construct(_tiny_shapes(name)).__module__, fromlist=["x"])
    assert f"{count_parameters(MODELS[name]):,} parameters" in " ".join(str(module.__doc__).split())


def _tiny_shapes(name: str) -> dict[str, tuple[int, ...]]:
    side = MODELS[name].smallest_side
    return dict(MODELS[name].shapes((side, side), (side, side)))


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_determines_every_parameter(name: str) -> None:
    first, again, other = (vector(built(name, seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", MODELS)
def test_building_neither_reads_nor_moves_the_global_generator(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = vector(built(name, 7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(vector(built(name, 7)), first)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_parameters_and_holds_no_running_statistics(name: str) -> None:
    model = built(name)
    assert list(model.buffers()) == []
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITH_DROPOUT])
def test_training_and_evaluation_are_the_same_function(name: str) -> None:
    model, inputs = built(name), batch(name, 4)
    assert torch.equal(model.train()(*inputs), model.eval()(*inputs))


@pytest.mark.parametrize("name", sorted(WITH_DROPOUT))
def test_dropout_is_off_in_evaluation_and_seeded_in_training(name: str) -> None:
    model, inputs = built(name), batch(name, 4)
    assert torch.equal(model.eval()(*inputs), model(*inputs))
    model.train()
    torch.manual_seed(1)
    first, other = model(*inputs), model(*inputs)
    torch.manual_seed(1)
    assert torch.equal(first, model(*inputs))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", MODELS)
def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    model, inputs = built(name).eval(), batch(name, 4)
    alone = model(*(tensor[:1] for tensor in inputs))
    torch.testing.assert_close(model(*inputs)[:1], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_takes_part(name: str) -> None:
    model = built(name)
    model(*batch(name, 4)).square().sum().backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", MODELS)
def test_every_input_reaches_the_prediction(name: str) -> None:
    model, inputs = built(name).eval(), batch(name, 2)
    before = model(*inputs)
    for index, which in enumerate(MODELS[name].inputs):
        changed = [1 - tensor if place == index else tensor for place, tensor in enumerate(inputs)]
        assert not torch.equal(model(*changed), before), which


@pytest.mark.parametrize("name", MODELS)
def test_untrained_predictions_are_small(name: str) -> None:
    assert built(name)(*batch(name, 8)).abs().mean() < 1.0


def test_untrained_predictions_of_whole_faces_are_small() -> None:
    model = built("resnet_14", size=(224, 224, 3))
    assert model(torch.rand(2, 3, 224, 224)).abs().mean() < 1.0


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("gazenet", "alexnet")])
def test_a_few_steps_lower_the_loss(name: str) -> None:
    _lowers_the_loss(name, steps=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gazenet", "alexnet"])
def test_a_few_steps_lower_the_loss_of_a_large_model(name: str) -> None:
    _lowers_the_loss(name, steps=10)


def _lowers_the_loss(name: str, steps: int) -> None:
    model, inputs = built(name), batch(name, 8)
    targets = 0.3 * torch.randn((8, 2), generator=torch.Generator().manual_seed(2))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3 if name not in ("gazenet", "alexnet") else 1e-4)
    torch.manual_seed(0)
    model.eval()  # without dropout the loss of so few steps is no matter of luck
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.l1_loss(model(*inputs), targets)
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_unknown_models_are_refused_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="no model 'resnet_preact8'; did you mean resnet_preact_8"):
        build_model("resnet_preact8", (36, 60), 0)


def test_images_too_small_for_a_model_are_refused_with_what_is_accepted() -> None:
    message = (
        "lenet cannot take 9x15 images: it accepts 16x16 and larger; use larger images or choose small_cnn or resnet"
    )
    with pytest.raises(ConfigError, match=message):
        build_model("lenet", (9, 15), 0)
    with pytest.raises(
        ConfigError, match="resnet_preact_8 cannot take 4x60 images: it accepts 8x8 and larger; use larger"
    ):
        build_model("resnet_preact_8", (4, 60), 0)


@pytest.mark.parametrize(
    ("name", "offer", "message"),
    [
        (
            "lenet",
            Offer((64, 64, 3), None, NONE_OF, "gaze"),
            "model lenet takes grey images, and these images are RGB; "
            "set data.grey = true or choose alexnet or resnet_14",
        ),
        (
            "lenet",
            Offer((64, 64), None, {**NONE_OF, "pose": "person p07 of x.h5 has none"}, "gaze"),
            "model lenet needs pose, and person p07 of x.h5 has none; "
            "add pose to the data or choose alexnet or resnet_14",
        ),
        (
            "itracker",
            Offer((64, 64, 3), None, NONE_OF, "point"),
            "model itracker needs left, and person p has none; add left to the data or choose alexnet or resnet_14",
        ),
        (
            "itracker",
            Offer((64, 64, 3), (20, 30, 3), {}, "point"),
            "model itracker cannot take 20x30 crops of the left eye: it accepts 35x35 and larger",
        ),
        (
            "small_cnn",
            Offer((64, 64), None, NONE_OF, "point"),
            'model small_cnn learns gaze angles, and data.label = "point" asks for points of gaze; '
            'set data.label = "gaze", '
            "if the data have that, or choose alexnet or resnet_14",
        ),
    ],
)
def test_data_that_a_model_cannot_use_are_refused_with_the_models_that_can(
    name: str, offer: Offer, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        require_fit(name, offer)


def test_data_that_fit_are_let_through() -> None:
    assert require_fit("lenet", Offer((36, 60), None, NONE_OF, "gaze")) is find_kind("lenet")
    assert require_fit("itracker", Offer((64, 64), (36, 36), {"pose": "nobody"}, "point")) is find_kind("itracker")


def test_where_nothing_fits_no_other_model_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"use larger images$"):
        require_fit("lenet", Offer((4, 4), None, NONE_OF, "gaze"))


def test_a_layer_without_known_initial_values_is_no_random_memory() -> None:
    with pytest.raises(UsageError, match=r"no initial values are known for 0.weight"):
        _initialise(nn.Sequential(nn.PReLU()), torch.Generator())


def test_every_source_is_in_the_list_of_papers() -> None:
    listed = (Path(__file__).parents[4] / "docs/papers.md").read_text(encoding="utf-8")
    for name, kind in MODELS.items():
        assert not kind.source or f"| [{kind.source}] |" in listed, name
        documentation = str(__import__(kind.construct(_tiny_shapes(name)).__module__, fromlist=["x"]).__doc__)
        for tag in re.findall(r"\[([A-Z][^\]]*)\]", " ".join(documentation.split())):
            if tag != "calc":
                assert f"| [{tag.split(',')[0]}] |" in listed, f"{name}: {tag}"
