from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.metrics import mean_angular_error_deg
from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.preprocess import to_model_input


@pytest.mark.parametrize("size", [(36, 60), (9, 15)])
def test_it_has_the_published_number_of_parameters_at_every_size(size: tuple[int, int]) -> None:
    model = build_model("resnet_preact_8", size, 0)
    assert sum(parameter.numel() for parameter in model.parameters()) == 77_046


def test_it_has_one_block_a_stage_and_shortcuts_where_channels_change() -> None:
    modules = list(build_model("resnet_preact_8", (36, 60), 0).modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert sum(module.kernel_size == (3, 3) for module in convolutions) == 7
    shortcuts = [module for module in convolutions if module.kernel_size == (1, 1)]
    assert [(module.in_channels, module.out_channels, module.stride) for module in shortcuts] == [
        (16, 32, (2, 2)),
        (32, 64, (2, 2)),
    ]


def test_normalisation_is_by_group_and_has_as_many_parameters_as_batch_normalisation() -> None:
    modules = list(build_model("resnet_preact_8", (36, 60), 0).modules())
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)
    for norm in (module for module in modules if isinstance(module, nn.GroupNorm)):
        batch = nn.BatchNorm2d(norm.num_channels)
        assert [p.shape for p in norm.parameters()] == [p.shape for p in batch.parameters()]


@pytest.mark.realdata
def test_it_learns_the_gaze_of_a_person_never_trained_on(data_folder: Path) -> None:
    persons = load_persons(data_folder / "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5", ["p00", "p01", "p02", "p06"])
    tested, *trained = (_tensors(person) for person in persons)
    images, poses, gazes = (torch.cat(parts) for parts in zip(*trained, strict=True))
    model = build_model("resnet_preact_8", (9, 15), 0)
    _train(model, images, poses, gazes, steps=300)
    with torch.no_grad():
        error = mean_angular_error_deg(model(tested[0], tested[1]).numpy(), tested[2].numpy())
    of_the_mean = mean_angular_error_deg(gazes.mean(dim=0).numpy(), tested[2].numpy())
    assert of_the_mean == pytest.approx(8.4, abs=0.2)
    assert error < 0.9 * of_the_mean


def test_it_fits_a_drawn_person(draw_person: Callable[..., Person]) -> None:
    person = draw_person("a", 256, (9, 15))
    images, poses, gazes = _tensors(person)
    model = build_model("resnet_preact_8", (9, 15), 0)
    before = (model(images, poses) - gazes).abs().mean()
    _train(model, images, poses, gazes, steps=100)
    assert (model(images, poses) - gazes).abs().mean() < 0.3 * before


def _tensors(person: Person) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    image, pose, gaze = (torch.from_numpy(array) for array in (to_model_input(person.image), person.pose, person.gaze))
    return image, pose, gaze


def _train(model: nn.Module, images: torch.Tensor, poses: torch.Tensor, gazes: torch.Tensor, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (32,), generator=generator)
        optimiser.zero_grad()
        torch.nn.functional.l1_loss(model(images[rows], poses[rows]), gazes[rows]).backward()
        optimiser.step()
        schedule.step()
