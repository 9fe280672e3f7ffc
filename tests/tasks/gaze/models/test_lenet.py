from __future__ import annotations

import torch

from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.models.lenet import LeNet


def test_it_has_the_published_number_of_parameters() -> None:
    convolutions = (20 * 25 + 20) + (50 * 20 * 25 + 50)
    linear = (50 * 6 * 12 * 500 + 500) + (502 * 2 + 2)
    assert convolutions + linear == 1_827_076
    assert sum(parameter.numel() for parameter in build_model("lenet", (36, 60), 0).parameters()) == 1_827_076


def test_the_faster_memory_layout_changes_no_prediction() -> None:
    model = build_model("lenet", (36, 60), 0)
    assert isinstance(model, LeNet)
    image, pose = torch.rand(4, 1, 36, 60), torch.rand(4, 2)
    hidden = torch.max_pool2d(model.first(image), 2).relu()
    hidden = torch.max_pool2d(model.second(hidden), 2).relu()
    hidden = model.features(hidden.flatten(1)).relu()
    expected = model.gaze(torch.cat([hidden, pose], dim=1))
    torch.testing.assert_close(model(image, pose), expected, atol=1e-6, rtol=1e-5)


def test_head_pose_reaches_the_prediction_linearly() -> None:
    model = build_model("lenet", (36, 60), 0)
    image = torch.rand(1, 1, 36, 60)
    none, once, twice = (model(image, factor * torch.tensor([[0.1, -0.2]])) for factor in (0, 1, 2))
    torch.testing.assert_close(twice - none, 2 * (once - none))
