"""Where a model computes, and in which precision.

Mixed precision follows [Micikevicius 2018]: the model computes in 16 bits where torch's autocast holds that to be safe,
and everything that adds up (parameters, gradients, updates, losses) stays in 32. float16 has so few exponents that
small gradients vanish; scaling the loss keeps them. bfloat16 has the exponents of float32 and needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Final

import torch

from privateyes.errors import ConfigError
from privateyes.training.settings import DeviceName, Precision

_TYPES: Mapping[Precision, torch.dtype] = MappingProxyType({"bfloat16": torch.bfloat16, "float16": torch.float16})
FIRST_SCALE: Final = 2.0**10


def resolve_device(name: DeviceName) -> torch.device:
    """The device of that name; "auto" is CUDA where torch sees a device, else the CPU.

    Raises:
        ConfigError: "cuda" is asked for and torch sees no device.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        problem = f'runtime.device = "cuda", but this torch ({torch.__version__}) sees no CUDA device'
        remedy = 'set it to "cpu" or "auto", or install a torch built for CUDA on a machine with a GPU and its driver'
        raise ConfigError(problem, remedy)
    return torch.device("cuda", torch.cuda.current_device())


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to a precision; nothing at all for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_TYPES[precision])


def scaler_of_losses(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """What scales float16 losses, and leaves a step out where a gradient overflowed all the same; else does nothing.

    The scale is halved at each overflow. It starts low, because it starts anew in every local round: torch's own start,
    2^16, would cost the first steps of every client in every round.
    """
    return torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=precision == "float16")
