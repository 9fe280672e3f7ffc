"""A learning task whose models are built once and copied after that."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from privateyes.training.metric import Metric
from privateyes.training.parent import leave_with_parent
from privateyes.training.task import Dataset, Examples, LearningTask


class Blueprint(LearningTask):
    """The same task as `task`, for a process that needs its model again and again.

    Every local round and every prediction starts from a model whose parameters are overwritten at once; drawing them
    anew takes up to a tenth of a short round. Copies share nothing, so no state passes from one round to the next.

    Such a process is mostly a worker. Its blueprint is the first thing that it makes, and from then on it ends with the
    process that started it (`training.parent`).
    """

    def __init__(self, task: LearningTask) -> None:
        leave_with_parent()
        self._task = task
        self._built: tuple[int, nn.Module] | None = None

    def build_model(self, seed: int) -> nn.Module:
        """As the task's; equal to a fresh one, and nobody else's."""
        if self._built is None or self._built[0] != seed:
            self._built = (seed, self._task.build_model(seed))
        try:
            return copy.deepcopy(self._built[1])
        except (RuntimeError, TypeError):  # some modules hold what torch or Python will not copy
            return self._task.build_model(seed)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """As the task's."""
        return self._task.metrics

    def examples(self, owner: str) -> Dataset:
        """As the task's."""
        return self._task.examples(owner)

    def augment(self, batch: Examples, generator: torch.Generator) -> Examples:
        """As the task's."""
        return self._task.augment(batch, generator)

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """As the task's."""
        return self._task.predict(model, inputs)

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """As the task's."""
        return self._task.loss_of(predicted, targets)
