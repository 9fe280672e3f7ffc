"""iTracker: point of gaze from two eyes, the face and where it is in the frame, 6,286,274 parameters at 224x224.

Source: [GazeCapture], in the form of the authors' PyTorch code (CSAILVision/GazeCapture): four convolutions with local
response normalisation for each picture, the same weights for both eyes, and linear layers that join the eyes, the face
and the face grid. Local response normalisation has no parameters and looks at one image only [AlexNet]. The label is
the point of gaze in cm from the camera; angles are possible, too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from privateyes.tasks.gaze.models.channels_last import channels_last

_CHANNELS = 64
_GRID_CELLS = 25 * 25
# Of the response normalisation.
_NEIGHBOURS, _ALPHA, _BETA = 5, 1e-4, 0.75
# (35 - 11) / 4 + 1 = 7 -> 3 -> 1: the second pooling has one window.
SMALLEST_SIDE = 35


class ITracker(nn.Module):
    """Face, both eyes and face grid in, point of gaze out.

    Args:
        face_shape: (height, width) of the face, each at least `SMALLEST_SIDE`.
        eye_shape: (height, width) of both eyes, each at least `SMALLEST_SIDE`.
    """

    def __init__(self, face_shape: tuple[int, int], eye_shape: tuple[int, int]) -> None:
        super().__init__()
        self.eye = _convolutions()
        self.face = _convolutions()
        self.eyes_features = nn.Linear(2 * _features_of(eye_shape), 128)
        self.face_features = nn.Sequential(
            nn.Linear(_features_of(face_shape), 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
        )
        self.grid_features = nn.Sequential(nn.Linear(_GRID_CELLS, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU())
        self.joined = nn.Linear(128 + 64 + 128, 128)
        self.gaze = nn.Linear(128, 2)

    def forward(self, image: Tensor, left: Tensor, right: Tensor, grid: Tensor) -> Tensor:
        """Predict the point of gaze.

        Args:
            image: (B, 3, H, W) float32 in [0, 1], RGB, the face.
            left: (B, 3, h, w) float32 in [0, 1], RGB, the left eye.
            right: the same of the right eye.
            grid: (B, 25, 25) float32, 1 in the cells of the frame that the face covers, else 0.

        Returns:
            (B, 2) float32: the point of gaze (x, y) in cm, or gaze (pitch, yaw) in radians.
        """
        # Both eyes in one go: the weights are the same.
        both = self.eye(channels_last(torch.cat([left, right]))).flatten(1)
        eyes = functional.relu(self.eyes_features(torch.cat([both[: len(left)], both[len(left) :]], dim=1)))
        face = self.face_features(self.face(channels_last(image)).flatten(1))
        where = self.grid_features(grid.flatten(1))
        point: Tensor = self.gaze(functional.relu(self.joined(torch.cat([eyes, face, where], dim=1))))
        return point


class ResponseNorm(nn.Module):
    """Divides by (1 + 1e-4 m) ** 0.75, m the mean square over five neighbouring channels [AlexNet, section 3.3].

    `nn.LocalResponseNorm(5)` is the same function by way of a pooling that has no deterministic gradient on CUDA.
    """

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        wide = hidden.float()  # squares overflow in half precision
        squares = functional.pad(wide * wide, (0, 0, 0, 0, _NEIGHBOURS // 2, _NEIGHBOURS // 2))
        total = squares.narrow(1, 0, hidden.shape[1])
        for place in range(1, _NEIGHBOURS):
            total = total + squares.narrow(1, place, hidden.shape[1])
        return (wide / (1.0 + _ALPHA / _NEIGHBOURS * total) ** _BETA).to(hidden.dtype)


def _convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        ResponseNorm(),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        ResponseNorm(),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, _CHANNELS, 1),
        nn.ReLU(),
    )


def _features_of(shape: tuple[int, int]) -> int:
    height, width = (_side_after_convolutions(side) for side in shape)
    return _CHANNELS * height * width


def _side_after_convolutions(side: int) -> int:
    side = (side - 11) // 4 + 1
    for _ in range(2):
        side = (side - 3) // 2 + 1
    return side
