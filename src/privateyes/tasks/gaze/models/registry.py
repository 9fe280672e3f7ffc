"""Which gaze estimators exist, which image sizes they accept, and how one is built from a seed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.models import lenet, resnet_preact, small_cnn

# Predictions begin near zero, the middle of all gazes: an untrained last layer would only add noise to undo.
_LAST_LAYER_SCALE = 0.01


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One architecture.

    Attributes:
        construct: makes the module for an image shape (height, width).
        smallest_side: the least height and width that it accepts, pixels.
    """

    construct: Callable[[tuple[int, int]], nn.Module]
    smallest_side: int


def _resnet_preact_8(_: tuple[int, int]) -> nn.Module:
    return resnet_preact.ResNetPreact8()


MODELS: Final[Mapping[str, ModelKind]] = MappingProxyType(
    {
        "lenet": ModelKind(lenet.LeNet, lenet.SMALLEST_SIDE),
        "resnet_preact_8": ModelKind(_resnet_preact_8, resnet_preact.SMALLEST_SIDE),
        "small_cnn": ModelKind(small_cnn.SmallCNN, small_cnn.SMALLEST_SIDE),
    }
)


def build_model(name: str, image_shape: tuple[int, int], seed: int) -> nn.Module:
    """Build a gaze estimator whose every parameter is determined by the seed.

    The random numbers come from a generator of their own; the global one is neither read nor moved.

    Args:
        name: a key of `MODELS`.
        image_shape: (height, width) of the images, pixels.
        seed: 0 <= seed < 2**64.

    Returns:
        A module: (image (B, 1, H, W) float32 in [0, 1], pose (B, 2) float32) -> (B, 2) gaze (pitch, yaw), radians.

    Raises:
        ConfigError: there is no such model, or it does not accept images of that size.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"model.name: there is no model {name!r}", f"{hint}choose one of {', '.join(MODELS)}")
    kind = MODELS[name]
    height, width = image_shape
    if min(height, width) < kind.smallest_side:
        accepting = [other for other, entry in MODELS.items() if min(height, width) >= entry.smallest_side]
        remedy = f"use larger images or choose {' or '.join(accepting)}" if accepting else "use larger images"
        least = f"{kind.smallest_side}x{kind.smallest_side}"
        raise ConfigError(f"model {name} cannot take {height}x{width} images: it accepts {least} and larger", remedy)
    # On the meta device construction draws no random number and allocates nothing.
    with torch.device("meta"):
        model = kind.construct(image_shape)
    model.to_empty(device="cpu")
    _initialise(model, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Kaiming's normal initialisation for rectified layers [Kaiming init]; biases 0, scales 1, the last layer small."""
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            last = isinstance(module, nn.Linear) and module.out_features == 2
            _fill(module.weight, _LAST_LAYER_SCALE if last else math.sqrt(2.0 / fan_in), generator)
            if module.bias is not None:
                module.bias.zero_()


def _fill(weight: Tensor, scale: float, generator: torch.Generator) -> None:
    weight.normal_(0.0, scale, generator=generator)
