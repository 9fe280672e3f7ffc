"""Learning tasks of a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.training.metric import Metric
from privateyes.training.task import Examples, LearningTask


def _apart(predicted: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
    return float(np.abs(predicted - targets).mean())


APART = Metric("apart", "error", "errors", "difference", "", "", "mean target", _apart)


@dataclass(frozen=True)
class LineTask(LearningTask):
    """Learns targets = inputs @ (1, -2) + 0.5; `dropout` makes the model draw random numbers."""

    dropout: float = 0.0

    def build_model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Dropout(self.dropout), nn.Linear(2, 1))

    def examples(self, owner: str) -> Examples:
        inputs = torch.randn(50, 2, generator=torch.Generator().manual_seed(len(owner)))
        return Examples((inputs,), inputs @ torch.tensor([[1.0], [-2.0]]) + 0.5)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (APART,)

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        predicted: Tensor = model(inputs[0])
        return predicted

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(predicted, targets)


@dataclass(frozen=True)
class PatchTask(LineTask):
    """Images 9x15 through convolution, normalisation, dropout and a linear layer; several tensors of odd sizes."""

    def build_model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(1, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Dropout(self.dropout), nn.Conv2d(6, 5, 3, 2),
                nn.ReLU(), nn.Flatten(), nn.Linear(90, 2),
            )  # fmt: skip

    def examples(self, owner: str) -> Examples:
        generator = torch.Generator().manual_seed(len(owner))
        images = torch.rand(37, 1, 9, 15, generator=generator)
        return Examples((images,), torch.stack([images[:, 0, 2, 3], images[:, 0, 5, 9]], dim=1))


@pytest.fixture
def task() -> LineTask:
    return LineTask()


@pytest.fixture
def task_with_dropout() -> LineTask:
    return LineTask(dropout=0.5)


@pytest.fixture
def patch_task() -> PatchTask:
    return PatchTask(dropout=0.25)
