"""One person's samples: labels in memory, pictures in their file until a batch needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.reader import FileReader
from privateyes.training.task import Examples

# Bytes of pictures as they are stored, which are read at a time and then brought to what the model sees.
_BLOCK_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True, eq=False)
class StoredPictures:
    """Pictures of one kind, in a file.

    Args:
        reader: of the file.
        person: whose.
        part: "image", "left" or "right".
        kept: which of the person's rows are used, int64 (N,).
        pictures: what is done to each picture after it was read.
        shape: of a picture in the file, (height, width) or (height, width, 3).
    """

    reader: FileReader
    person: str
    part: str
    kept: NDArray[np.int64] = field(repr=False)
    pictures: Pictures
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """How much memory all of them take."""
        return len(self.kept) * math.prod(self.pictures.shape_after(self.shape))

    def read(self, index: NDArray[np.int64]) -> Tensor:
        """The pictures at `index`, (B,) positions among those that are used, uint8 (B, ...) as a model gets them."""
        rows = self.kept[index]
        found = np.empty((len(rows), *self.pictures.shape_after(self.shape)), dtype=np.uint8)
        step = max(1, _BLOCK_BYTES // math.prod(self.shape))
        for start in range(0, len(rows), step):
            block = self.reader.pictures(self.person, self.part, rows[start : start + step])
            found[start : start + step] = self.pictures.apply(block)
        return torch.from_numpy(found)


@dataclass(frozen=True, slots=True, eq=False)
class PersonDataset:
    """`training.task.Dataset` of one person.

    Args:
        inputs: the model's, in its order: what is in memory as tensors (N, ...), and pictures.
        targets: labels, float32 (N, 2).
    """

    inputs: tuple[Tensor | StoredPictures, ...] = field(repr=False)
    targets: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def nbytes(self) -> int:
        """How much memory all rows take together."""
        return sum(part.nbytes for part in (*self.inputs, self.targets))

    def rows(self, index: Tensor | slice) -> Examples:
        """The samples at `index`; see `training.task.Dataset.rows`."""
        # In memory first, so that an index that is out of bounds is an error before anything is read.
        targets = self.targets[index]
        places = np.arange(len(self))[index if isinstance(index, slice) else index.numpy()]
        inputs = tuple(part[index] if isinstance(part, Tensor) else part.read(places) for part in self.inputs)
        return Examples(inputs, targets)
