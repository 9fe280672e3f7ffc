"""What a learning task must provide, so that training and engines know nothing about gaze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.errors import DataError
from privateyes.training.metric import Metric


@dataclass(frozen=True, slots=True)
class Examples:
    """Samples of one owner, as stored: conversion to the model's input happens per batch, to save memory.

    Args:
        inputs: tensors whose first axis is the sample, such as images uint8 (N, H, W) and poses float32 (N, 2).
        targets: labels, float32 (N, ...).
    """

    inputs: tuple[Tensor, ...] = field(repr=False)
    targets: Tensor = field(repr=False)

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    def rows(self, index: Tensor | slice) -> Examples:
        """The samples at `index`, int64 (B,) or a slice."""
        if isinstance(index, slice):
            return Examples(tuple(tensor[index] for tensor in self.inputs), self.targets[index])
        # A third of the time of tensor[index] with images.
        inputs = tuple(tensor.index_select(0, index) for tensor in self.inputs)
        return Examples(inputs, self.targets.index_select(0, index))

    def to(self, device: torch.device) -> Examples:
        """The same samples on a device; themselves if they are there."""
        if self.targets.device == device:
            return self
        return Examples(tuple(tensor.to(device) for tensor in self.inputs), self.targets.to(device))


def pool_examples(parts: Sequence[Examples]) -> Examples:
    """All samples of `parts`, one part after the other.

    Raises:
        DataError: there is no part.
    """
    if not parts:
        raise DataError("no samples to pool", "name at least one person")
    if len(parts) == 1:
        return parts[0]
    inputs = tuple(torch.cat(tensors) for tensors in zip(*(part.inputs for part in parts), strict=True))
    return Examples(inputs, torch.cat([part.targets for part in parts]))


class LearningTask(Protocol):
    """A picklable description of data, model, loss and metrics; worker processes receive a copy of it.

    `predict` and `loss_of` must work on whichever device their arguments are; `examples` and `augment` stay on the CPU.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """How good predictions are; ways are compared by the first."""
        ...

    def build_model(self, seed: int) -> nn.Module:
        """A fresh model whose initial parameters depend on `seed` only."""
        ...

    def examples(self, owner: str) -> Examples:
        """The samples of one person, device or site."""
        ...

    def augment(self, batch: Examples, generator: torch.Generator) -> Examples:  # noqa: ARG002 (changes nothing)
        """A training batch, changed at random in ways that leave its labels right; all draws from `generator`.

        Tasks that do nothing of the kind inherit this, or return the batch as it is.
        """
        return batch

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The model's output (B, ...) for a batch of `Examples.inputs`."""
        ...

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over the batch, a scalar."""
        ...


class TaskOnData(LearningTask, Protocol):
    """A learning task on one data file, with what an experiment asks beside what its workers do."""

    def on(self, data: Path) -> Self:
        """The same on another data file, with everything that is read from it."""
        ...

    def unlimited(self) -> Self:
        """The same with every sample of everyone, whatever limit there is."""
        ...

    def first_model(self, seed: int) -> nn.Module:
        """As `build_model`, for the start of a run: what would fail in the middle of training is tried out first."""
        ...

    def labels_of(self, owner: str) -> NDArray[np.float32]:
        """A person's labels, float32 (N, ...), as the targets of `examples`."""
        ...

    def pictures_of(self, examples: Examples) -> NDArray[np.uint8]:
        """The picture that people are shown of each sample: grey, uint8 (N, H, W)."""
        ...

    @property
    def bytes_per_sample(self) -> int:
        """What leaves a device for each sample where samples are pooled: its inputs and its label."""
        ...
