from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privateyes.federation.partition import Share
from privateyes.training.cache import ExamplesCache
from privateyes.training.task import Dataset, Examples

ROWS = 10
PERSON_BYTES = ROWS * (8 + 8)


@dataclass
class InFile:
    """Ten samples that are the owner's number and their own, and a note of how many rows were read at a time."""

    owner: str
    read: list[tuple[str, int]]

    def __len__(self) -> int:
        return ROWS

    @property
    def targets(self) -> Tensor:
        return torch.arange(ROWS) + 100 * int(self.owner)

    @property
    def nbytes(self) -> int:
        return PERSON_BYTES

    def rows(self, index: Tensor | slice) -> Examples:
        rows = self.targets[index]
        self.read.append((self.owner, len(rows)))
        return Examples((rows,), rows)


class Files:
    """A task of which nothing is asked but samples; its owners are "1", "2", ..."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.read: list[tuple[str, int]] = []

    def examples(self, owner: str) -> Dataset:
        self.opened.append(owner)
        return InFile(owner, self.read)


def cache_of(task: Any, persons: int) -> ExamplesCache:
    return ExamplesCache(task, persons * PERSON_BYTES)


def test_who_fits_is_read_once() -> None:
    files = Files()
    cache = cache_of(files, 2)
    for owner in ("1", "2", "1", "2", "2"):
        assert cache.samples_of([owner]).rows(slice(2)).targets.tolist() == [100 * int(owner), 100 * int(owner) + 1]
    assert files.opened == ["1", "2"]
    assert files.read == [("1", ROWS), ("2", ROWS)]


def test_who_was_not_asked_for_longest_makes_room() -> None:
    files = Files()
    cache = cache_of(files, 2)
    for owner in ("1", "2", "1", "3", "1", "2"):
        cache.samples_of([owner])
    assert files.read == [(owner, ROWS) for owner in ("1", "2", "3", "2")]
    assert files.opened == ["1", "2", "3"], "labels are known already"


def test_of_who_does_not_fit_only_what_is_asked_for_is_read_and_nobody_makes_room() -> None:
    files = Files()
    cache = cache_of(files, 2)
    cache.samples_of(["1"])
    cache._most_bytes = PERSON_BYTES - 1
    large = cache.samples_of(["2"])
    assert large.rows(torch.tensor([7, 0])).targets.tolist() == [207, 200]
    assert large.rows(torch.tensor([1])).targets.tolist() == [201]
    assert files.read == [("1", ROWS), ("2", 2), ("2", 1)]
    cache.samples_of(["1"]).rows(slice(None))
    assert len(files.read) == 3


def test_a_pool_is_held_as_far_as_it_fits_and_its_members_do_not_displace_each_other() -> None:
    files = Files()
    cache = cache_of(files, 2)
    cache.samples_of(["4"])
    for _ in range(3):
        pool = cache.samples_of(["1", "2", "3"])
        assert pool.rows(torch.tensor([25, 3, 14, 24])).targets.tolist() == [305, 103, 204, 304]
    assert files.read == [("4", ROWS), ("1", ROWS), ("2", ROWS), ("3", 2), ("3", 2), ("3", 2)]


def test_shares_are_taken_of_persons_who_are_held_once() -> None:
    files = Files()
    cache = cache_of(files, 2)
    first = cache.samples_of([Share("1", np.array([9, 2])), "2"])
    second = cache.samples_of([Share("1", np.array([0]))])
    assert len(first) == 12
    assert first.rows(torch.tensor([0, 1, 2])).targets.tolist() == [109, 102, 200]
    assert second.rows(slice(None)).targets.tolist() == [100]
    assert files.read == [("1", ROWS), ("2", ROWS)]


def test_samples_that_a_task_keeps_in_memory_are_bounded_all_the_same() -> None:
    class Memory(Files):
        def examples(self, owner: str) -> Dataset:
            return super().examples(owner).rows(slice(None))

    task = Memory()
    cache = cache_of(task, 1)
    for owner in ("1", "2", "2", "1"):
        assert cache.samples_of([owner]).targets[0] == 100 * int(owner)
    assert task.opened == ["1", "2", "1"]
    nothing = ExamplesCache(task, 0)  # type: ignore[arg-type]
    assert nothing.samples_of(["1"]).targets[0] == nothing.samples_of(["1"]).targets[0] == 100
    assert task.opened == ["1", "2", "1", "1", "1"]
