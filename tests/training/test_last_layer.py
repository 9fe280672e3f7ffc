from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from privateyes.errors import UsageError
from privateyes.training.last_layer import feature_products
from privateyes.training.task import Examples
from privateyes.training.vector import load_vector, vector_from_model


@dataclass(frozen=True)
class Layers:
    """A task of three numbers and a given model."""

    build: Callable[[], nn.Module]

    def build_model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build()

    def predict(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        predicted: torch.Tensor = model(inputs[0])
        return predicted


class Inverted(nn.Module):
    """Linear layers that are registered in another order than they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.first = nn.Linear(3, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        predicted: torch.Tensor = self.last(torch.relu(self.first(inputs)))
        return predicted


@pytest.fixture
def examples() -> Examples:
    generator = torch.Generator().manual_seed(4)
    return Examples((torch.randn(70, 3, generator=generator),), torch.zeros(70, 2))


def products(build: Callable[[], nn.Module], examples: Examples, chosen: list[int]) -> np.ndarray:
    task: Any = Layers(build)
    return feature_products(task, vector_from_model(task.build_model(0)), examples, np.array(chosen))


def test_products_are_those_of_what_the_last_layer_sees_and_of_a_constant(examples: Examples) -> None:
    task: Any = Layers(Inverted)
    model = task.build_model(0)
    load_vector(model, vector_from_model(task.build_model(0)))
    with torch.no_grad():
        seen = torch.relu(model.first(examples.inputs[0])).double().numpy()
    features = np.column_stack([seen, np.ones(70)])
    chosen = [5, 5, 69, 0]
    assert products(Inverted, examples, chosen) == pytest.approx(features @ features[chosen].T)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh()),
        lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 3)),
    ],
)
def test_a_model_that_does_not_end_in_a_linear_layer_is_refused(
    build: Callable[[], nn.Module], examples: Examples
) -> None:
    with pytest.raises(UsageError, match="does not end in a linear layer"):
        products(build, examples, [0])
