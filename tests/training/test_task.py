from __future__ import annotations

import pytest
import torch

from privateyes.errors import DataError
from privateyes.training.task import Examples, pool_examples


def examples(count: int, first: int) -> Examples:
    return Examples((torch.arange(first, first + count), torch.zeros(count, 2)), torch.arange(first, first + count))


def test_pooled_examples_are_all_parts_one_after_the_other() -> None:
    pooled = pool_examples([examples(2, 0), examples(3, 10)])
    assert len(pooled) == 5
    assert pooled.inputs[0].tolist() == pooled.targets.tolist() == [0, 1, 10, 11, 12]
    assert pooled.inputs[1].shape == (5, 2)


def test_rows_keep_inputs_and_targets_together() -> None:
    rows = examples(5, 0).rows(torch.tensor([3, 1]))
    assert rows.inputs[0].tolist() == rows.targets.tolist() == [3, 1]


def test_pooling_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no samples to pool"):
        pool_examples([])
