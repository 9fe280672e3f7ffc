from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from privateyes.training import batches
from privateyes.training.batches import read_batches, read_in_order
from privateyes.training.task import Dataset, Examples

ROW_BYTES = 8 + 8


@dataclass
class InFile:
    """Samples 0, 1, ... that notes what is read of it at a time."""

    count: int
    read: list[list[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    @property
    def targets(self) -> Tensor:
        return torch.arange(self.count)

    @property
    def nbytes(self) -> int:
        return self.count * ROW_BYTES

    def rows(self, index: Tensor | slice) -> Examples:
        rows = torch.arange(self.count)[index]
        self.read.append(rows.tolist())
        return Examples((rows,), rows)


@pytest.fixture(autouse=True)
def five_rows_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "READ_AHEAD_BYTES", 5 * ROW_BYTES)


def test_batches_are_read_together_as_far_as_memory_allows_and_come_one_by_one() -> None:
    dataset, wanted = InFile(30), [[3, 7], [29], [1, 0], [4, 5, 6], [2]]
    found = list(read_batches(dataset, map(torch.tensor, wanted)))
    assert [batch.inputs[0].tolist() for batch in found] == wanted
    assert [batch.targets.tolist() for batch in found] == wanted
    assert dataset.read == [[3, 7, 29, 1, 0], [4, 5, 6, 2]]


def test_a_batch_that_is_larger_than_what_is_read_ahead_is_read_alone() -> None:
    dataset = InFile(30)
    assert [len(batch) for batch in read_batches(dataset, [torch.tensor([1]), torch.arange(8), torch.tensor([2])])] == [
        1, 8, 1,
    ]  # fmt: skip
    assert dataset.read == [[1], list(range(8)), [2]]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    dataset = InFile(30)
    batch = next(read_batches(dataset, torch.arange(30).split(5)))
    assert batch.targets.tolist() == dataset.read[0] == [0, 1, 2, 3, 4]
    assert len(dataset.read) == 1


@pytest.mark.parametrize(("size", "reads"), [(1, 3), (2, 3), (3, 4), (20, 1)])
def test_all_samples_come_in_their_order_in_batches_of_one_size(size: int, reads: int) -> None:
    dataset = InFile(12)
    found = [batch.targets.tolist() for batch in read_in_order(dataset, size)]
    assert found == [list(range(12))[start : start + size] for start in range(0, 12, size)]
    assert len(dataset.read) == reads


def test_samples_in_memory_come_without_a_copy() -> None:
    examples = Examples((torch.arange(7),), torch.arange(7))
    assert [batch.targets.tolist() for batch in read_in_order(examples, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    shared = next(read_in_order(examples, 3)).inputs[0]
    assert shared.untyped_storage().data_ptr() == examples.inputs[0].untyped_storage().data_ptr()
    assert [batch.targets.tolist() for batch in read_batches(examples, [torch.tensor([5, 1])])] == [[5, 1]]


@pytest.mark.parametrize("dataset", [InFile(0), Examples((torch.zeros(0),), torch.zeros(0))])
def test_of_nothing_there_is_no_batch(dataset: Dataset) -> None:
    assert list(read_in_order(dataset, 4)) == []
    assert list(read_batches(dataset, [])) == []
