"""What a gaze estimator is as data: the inputs it declares, and whether a data set fits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from torch import nn

from privateyes.tasks.gaze.layout import GRID_CELLS

Label = Literal["gaze", "point"]
InputShapes = Mapping[str, tuple[int, ...]]
"""Input -> shape of one sample as the model gets it, such as ``{"image": (1, 36, 60), "pose": (2,)}``."""

INPUTS: Final = ("image", "pose", "left", "right", "grid")
PICTURES: Final = ("image", "left", "right")
LABELS: Final[tuple[Label, ...]] = ("gaze", "point")
# What is called what in messages.
_LABEL_NAMES: Final[Mapping[str, str]] = MappingProxyType({"gaze": "gaze angles", "point": "points of gaze"})


@dataclass(frozen=True, slots=True)
class Offer:
    """What a data set has to offer to a model.

    Attributes:
        image_shape: (height, width) of grey images, (height, width, 3) of RGB ones.
        eye_shape: the same of the eye crops; None without any.
        without: the model inputs that not everyone has -> a clause that says who, such as "person p01 has none".
        label: what is to be learned.
    """

    image_shape: tuple[int, ...]
    eye_shape: tuple[int, ...] | None
    without: Mapping[str, str]
    label: Label


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One architecture.

    Attributes:
        construct: makes the module for its inputs' shapes.
        source: tag of the paper (docs/papers.md).
        usual_size: (height, width) in the source; its parameters are counted there. None: there is none.
        smallest_side: the least height and width of every picture that it accepts, pixels.
        inputs: what its `forward` takes, in this order; of `INPUTS`.
        channels: 1 for grey pictures, 3 for RGB ones; a grey picture is given to the latter three times.
        labels: what it can learn.
    """

    construct: Callable[[InputShapes], nn.Module]
    source: str
    usual_size: tuple[int, int] | None
    smallest_side: int
    inputs: tuple[str, ...] = ("image", "pose")
    channels: int = 1
    labels: tuple[Label, ...] = ("gaze",)

    def shapes(self, image_shape: tuple[int, ...], eye_shape: tuple[int, ...] | None) -> InputShapes:
        """The shapes of its inputs for images and eye crops of (height, width[, 3]); `fault` has found nothing."""
        eyes = (self.channels, *(eye_shape or image_shape)[:2])
        every = {
            "image": (self.channels, *image_shape[:2]),
            "pose": (2,),
            "left": eyes,
            "right": eyes,
            "grid": (GRID_CELLS, GRID_CELLS),
        }
        return {name: every[name] for name in self.inputs}

    def fault(self, offer: Offer) -> Fault | None:
        """Why the model cannot learn from such data; None if it can."""
        if offer.label not in self.labels:
            theirs = " and ".join(_LABEL_NAMES[label] for label in self.labels)
            problem = f'learns {theirs}, and data.label = "{offer.label}" asks for {_LABEL_NAMES[offer.label]}'
            return Fault(problem, f'set data.label = "{self.labels[0]}", if the data have that,')
        for name in self.inputs:
            if name in offer.without:
                return Fault(f"needs {name}, and {offer.without[name]}", f"add {name} to the data")
        sizes = {"image": offer.image_shape, "left": offer.eye_shape, "right": offer.eye_shape}
        for name in self.inputs:
            size = sizes.get(name)
            fault = None if size is None else self._fault_of_picture(name, size)
            if fault is not None:
                return fault
        return None

    def _fault_of_picture(self, name: str, size: tuple[int, ...]) -> Fault | None:
        what = "images" if name == "image" else f"crops of the {name} eye"
        if len(size) == 3 and self.channels == 1:
            return Fault(f"takes grey images, and these {what} are RGB", "set data.grey = true")
        if min(size[:2]) < self.smallest_side:
            least = f"{self.smallest_side}x{self.smallest_side}"
            return Fault(f"cannot take {size[0]}x{size[1]} {what}: it accepts {least} and larger", "use larger images")
        return None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model does not fit: a sentence whose subject is the model, and a remedy."""

    problem: str
    remedy: str
