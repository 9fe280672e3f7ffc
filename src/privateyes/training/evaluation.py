"""Predictions of a model, in batches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from privateyes.training.task import Examples, LearningTask
from privateyes.training.vector import load_vector

# Fixed, because the last bits of a prediction may change with it; larger batches fall out of the cache and are slower.
_BATCH_SIZE = 32


def predict_examples(task: LearningTask, vector: NDArray[np.float32], examples: Examples) -> NDArray[np.float32]:
    """The outputs (N, ...) float32 of the model with parameters `vector`, float32 (d,), for all `examples`.

    Raises:
        TrainingError: the vector's length is not the model's.
    """
    model = task.build_model(0)
    load_vector(model, vector)
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(examples), _BATCH_SIZE):
            batch = examples.rows(slice(start, start + _BATCH_SIZE))
            parts.append(task.predict(model, batch.inputs))
        return torch.cat(parts).numpy().astype(np.float32)
