"""A gaze estimator of one's own, as `examples/own_model.toml` names it.

    PYTHONPATH=examples privateyes train examples/own_model.toml

It looks at the eye through a few strided convolutions, tells the two halves of the image apart by keeping a small map
instead of one mean, and lets the head's pose turn the result. docs/own-models.md explains every line that privateyes
asks for.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PoseTurnedNet(nn.Module):
    """Eye image and head pose in, gaze out."""

    # What forward takes, in this order; what it learns; whether pictures are grey (1) or RGB (3); the least side.
    inputs = ("image", "pose")
    labels = ("gaze",)
    channels = 1
    smallest_side = 8

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        channels, height, width = shapes["image"]
        self.eye = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.GroupNorm(8, 16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(16, 32),
            nn.ReLU(),
        )
        size = 32 * -(-height // 4) * -(-width // 4)
        self.features = nn.Linear(size, 64)
        self.gaze = nn.Linear(64 + 2, 2)
        self.turn = nn.Parameter(torch.zeros(2))
        # Predictions begin near straight ahead; the default would begin far away from every gaze.
        nn.init.normal_(self.gaze.weight, std=0.01)
        nn.init.zeros_(self.gaze.bias)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """image (B, 1, H, W) in [0, 1], pose (B, 2) radians -> gaze (B, 2) radians."""
        hidden = torch.relu(self.features(self.eye(image).flatten(1)))
        gaze: Tensor = self.gaze(torch.cat([hidden, pose], dim=1)) + self.turn * pose
        return gaze
