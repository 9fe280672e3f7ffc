"""FedProx against its definition: h(w) = F(w) + mu/2 |w - w_t|^2 ([FedProx], equation 2), in plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.federation.seeds import derive_seed
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.vector import vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask

SETTINGS = LocalSettings(
    seed=1, rounds=10, local_epochs=3, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=0.02, schedule="constant", proximal_mu=0.7,
)  # fmt: skip
STEPS = 3 * 7
CLIENT, ROUND = "a", 4


def reference(task: LearningTask, settings: LocalSettings, vector: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """The parameters (w1, w2, bias) after every step of SGD on the mean squared error of a line, in float64."""
    examples = task.examples(CLIENT)
    features = np.c_[examples.inputs[0].numpy().astype(np.float64), np.ones(50)]
    targets = examples.targets.numpy()[:, 0].astype(np.float64)
    order = torch.Generator().manual_seed(derive_seed(settings.seed, "client", CLIENT, ROUND))
    start = vector.astype(np.float64)
    current, velocity, path = start.copy(), np.zeros(3), []
    for _ in range(int(settings.local_epochs)):
        permutation = torch.randperm(50, generator=order).numpy()
        for begin in range(0, 50, settings.batch_size):
            rows = permutation[begin : begin + settings.batch_size]
            residual = features[rows] @ current - targets[rows]
            gradient = 2 * features[rows].T @ residual / len(rows)
            gradient += settings.proximal_mu * (current - start)
            gradient += settings.weight_decay * current
            velocity = settings.momentum * velocity + gradient
            current = current - settings.learning_rate * velocity
            path.append(current)
    return path


def trained(
    task: LearningTask, settings: LocalSettings, proximal: bool, work: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    start = vector_from_model(task.build_model(3))[-3:]
    assignment = Assignment(CLIENT, ROUND, proximal, work)
    return start, start + train_locally(task, settings, task.examples(CLIENT), assignment, start).delta


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
def test_every_step_is_that_of_the_reference(task: LearningTask, momentum: float, weight_decay: float) -> None:
    settings = replace(SETTINGS, momentum=momentum, weight_decay=weight_decay)
    for step in range(1, STEPS + 1):
        start, found = trained(task, settings, proximal=True, work=(step - 0.5) / STEPS)
        path = reference(task, settings, start)
        assert len(path) == STEPS
        np.testing.assert_allclose(found, path[step - 1], atol=2e-6)


def test_the_reference_tells_the_term_from_none(task: LearningTask) -> None:
    start, without = trained(task, SETTINGS, proximal=False)
    assert np.abs(without - reference(task, SETTINGS, start)[-1]).max() > 1e-3
    np.testing.assert_allclose(without, reference(task, replace(SETTINGS, proximal_mu=0.0), start)[-1], atol=2e-6)


def test_mu_zero_is_federated_averaging_to_the_byte(patch_task: LearningTask) -> None:
    start = vector_from_model(patch_task.build_model(3))
    rounds = [
        train_locally(
            patch_task, replace(SETTINGS, proximal_mu=mu), patch_task.examples("a"), Assignment("a", 0, proximal), start
        ).delta.tobytes()
        for mu, proximal in ((0.0, True), (0.0, False), (0.7, False), (0.7, True))
    ]
    assert rounds[0] == rounds[1] == rounds[2] != rounds[3]


def test_a_large_mu_holds_the_client_near_where_it_started(task: LearningTask) -> None:
    distances = []
    for mu in (0.0, 1.0, 10.0):
        start, found = trained(task, replace(SETTINGS, proximal_mu=mu, weight_decay=0.0, momentum=0.0), proximal=True)
        distances.append(float(np.linalg.norm(found - start)))
    assert distances[0] > distances[1] > 3 * distances[2] > 0


def test_the_loss_that_is_reported_has_no_proximal_term(task: LearningTask) -> None:
    """The first of two full steps is FedAvg's, as the term has no gradient there; after it the term is not zero."""
    settings = replace(SETTINGS, local_epochs=2, batch_size=50)
    losses = [
        train_locally(
            task, settings, task.examples("a"), Assignment("a", 0, proximal), vector_from_model(task.build_model(3))
        ).loss
        for proximal in (True, False)
    ]
    assert losses[0] == losses[1]


def test_frozen_parameters_feel_no_pull(task: LearningTask) -> None:
    """A frozen layer in front, far from zero: the rest trains as the reference does without it."""

    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 1.0]), requires_grad=False)
            self.line = nn.Linear(2, 1)

        def forward(self, inputs: Tensor) -> Tensor:
            predicted: Tensor = self.line(inputs * self.scale)
            return predicted

    built: list[Doubling] = []

    @dataclass(frozen=True)
    class Frozen(type(task)):  # type: ignore[misc]
        def build_model(self, seed: int) -> nn.Module:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                built.append(Doubling())
                return built[-1]

    start, found = trained(Frozen(), SETTINGS, proximal=True)
    np.testing.assert_allclose(found, reference(task, SETTINGS, start)[-1], atol=2e-6)
    assert built[-1].scale.tolist() == [1.0, 1.0]
