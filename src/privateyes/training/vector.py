"""A model as one flat vector, which is what federation and aggregation work on.

The vector holds the trainable parameters and nothing else. Batch normalisation's running statistics are not parameters:
averaging them over clients gives the statistics of nothing (the variance of a mixture is no mean of variances), and
leaving them out would test a model with statistics that it was never trained with. Models that keep any are refused.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.errors import TrainingError, UsageError


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes, in the order of ``named_parameters``."""
    return [parameter for _, parameter in model.named_parameters() if parameter.requires_grad]


def vector_from_model(model: nn.Module) -> NDArray[np.float32]:
    """The trainable parameters, float32 (d,), in the order of ``named_parameters``; a copy."""
    parts = [parameter.detach().reshape(-1) for parameter in trainable_parameters(model)]
    return torch.cat(parts).to("cpu", torch.float32).numpy() if parts else np.zeros(0, dtype=np.float32)


def tensor_lengths(model: nn.Module) -> tuple[int, ...]:
    """Elements of each trainable parameter, in the vector's order; they add up to d."""
    return tuple(parameter.numel() for parameter in trainable_parameters(model))


def load_vector(model: nn.Module, vector: NDArray[np.float32]) -> None:
    """Copy `vector`, float32 (d,), into the trainable parameters.

    Raises:
        TrainingError: the length is not the model's.
    """
    parameters = trainable_parameters(model)
    expected = sum(parameter.numel() for parameter in parameters)
    if vector.shape != (expected,):
        remedy = "the vector belongs to another model; check [model] and the image size"
        raise TrainingError(f"a vector of shape {vector.shape} for a model with {expected} parameters", remedy)
    source = torch.from_numpy(np.array(vector, dtype=np.float32))
    position = 0
    with torch.no_grad():
        for parameter in parameters:
            count = parameter.numel()
            parameter.copy_(source[position : position + count].view_as(parameter))
            position += count


def refuse_running_statistics(model: nn.Module) -> None:
    """Refuse a model that keeps running statistics.

    Raises:
        UsageError: names the first such module, and the remedy.
    """
    for name, module in model.named_modules():
        if any(getattr(module, statistic, None) is not None for statistic in ("running_mean", "running_var")):
            kind = type(module).__name__
            problem = f"module {name or 'model'} ({kind}) keeps running statistics, which clients cannot average"
            raise UsageError(problem, "use nn.GroupNorm in its place, or track_running_stats=False")
