"""Predictions of a model, in batches."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.training.batches import read_in_order
from privateyes.training.task import Dataset, LearningTask
from privateyes.training.vector import load_vector

# Fixed, because the last bits of a prediction may change with it; on a CPU, larger ones fall out of the cache.
_BATCH_SIZES = MappingProxyType({"cpu": 32, "cuda": 512})
_CPU = torch.device("cpu")


def predict_examples(
    task: LearningTask, vector: NDArray[np.float32], examples: Dataset, device: torch.device = _CPU
) -> NDArray[np.float32]:
    """The outputs (N, ...) float32 of the model with parameters `vector`, float32 (d,), for all `examples`.

    Always in float32, whatever the precision of training.

    Raises:
        TrainingError: the vector's length is not the model's.
        DataError: samples cannot be read.
    """
    model = task.build_model(0).to(device)
    load_vector(model, vector)
    return predict_with(task, model, examples, device)


def predict_with(
    task: LearningTask, model: nn.Module, examples: Dataset, device: torch.device = _CPU
) -> NDArray[np.float32]:
    """As `predict_examples`, by a model that is built already and on `device`, in batches of the same size."""
    model.eval()
    size = _BATCH_SIZES[device.type]
    with torch.inference_mode():
        parts = [task.predict(model, batch.to(device).inputs) for batch in read_in_order(examples, size)]
        return torch.cat(parts).cpu().numpy().astype(np.float32)
