"""A model whose trainable parameters are views of one vector, and their gradients of another.

An optimiser then has one parameter to step, and FedProx one difference to form, however many tensors the model has:
with small networks the time of a step goes into calls, not into arithmetic. Element by element the arithmetic is the
same, and so are the bytes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from privateyes.errors import UsageError
from privateyes.training.vector import trainable_parameters


class FlatParameters:
    """Takes over the trainable parameters of a model, which computes on as before.

    A parameter that a loss does not depend on has a gradient of zero here, not none: weight decay acts on it too.

    Attributes:
        values: all parameters, float32 (d,), in the order in which they lie in memory: not that of `training.vector`
            where one is stored channels last.
        gradients: all gradients, float32 (d,), in the same order; also ``values.grad``.

    Args:
        model: its trainable parameters are float32 and on one device.

    Raises:
        UsageError: a parameter is not float32.
    """

    def __init__(self, model: nn.Module) -> None:
        _require_float32(model)
        parameters = trainable_parameters(model)
        count = sum(parameter.numel() for parameter in parameters)
        device = parameters[0].device if parameters else None
        self.values = nn.Parameter(torch.empty(count, device=device))
        self.gradients = torch.zeros(count, device=device)
        self.values.grad = self.gradients
        start = 0
        for parameter in parameters:
            value = _part(self.values.detach(), start, parameter)
            value.copy_(parameter.detach())
            parameter.data = value
            parameter.grad = _part(self.gradients, start, parameter)
            start += parameter.numel()


def _part(storage: Tensor, start: int, parameter: Tensor) -> Tensor:
    """A view of the next elements of `storage` with the parameter's shape; channels last if the parameter is."""
    last = parameter.is_contiguous(memory_format=torch.channels_last)
    strides = parameter.stride() if last else parameter.contiguous().stride()
    return storage.as_strided(parameter.shape, strides, start)


def _require_float32(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            remedy = "build the model in float32; training.precision says what it computes in"
            raise UsageError(f"the model's parameter {name} is {kind}, and all must be float32", remedy)
