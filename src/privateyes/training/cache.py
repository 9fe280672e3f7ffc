"""Samples that a process keeps in memory from one job to the next, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import torch

from privateyes.federation.partition import Share
from privateyes.training.task import Dataset, Examples, LearningTask, Subset, pool_examples

HELD_BYTES: Final = 128 << 20
"""What each worker holds, at most, unless it is told otherwise: fifteen persons with 3000 eyes each, and some more."""


class ExamplesCache:
    """Owners whose samples fit into memory are read once and held; of all others, rows are read batch by batch.

    Those who were not asked for longest make room. Labels of owners who are not held stay in memory: they are small.

    Args:
        task: where samples come from.
        most_bytes: how much memory the samples that are held take, at most.
    """

    def __init__(self, task: LearningTask, most_bytes: int = HELD_BYTES) -> None:
        self._task, self._most_bytes = task, most_bytes
        self._held: OrderedDict[str, Examples] = OrderedDict()
        self._in_files: dict[str, Dataset] = {}

    def samples_of(self, owners: Sequence[str | Share]) -> Dataset:
        """The samples of a job: of an owner's name all, of a `Share` some of its person's.

        Raises:
            DataError: they cannot be read.
        """
        job = {owner if isinstance(owner, str) else owner.person for owner in owners}
        for name in job & self._held.keys():
            self._held.move_to_end(name)
        parts: list[Dataset] = []
        for owner in owners:
            if isinstance(owner, str):
                parts.append(self._all_of(owner, job))
            else:
                parts.append(Subset(self._all_of(owner.person, job), torch.from_numpy(owner.rows)))
        return pool_examples(parts)

    def _all_of(self, name: str, job: set[str]) -> Dataset:
        if name in self._held:
            return self._held[name]
        dataset = self._in_files.get(name)
        if dataset is None:
            dataset = self._task.examples(name)
        if not isinstance(dataset, Examples):
            self._in_files[name] = dataset
        if self._make_room(dataset.nbytes, job):
            self._held[name] = dataset = dataset.rows(slice(None))
        return dataset

    def _make_room(self, wanted: int, job: set[str]) -> bool:
        """Whether there is room now. Nobody of a job makes room for another of it: its rows come in any order, so that
        they would be read again and again."""
        free = self._most_bytes - sum(examples.nbytes for examples in self._held.values())
        leaving: list[str] = []
        for name, examples in self._held.items():
            if free >= wanted:
                break
            if name not in job:
                leaving.append(name)
                free += examples.nbytes
        if free < wanted:
            return False
        for name in leaving:
            del self._held[name]
        return True
