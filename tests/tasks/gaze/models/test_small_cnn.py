from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.models.small_cnn import SmallCNN


def test_it_has_as_many_parameters_as_its_layers_add_up_to() -> None:
    convolutions = (16 * 9 + 16) + (32 * 16 * 9 + 32)
    linear = (32 * 5 * 8 * 128 + 128) + (130 * 2 + 2)
    assert sum(parameter.numel() for parameter in build_model("small_cnn", (9, 15), 0).parameters()) == (
        convolutions + linear
    )


def test_the_faster_memory_layout_changes_no_prediction() -> None:
    model = build_model("small_cnn", (9, 15), 0)
    assert isinstance(model, SmallCNN)
    image, pose = torch.rand(4, 1, 9, 15), torch.rand(4, 2)
    hidden = model.second(model.first(image).relu())
    hidden = functional.max_pool2d(hidden, 2, ceil_mode=True).relu()
    hidden = model.features(hidden.flatten(1)).relu()
    expected = model.gaze(torch.cat([hidden, pose], dim=1))
    torch.testing.assert_close(model(image, pose), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("row", range(9))
def test_every_row_of_an_odd_image_is_seen(row: int) -> None:
    model = build_model("small_cnn", (9, 15), 0)
    image = torch.rand(1, 1, 9, 15)
    changed = image.clone()
    changed[0, 0, row, -1] = 1 - changed[0, 0, row, -1]
    assert not torch.equal(model(image, torch.zeros(1, 2)), model(changed, torch.zeros(1, 2)))


def test_it_tells_where_a_spot_is_to_a_fraction_of_a_pixel() -> None:
    """What it is for: position, which global average pooling does not keep."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand((256, 2), generator=generator) * torch.tensor([4.0, 8.0]) + torch.tensor([2.0, 3.0])
    rows, columns = torch.arange(9.0)[None, :, None], torch.arange(15.0)[None, None, :]
    distance = (rows - centre[:, 0, None, None]) ** 2 + (columns - centre[:, 1, None, None]) ** 2
    images, targets = torch.exp(-distance / 6)[:, None], (centre - centre.mean(dim=0)) / 10
    model = build_model("small_cnn", (9, 15), 0)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(60):
        optimiser.zero_grad()
        functional.l1_loss(model(images[:192], torch.zeros(192, 2)), targets[:192]).backward()
        optimiser.step()
    error = 10 * (model(images[192:], torch.zeros(64, 2)) - targets[192:]).abs().mean()
    assert error < 0.5  # pixels; the mean predictor is off by 1.5
