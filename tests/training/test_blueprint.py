from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from privateyes.training.blueprint import Blueprint
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.vector import vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import Examples, LearningTask

SETTINGS = LocalSettings(
    seed=1, rounds=4, local_epochs=1, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=1e-3, schedule="constant",
)  # fmt: skip


class Drifting(nn.Module):
    """Keeps a running mean of what it sees and a list, and lets both into what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)
        self.register_buffer("mean", torch.zeros(2))
        self.seen: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(len(inputs))
        self.mean += 0.1 * inputs.mean(dim=0)
        predicted: Tensor = self.line(inputs + self.mean + 0.01 * len(self.seen))
        return predicted


@dataclass
class Counted:
    """Wraps a task and counts how often a model is built; with `module`, builds that one."""

    task: LearningTask
    module: type[nn.Module] | None = None
    builds: list[int] = field(default_factory=list)

    def build_model(self, seed: int) -> nn.Module:
        self.builds.append(seed)
        if self.module is None:
            return self.task.build_model(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.module()

    def __getattr__(self, name: str) -> object:
        return getattr(self.task, name)


def test_a_model_is_built_once_for_each_seed_and_equals_a_fresh_one(patch_task: LearningTask) -> None:
    counted = Counted(patch_task)
    blueprint = Blueprint(counted)  # type: ignore[arg-type]
    vectors = [vector_from_model(blueprint.build_model(seed)) for seed in (3, 3, 4, 4)]
    assert counted.builds == [3, 4]
    for seed, vector in zip((3, 3, 4, 4), vectors, strict=True):
        np.testing.assert_array_equal(vector, vector_from_model(patch_task.build_model(seed)))


def test_clients_trained_in_either_order_end_in_the_same_bytes_whatever_their_models_remember(
    task: LearningTask,
) -> None:
    blueprint = Blueprint(Counted(task, Drifting))  # type: ignore[arg-type]
    start = np.array([0.3, -0.2, 0.1], dtype=np.float32)

    def rounds(order: str) -> dict[str, bytes]:
        found = {}
        for client in order:
            examples: Examples = task.examples(client * (ord(client) - 96))
            found[client] = train_locally(blueprint, SETTINGS, examples, Assignment(client, 1), start).delta.tobytes()
        return found

    assert rounds("abc") == rounds("cba") == rounds("bacab")


def test_training_is_the_same_with_and_without_it(patch_task: LearningTask) -> None:
    start = vector_from_model(patch_task.build_model(7))
    results = [
        train_locally(given, SETTINGS, patch_task.examples("a"), Assignment("a", 0), start)
        for given in (patch_task, Blueprint(patch_task))
    ]
    assert results[0].delta.tobytes() == results[1].delta.tobytes()
    assert results[0].loss == results[1].loss


def test_a_module_that_cannot_be_copied_is_built_anew(task: LearningTask) -> None:
    class Uncopyable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(2, 1)
            self.doubled = self.line.weight * 2  # a tensor with a history, which torch refuses to copy

        def forward(self, inputs: Tensor) -> Tensor:
            predicted: Tensor = self.line(inputs)
            return predicted

    counted = Counted(task, Uncopyable)
    blueprint = Blueprint(counted)  # type: ignore[arg-type]
    first, second = blueprint.build_model(0), blueprint.build_model(0)
    assert first is not second
    assert len(counted.builds) == 3
