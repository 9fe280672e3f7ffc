"""Which gaze estimators exist, which data they fit, and how one is built from a seed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from privateyes.errors import ConfigError, UsageError
from privateyes.tasks.gaze.models import (
    alexnet,
    gazenet,
    itracker,
    lenet,
    nvgaze,
    resnet_14,
    resnet_preact,
    small_cnn,
)
from privateyes.tasks.gaze.models.kinds import InputShapes, ModelKind, Offer
from privateyes.tasks.gaze.models.own import build_own_model, find_own_kind
from privateyes.tasks.gaze.models.spatial_weights import SpatialWeights
from privateyes.training.own_code import is_own

# Predictions begin near zero, the middle of all gazes: an untrained last layer would only add noise to undo.
_LAST_LAYER_SCALE = 0.01
# The same for layers of many features, whose sum would be large all the same.
_LAST_LAYER_SUM = 0.25


def _size(shapes: InputShapes, name: str = "image") -> tuple[int, int]:
    _, height, width = shapes[name]
    return height, width


def _lenet(shapes: InputShapes) -> nn.Module:
    return lenet.LeNet(_size(shapes))


def _resnet_preact_8(_: InputShapes) -> nn.Module:
    return resnet_preact.ResNetPreact8()


def _small_cnn(shapes: InputShapes) -> nn.Module:
    return small_cnn.SmallCNN(_size(shapes))


def _gazenet(shapes: InputShapes) -> nn.Module:
    return gazenet.GazeNet(_size(shapes))


def _alexnet(shapes: InputShapes) -> nn.Module:
    return alexnet.AlexNet(_size(shapes))


def _resnet_14(shapes: InputShapes) -> nn.Module:
    return resnet_14.ResNet14(_size(shapes))


def _itracker(shapes: InputShapes) -> nn.Module:
    return itracker.ITracker(_size(shapes), _size(shapes, "left"))


def _nvgaze(shapes: InputShapes) -> nn.Module:
    return nvgaze.NVGazeNet(_size(shapes))


MODELS: Final[Mapping[str, ModelKind]] = MappingProxyType(
    {
        "small_cnn": ModelKind(_small_cnn, "", (9, 15), small_cnn.SMALLEST_SIDE),
        "lenet": ModelKind(_lenet, "MPIIGaze 2015", (36, 60), lenet.SMALLEST_SIDE),
        "resnet_preact_8": ModelKind(_resnet_preact_8, "ResNet v2", (36, 60), resnet_preact.SMALLEST_SIDE),
        "gazenet": ModelKind(_gazenet, "MPIIGaze", (36, 60), gazenet.SMALLEST_SIDE),
        "alexnet": ModelKind(_alexnet, "FullFace", (448, 448), alexnet.SMALLEST_SIDE, ("image",), 3, ("gaze", "point")),
        "resnet_14": ModelKind(
            _resnet_14, "FullFace", (224, 224), resnet_14.SMALLEST_SIDE, ("image",), 3, ("gaze", "point")
        ),
        "itracker": ModelKind(
            _itracker,
            "GazeCapture",
            (224, 224),
            itracker.SMALLEST_SIDE,
            ("image", "left", "right", "grid"),
            3,
            ("point", "gaze"),
        ),
        "nvgaze": ModelKind(_nvgaze, "NVGaze", (127, 127), nvgaze.SMALLEST_SIDE, ("image",)),
    }
)


def find_kind(name: str) -> ModelKind:
    """The architecture of that name.

    Args:
        name: a key of `MODELS`, or ``package.module:Class`` for a module of one's own, which is imported.

    Raises:
        ConfigError: there is no such model, or the class breaks its contract (docs/own-models.md).
    """
    if is_own(name):
        return find_own_kind(name)
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        own = 'or name a class of your own, "package.module:Class"'
        raise ConfigError(f"model.name: there is no model {name!r}", f"{hint}choose one of {', '.join(MODELS)}, {own}")
    return MODELS[name]


def require_fit(name: str, offer: Offer) -> ModelKind:
    """The architecture of that name, which can learn from such data.

    Raises:
        ConfigError: there is no such model, or it does not fit; the message names those that do.
    """
    kind = find_kind(name)
    fault = kind.fault(offer)
    if fault is None:
        return kind
    fitting = [other for other, entry in MODELS.items() if other != name and entry.fault(offer) is None]
    remedy = f"{fault.remedy} or choose {' or '.join(fitting)}" if fitting else fault.remedy
    raise ConfigError(f"model {name} {fault.problem}", remedy)


def build_model(
    name: str, image_shape: tuple[int, ...], seed: int, eye_shape: tuple[int, ...] | None = None
) -> nn.Module:
    """Build a gaze estimator whose every parameter is determined by the seed.

    The random numbers come from a generator of their own; the global one is neither read nor moved.

    Args:
        name: a key of `MODELS`, or ``package.module:Class``.
        image_shape: (height, width) of grey images, (height, width, 3) of RGB ones, pixels.
        seed: 0 <= seed < 2**64.
        eye_shape: the same of eye crops; None without any.

    Returns:
        A module that takes the inputs which its kind declares, with the batch in front: pictures (B, C, H, W) float32
        in [0, 1], pose (B, 2) radians, grid (B, 25, 25) of 0 and 1; it returns (B, 2): gaze (pitch, yaw), radians, or
        the point of gaze (x, y), cm.

    Raises:
        ConfigError: there is no such model, it does not accept such images, or a class of one's own cannot be built.
    """
    kind = find_kind(name)
    without = {} if eye_shape is not None else dict.fromkeys(("left", "right", "grid"), "no eye_shape is given")
    require_fit(name, Offer(image_shape, eye_shape, without, kind.labels[0]))
    shapes = kind.shapes(image_shape, eye_shape)
    if is_own(name):
        return build_own_model(name, kind, shapes, seed)
    # On the meta device construction draws no random number and allocates nothing.
    with torch.device("meta"):
        model = kind.construct(shapes)
    _allocate(model)
    _initialise(model, torch.Generator().manual_seed(seed))
    return model


def count_parameters(kind: ModelKind) -> int | None:
    """Number of parameters at the usual size; None without one. Allocates nothing."""
    if kind.usual_size is None:
        return None
    with torch.device("meta"):
        model = kind.construct(kind.shapes(kind.usual_size, kind.usual_size))
    return sum(parameter.numel() for parameter in model.parameters())


def _allocate(model: nn.Module) -> None:
    """Memory on the CPU for a model on the meta device; its content is whatever was there.

    As `nn.Module.to_empty`, which imports sympy on the way, for a second.
    """
    made: dict[int, nn.Parameter] = {}  # a parameter that two modules share stays one
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in made:
                made[id(parameter)] = nn.Parameter(_empty(parameter), requires_grad=parameter.requires_grad)
            setattr(module, name, made[id(parameter)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, _empty(buffer))


def _empty(like: Tensor) -> Tensor:
    return torch.empty_strided(like.size(), like.stride(), dtype=like.dtype, device="cpu")


@torch.no_grad()
def _initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Kaiming's normal initialisation for rectified layers [Kaiming init]; biases 0, scales 1, the last layer small."""
    left = {id(parameter): name for name, parameter in model.named_parameters()}
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            scale = math.sqrt(2.0 / fan_in)
            if isinstance(module, nn.Linear) and module.out_features == 2:
                scale = min(_LAST_LAYER_SCALE, _LAST_LAYER_SUM / math.sqrt(fan_in))
            _fill(module.weight, scale, generator)
            if module.bias is not None:
                module.bias.zero_()
        else:
            continue
        for parameter in module.parameters(recurse=False):
            left.pop(id(parameter), None)
    for module in model.modules():
        if isinstance(module, SpatialWeights):
            module.begin(generator)
    if left:  # memory that nobody has written to
        names = ", ".join(left.values())
        raise UsageError(f"no initial values are known for {names}", "teach them to tasks.gaze.models.registry")


def _fill(weight: Tensor, scale: float, generator: torch.Generator) -> None:
    weight.normal_(0.0, scale, generator=generator)
