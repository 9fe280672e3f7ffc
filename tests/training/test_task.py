from __future__ import annotations

import pytest
import torch

from privateyes.errors import DataError
from privateyes.training.task import Examples, Subset, pool_examples


def examples(count: int, first: int) -> Examples:
    return Examples((torch.arange(first, first + count), torch.zeros(count, 2)), torch.arange(first, first + count))


def test_pooled_examples_are_all_parts_one_after_the_other() -> None:
    pooled = pool_examples([examples(2, 0), examples(3, 10)])
    assert len(pooled) == 5
    assert pooled.nbytes == 5 * (8 + 8 + 8)
    everything = pooled.rows(slice(None))
    assert everything.inputs[0].tolist() == everything.targets.tolist() == pooled.targets.tolist() == [0, 1, 10, 11, 12]
    assert everything.inputs[1].shape == (5, 2)


@pytest.mark.parametrize("index", [[4, 0, 3, 0, 2], [1], [3, 2], []])
def test_rows_of_pooled_examples_come_in_the_order_that_was_asked_for(index: list[int]) -> None:
    rows = pool_examples([examples(2, 0), examples(1, 5), examples(3, 10)]).rows(torch.tensor(index, dtype=torch.int64))
    expected = [[0, 1, 5, 10, 11, 12][row] for row in index]
    assert rows.inputs[0].tolist() == rows.targets.tolist() == expected
    assert rows.inputs[1].shape == (len(index), 2)


def test_each_part_of_a_pool_is_read_once_for_a_batch() -> None:
    asked: list[list[int]] = []

    class Noted(Examples):
        def rows(self, index: torch.Tensor | slice) -> Examples:
            asked.append(torch.arange(len(self))[index].tolist())
            return Examples(self.inputs, self.targets).rows(index)

    parts = [Noted(part.inputs, part.targets) for part in (examples(2, 0), examples(3, 10), examples(4, 20))]
    pool_examples(parts).rows(torch.tensor([8, 0, 1, 5]))
    assert asked == [[0, 1], [3, 0]]


def test_a_pool_of_one_is_that_one() -> None:
    alone = examples(2, 0)
    assert pool_examples([alone]) is alone


def test_a_subset_has_its_rows_in_its_order() -> None:
    subset = Subset(examples(6, 10), torch.tensor([5, 2, 2, 0]))
    assert len(subset) == 4
    assert subset.nbytes == 4 * (8 + 8 + 8)
    assert subset.targets.tolist() == subset.rows(slice(None)).inputs[0].tolist() == [15, 12, 12, 10]
    assert subset.rows(torch.tensor([3, 0])).targets.tolist() == [10, 15]
    assert subset.rows(slice(1, 3)).targets.tolist() == [12, 12]


def test_rows_keep_inputs_and_targets_together() -> None:
    rows = examples(5, 0).rows(torch.tensor([3, 1]))
    assert rows.inputs[0].tolist() == rows.targets.tolist() == [3, 1]


def test_pooling_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no samples to pool"):
        pool_examples([])
