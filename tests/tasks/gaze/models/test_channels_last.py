from __future__ import annotations

import pytest
import torch

from privateyes.tasks.gaze.models.channels_last import channels_last


@pytest.mark.parametrize("channels", [1, 3])
def test_values_and_shape_stay_and_channels_lie_side_by_side(channels: int) -> None:
    images = torch.rand(2, channels, 4, 5)
    changed = channels_last(images)
    assert torch.equal(changed, images)
    assert changed.stride() == (4 * 5 * channels, 1, 5 * channels, channels)


def test_channels_that_share_their_memory_are_written_out() -> None:
    images = torch.rand(2, 1, 4, 5).expand(-1, 3, -1, -1)
    assert torch.equal(channels_last(images), images)
    assert channels_last(images).stride(1) == 1
