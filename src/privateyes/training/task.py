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


class Dataset(Protocol):
    """Samples of one owner, or of several. Pictures may lie in a file: they are read when a batch asks for them."""

    def __len__(self) -> int: ...

    @property
    def targets(self) -> Tensor:
        """All labels, float32 (N, ...). They are small, and in memory."""
        ...

    @property
    def nbytes(self) -> int:
        """How much memory all rows take together."""
        ...

    def rows(self, index: Tensor | slice) -> Examples:
        """The samples at `index`, int64 (B,) or a slice, in memory and in this order.

        Raises:
            DataError: they cannot be read, or their file changed since it was opened.
        """
        ...


@dataclass(frozen=True, slots=True)
class Examples:
    """A data set that is in memory, as stored: conversion to the model's input happens per batch, to save memory.

    Args:
        inputs: tensors whose first axis is the sample, such as images uint8 (N, H, W) and poses float32 (N, 2).
        targets: labels, float32 (N, ...).
    """

    inputs: tuple[Tensor, ...] = field(repr=False)
    targets: Tensor = field(repr=False)

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    @property
    def nbytes(self) -> int:
        """How much memory all rows take together."""
        return sum(tensor.nbytes for tensor in (*self.inputs, self.targets))

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


@dataclass(frozen=True, slots=True)
class Subset:
    """Some rows of a data set, read from it when a batch asks for them.

    Args:
        whole: the data set.
        index: which rows, int64 (N,), in this order.
    """

    whole: Dataset = field(repr=False)
    index: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def targets(self) -> Tensor:
        """All labels."""
        return self.whole.targets.index_select(0, self.index)

    @property
    def nbytes(self) -> int:
        """How much memory all rows take together."""
        return self.whole.nbytes * len(self.index) // max(1, len(self.whole))

    def rows(self, index: Tensor | slice) -> Examples:
        """The samples at `index`; see `Dataset.rows`."""
        return self.whole.rows(self.index[index])


@dataclass(frozen=True, slots=True)
class PooledDataset:
    """Data sets one after the other; nothing is copied before a batch asks for it.

    Args:
        parts: two or more of them.
    """

    parts: tuple[Dataset, ...] = field(repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def targets(self) -> Tensor:
        """All labels."""
        return torch.cat([part.targets for part in self.parts])

    @property
    def nbytes(self) -> int:
        """How much memory all rows take together."""
        return sum(part.nbytes for part in self.parts)

    def rows(self, index: Tensor | slice) -> Examples:
        """The samples at `index`; see `Dataset.rows`. Each part is asked once, for all of its rows."""
        wanted = torch.arange(len(self))[index]
        ends = torch.tensor([len(part) for part in self.parts]).cumsum(0)
        owner = torch.bucketize(wanted, ends, right=True)
        found: list[Examples] = []
        places: list[Tensor] = []
        for number, part in enumerate(self.parts):
            place = torch.nonzero(owner == number).squeeze(1)
            if len(place):
                places.append(place)
                found.append(part.rows(wanted[place] - (ends[number] - len(part))))
        # Where each row of the index stands among those that the parts gave.
        back = torch.argsort(torch.cat(places)) if places else wanted
        joined = found or [self.parts[0].rows(slice(0, 0))]
        inputs = zip(*(part.inputs for part in joined), strict=True)
        targets = torch.cat([part.targets for part in joined])
        return Examples(tuple(torch.cat(tensors) for tensors in inputs), targets).rows(back)


def pool_examples(parts: Sequence[Dataset]) -> Dataset:
    """All samples of `parts`, one part after the other.

    Raises:
        DataError: there is no part.
    """
    if not parts:
        raise DataError("no samples to pool", "name at least one person")
    return parts[0] if len(parts) == 1 else PooledDataset(tuple(parts))


class LearningTask(Protocol):
    """A picklable description of data, model, loss and metrics; worker processes receive a copy of it.

    `predict` and `loss_of` must work on whichever device their arguments are; `examples` and `augment` stay on the CPU.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """How good predictions are; methods are compared by the first."""
        ...

    def build_model(self, seed: int) -> nn.Module:
        """A fresh model whose initial parameters depend on `seed` only."""
        ...

    def examples(self, owner: str) -> Dataset:
        """The samples of one person, device or site. Where they are many, pictures are best left in their file."""
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
