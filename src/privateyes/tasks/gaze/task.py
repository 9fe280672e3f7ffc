"""Gaze estimation as a learning task: one person of an HDF5 file is one owner of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from privateyes.errors import DataError
from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.metrics import mean_angular_error_deg
from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.preprocess import equalise, to_model_input
from privateyes.training.task import Examples
from privateyes.training.vector import refuse_running_statistics

# Applied to (pitch, yaw) in radians, mean over both angles and the batch.
_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"l1": functional.l1_loss, "l2": functional.mse_loss}
)


@dataclass(frozen=True, slots=True)
class GazeTask:
    """`training.task.LearningTask` for gaze; holds names and numbers only, so that workers can be sent a copy.

    Args:
        path: HDF5 file in the layout of `tasks.gaze.dataset`.
        model: a name in `tasks.gaze.models`.
        image_shape: (height, width) in pixels.
        loss: "l1" or "l2" on the angles in radians.
        equalise: whether to equalise each image's histogram first.
        image_limit: at most that many images per person, evenly spaced over the person's rows; None for all.
    """

    path: Path
    model: str
    image_shape: tuple[int, int]
    loss: Literal["l1", "l2"] = "l1"
    equalise: bool = False
    image_limit: int | None = None

    def build_model(self, seed: int) -> nn.Module:
        """The estimator; its initial parameters depend on `seed` only.

        Raises:
            ConfigError: the model is unknown, or does not take images of this size.
            UsageError: the model keeps running statistics.
        """
        model = build_model(self.model, self.image_shape, seed)
        refuse_running_statistics(model)
        return model

    def examples(self, owner: str) -> Examples:
        """Images uint8 (N, H, W) and poses float32 (N, 2) as inputs; gaze float32 (N, 2) radians as targets.

        Raises:
            DataError: the person is missing from the file or breaks a rule of the layout.
        """
        person = self._person(owner)
        images = equalise(person.image) if self.equalise else person.image
        inputs = (torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(person.pose.copy()))
        return Examples(inputs, torch.from_numpy(person.gaze.copy()))

    def gaze_of(self, owner: str) -> NDArray[np.float32]:
        """A person's gaze, float32 (N, 2) radians; raises as `examples` does."""
        return self._person(owner).gaze

    @property
    def bytes_per_sample(self) -> int:
        """Size of one image with its labels: a byte per pixel, four float32."""
        height, width = self.image_shape
        return height * width + 4 * 4

    def _person(self, owner: str) -> Person:
        person = thin_out(load_persons(self.path, [owner])[0], self.image_limit)
        if person.image.shape[1:] != self.image_shape:
            theirs, ours = (f"{height}x{width}" for height, width in (person.image.shape[1:], self.image_shape))
            problem = f"{self.path}: person {owner} has {theirs} images where the model was built for {ours}"
            raise DataError(problem, "use data of one image size throughout")
        return person

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Gaze (B, 2) in radians, from images uint8 (B, H, W) and poses (B, 2)."""
        images, poses = inputs
        predicted: Tensor = model(torch.from_numpy(to_model_input(images.numpy())), poses)
        return predicted

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over the batch, on angles in radians."""
        return _LOSSES[self.loss](predicted, targets)

    def error(self, predicted: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        """Mean angular error in degrees."""
        return mean_angular_error_deg(predicted, targets)


def thin_out(person: Person, image_limit: int | None) -> Person:
    """At most `image_limit` rows of a person, evenly spaced (recordings are in order of time); None keeps all."""
    count = len(person)
    if image_limit is None or count <= image_limit:
        return person
    rows = np.arange(image_limit) * count // image_limit
    return Person(person.name, person.image[rows], person.pose[rows], person.gaze[rows])
