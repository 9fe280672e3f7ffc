from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from privateyes.training.evaluation import predict_examples
from privateyes.training.task import Examples

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask


def test_predictions_over_several_batches_are_the_models_in_order(task: LearningTask) -> None:
    inputs = torch.arange(1200, dtype=torch.float32).reshape(600, 2) / 100
    predicted = predict_examples(task, np.array([1, -2, 0.5], dtype=np.float32), Examples((inputs,), inputs[:, :1]))
    assert predicted.shape == (600, 1)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted[:, 0], inputs[:, 0] - 2 * inputs[:, 1] + 0.5, atol=1e-4)


def test_dropout_is_off(task_with_dropout: LearningTask) -> None:
    examples = task_with_dropout.examples("a")
    vector = np.array([1, -2, 0.5], dtype=np.float32)
    first, second = (predict_examples(task_with_dropout, vector, examples) for _ in range(2))
    np.testing.assert_array_equal(first, second)
