"""What goes into a model's last layer: the features that a personal calibration may weigh anew."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.errors import UsageError
from privateyes.training.batches import read_in_order
from privateyes.training.task import Dataset, Examples, LearningTask
from privateyes.training.vector import load_vector

_BATCH_SIZE: Final = 32


def feature_products(
    task: LearningTask, vector: NDArray[np.float32], examples: Dataset, chosen: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Inner products of all samples' features with those of the chosen ones.

    Features are what the last linear layer sees, and a constant one for its bias; those of faces are long, so those of
    all samples are never held at once.

    Args:
        task: model and its input.
        vector: parameters, float32 (d,); unchanged.
        examples: N samples.
        chosen: (C,) positions of samples.

    Returns:
        (N, C) float64.

    Raises:
        UsageError: the model does not end in a linear layer.
        TrainingError: the vector is not the model's.
    """
    model = task.build_model(0)
    load_vector(model, vector)
    model.eval()
    with torch.inference_mode():
        layer = _last_linear(task, model, examples.rows(slice(0, 1)))
        ours = _features(task, model, layer, examples.rows(torch.from_numpy(chosen.astype(np.int64))))
        parts = [_features(task, model, layer, batch) @ ours.T for batch in read_in_order(examples, _BATCH_SIZE)]
        products: NDArray[np.float64] = torch.cat(parts).numpy()
    return products


def _last_linear(task: LearningTask, model: nn.Module, example: Examples) -> nn.Linear:
    """The linear layer whose output is the model's."""
    outputs: list[tuple[nn.Linear, Tensor]] = []

    def note(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            outputs.append((layer, output))

    handles = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, nn.Linear)]
    try:
        predicted = task.predict(model, example.inputs)
    finally:
        for handle in handles:
            handle.remove()
    for layer, output in reversed(outputs):
        if output.shape == predicted.shape and torch.equal(output, predicted):
            return layer
    problem = "the model does not end in a linear layer, whose weights could be calibrated"
    raise UsageError(problem, "choose the adaptation ridge, offset or all")


def _features(task: LearningTask, model: nn.Module, layer: nn.Linear, examples: Examples) -> Tensor:
    """(B, features + 1) float64 of a few samples."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].to(torch.float64)))
    try:
        task.predict(model, examples.inputs)
    finally:
        handle.remove()
    return torch.cat([seen[0], torch.ones(len(examples), 1, dtype=torch.float64)], dim=1)
