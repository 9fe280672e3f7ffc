"""Batches of a data set, several of which are read at a time.

Where pictures lie in a compressed file, reading one row costs as much as reading all that were packed with it. So the
rows of the next batches are read together, in the file's order, and then handed out in theirs: no result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import torch
from torch import Tensor

from privateyes.training.task import Dataset, Examples

READ_AHEAD_BYTES: Final = 16 << 20
"""So much memory the rows that are read together take, at most; one batch may be larger."""


def read_batches(dataset: Dataset, batches: Iterable[Tensor]) -> Iterator[Examples]:
    """The samples at each of `batches`, int64 (B,), one after the other.

    Raises:
        DataError: they cannot be read; see `Dataset.rows`.
    """
    if isinstance(dataset, Examples):
        for batch in batches:
            yield dataset.rows(batch)
        return
    waiting: list[Tensor] = []
    most = _rows_ahead(dataset)
    for batch in batches:
        if waiting and sum(map(len, waiting)) + len(batch) > most:
            yield from _together(dataset, waiting)
            waiting = []
        waiting.append(batch)
    if waiting:
        yield from _together(dataset, waiting)


def read_in_order(dataset: Dataset, size: int) -> Iterator[Examples]:
    """All samples in their order, `size` at a time; the last batch may be smaller.

    Raises:
        DataError: they cannot be read; see `Dataset.rows`.
    """
    ahead = size * max(1, _rows_ahead(dataset) // size)
    for first in range(0, len(dataset), ahead):
        block = dataset.rows(slice(first, first + ahead))
        for start in range(0, len(block), size):
            yield block.rows(slice(start, start + size))


def _rows_ahead(dataset: Dataset) -> int:
    return READ_AHEAD_BYTES * len(dataset) // max(1, dataset.nbytes)


def _together(dataset: Dataset, batches: list[Tensor]) -> Iterator[Examples]:
    block, start = dataset.rows(torch.cat(batches)), 0
    for batch in batches:
        yield block.rows(slice(start, start + len(batch)))
        start += len(batch)
