"""Random changes of training images that leave the labels right, so that a model learns eyes and not recordings.

Light, focus and noise change from day to day and say nothing about gaze; a shift of a few pixels is what another face
alignment would have given. Their labels stay. Two changes move the labels with the image, by the conventions of
`tasks.gaze.angles`:

- mirroring negates the yaw of gaze and head and the x of a point in the camera's plane; the two eye crops change places
  and the face grid is mirrored within the frame;
- turning the image about its centre turns gaze and head about the camera's axis. It is exact where that centre lies on
  the axis, as in normalised images [Normalisation], and is refused for everything else.

Data files hold right eyes mirrored to look left; where such data are trained on and tested on, mirroring at random
shows eyes that nobody will ever ask about. Everything is off by default, and what is off draws no random number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.strengths import LARGEST

Target = Literal["gaze", "point"]

_PICTURES: Final = ("image", "left", "right")
# Face grids have 25 columns, counted from 1 [GazeCapture].
_GRID_COLUMNS: Final = 25
_WHITE: Final = 255.0


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly training images are changed; each image draws its own changes.

    Args:
        mirror: probability, in [0, 1], that left and right change places.
        rotation_deg: turn about the image's centre, uniform in +- that many degrees; at most 45.
        shift_px: shift in both directions, uniform over the whole numbers in +- that many pixels; at most 64.
        brightness: added grey, uniform in +- that share of white; at most 1.
        contrast: factor on the deviation from the image's mean, uniform in 1 +- that; at most 0.95.
        gamma: grey values in [0, 1] are raised to exp(u), u uniform in +- that; at most 2.
        light_gradient: light that falls off across the image: a factor from 1 - s to 1 + s between opposite edges, in
            any direction, s uniform in [0, that]; at most 0.95.
        blur_px: standard deviation of a Gaussian blur, uniform in [0, that] pixels; at most 5.
        noise: standard deviation of Gaussian noise on every pixel, uniform in [0, that share of white]; at most 1.

    Raises:
        ConfigError: a strength is out of its range.
    """

    mirror: float = 0.0
    rotation_deg: float = 0.0
    shift_px: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    light_gradient: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if not 0 <= value <= largest:  # NaN fails this too
                raise ConfigError(f"augmentation.{name} = {value}", f"it should be between 0 and {largest:g}")
        if self.shift_px != int(self.shift_px):
            raise ConfigError(f"augmentation.shift_px = {self.shift_px}", "it should be a whole number of pixels")

    @property
    def is_off(self) -> bool:
        """Whether nothing is changed at all."""
        return not any(getattr(self, field.name) for field in fields(self))

    def apply(
        self, inputs: Mapping[str, Tensor], targets: Tensor, generator: torch.Generator, target: Target = "gaze"
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Change a batch. What is given is not touched; what does not change is handed back as it is.

        Args:
            inputs: columns of the layout: `image`, `left` and `right` uint8 (B, H, W) or (B, H, W, 3), `pose` (B, 2)
                radians, `grid` (B, 4); others pass through.
            targets: gaze (B, 2) (pitch, yaw) radians, or points (B, 2) cm, floating.
            generator: decides everything; the same state and batch give the same bytes.
            target: which of the two the targets are.

        Raises:
            ConfigError: rotation is asked for where the label could not follow: points, eye crops or face grids.
            DataError: a picture is not uint8, or not of one of the two shapes.
        """
        if self.is_off:
            return dict(inputs), targets
        _refuse_other_pictures(inputs)
        if self.rotation_deg and (target == "point" or not {"left", "right", "grid"}.isdisjoint(inputs)):
            problem = "augmentation.rotation_deg needs normalised images: points, eye crops and face grids cannot turn"
            raise ConfigError(problem, "set it to 0, or train on gaze angles of normalised images")
        draws = _Draws(len(targets), targets.device, generator)
        changed = dict(inputs)
        if self.mirror:
            changed, targets = _mirrored(changed, targets, draws.unit() < self.mirror, target)
        angle = draws.symmetric(math.radians(self.rotation_deg)) if self.rotation_deg else None
        if angle is not None:
            targets = _turned(targets, angle)
            if "pose" in changed:
                changed["pose"] = _turned(changed["pose"], angle)
        light = _draw_light(self, draws)
        for name in _PICTURES:
            if name in changed:
                moved = _moved(changed[name], self.shift_px, angle, draws)
                changed[name] = self._seen(moved, light, draws)
        return changed, targets

    def _seen(self, pictures: Tensor, light: _Light, draws: _Draws) -> Tensor:
        """Light, lens and sensor, in this order, on (B, H, W[, 3]) uint8."""
        if not (light.changes or self.blur_px or self.noise):
            return pictures
        grey = pictures.to(torch.float32)
        if light.changes:
            grey = _lit(grey.div_(_WHITE), light).mul_(_WHITE)
        if self.blur_px:
            grey = _blurred(grey, draws.unit() * self.blur_px, self.blur_px)
        if self.noise:
            grey.addcmul_(draws.normal(grey.shape), _per_sample(draws.unit() * (self.noise * _WHITE), grey))
        return grey.round_().clamp_(0, _WHITE).to(torch.uint8)


def _refuse_other_pictures(inputs: Mapping[str, Tensor]) -> None:
    for name in _PICTURES:
        picture = inputs.get(name)
        if picture is not None and (picture.dtype != torch.uint8 or picture.ndim not in (3, 4)):
            problem = f"augmentation: {name} is {picture.dtype} of shape {tuple(picture.shape)}"
            raise DataError(problem, "give uint8 (B, H, W) or (B, H, W, 3), before scaling to [0, 1]")


class _Draws:
    """Random numbers for a batch, drawn where the generator lives, used where the batch lives."""

    def __init__(self, count: int, device: torch.device, generator: torch.Generator) -> None:
        self._count, self._device, self._generator = count, device, generator

    def unit(self) -> Tensor:
        """(B,) uniform in [0, 1)."""
        drawn = torch.rand(self._count, generator=self._generator, device=self._generator.device)
        return drawn.to(self._device)

    def symmetric(self, size: float) -> Tensor:
        """(B,) uniform in [-size, size)."""
        return self.unit().mul_(2 * size).sub_(size)

    def whole(self, size: int) -> Tensor:
        """(B,) whole numbers, uniform in [-size, size]."""
        shape, device = (self._count,), self._generator.device
        return torch.randint(-size, size + 1, shape, generator=self._generator, device=device).to(self._device)

    def normal(self, shape: torch.Size) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self._generator, device=self._generator.device).to(self._device)


@dataclass(frozen=True, slots=True)
class _Light:
    """(B,) each, or None for what is off. One light falls on all pictures of a sample."""

    brightness: Tensor | None = field(default=None, repr=False)
    contrast: Tensor | None = field(default=None, repr=False)
    gamma: Tensor | None = field(default=None, repr=False)
    slope: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    @property
    def changes(self) -> bool:
        return any(part is not None for part in (self.brightness, self.contrast, self.gamma, self.slope))


def _draw_light(strengths: Augmentation, draws: _Draws) -> _Light:
    slope = None
    if strengths.light_gradient:
        size, direction = draws.unit() * strengths.light_gradient, draws.symmetric(math.pi)
        slope = (size * torch.cos(direction), size * torch.sin(direction))
    return _Light(
        brightness=draws.symmetric(strengths.brightness) if strengths.brightness else None,
        contrast=1 + draws.symmetric(strengths.contrast) if strengths.contrast else None,
        gamma=torch.exp(draws.symmetric(strengths.gamma)) if strengths.gamma else None,
        slope=slope,
    )


def _mirrored(
    inputs: Mapping[str, Tensor], targets: Tensor, chosen: Tensor, target: Target
) -> tuple[dict[str, Tensor], Tensor]:
    """Mirror the chosen samples, (B,) bool."""
    changed = dict(inputs)
    flipped = {name: inputs[name].flip(2) for name in _PICTURES if name in inputs}
    if "left" in flipped and "right" in flipped:
        flipped["left"], flipped["right"] = flipped["right"], flipped["left"]
    for name, picture in flipped.items():
        changed[name] = torch.where(_per_sample(chosen, picture), picture, inputs[name])
    if "pose" in inputs:
        changed["pose"] = _negated(inputs["pose"], chosen, 1)
    if "grid" in inputs:
        # Columns x ... x + w - 1 of 1 ... 25, counted from the other side.
        grid = inputs["grid"].clone()
        grid[:, 0] = torch.where(chosen, _GRID_COLUMNS + 2 - grid[:, 0] - grid[:, 2], grid[:, 0])
        changed["grid"] = grid
    return changed, _negated(targets, chosen, 1 if target == "gaze" else 0)


def _negated(values: Tensor, chosen: Tensor, column: int) -> Tensor:
    result = values.clone()
    result[:, column] = torch.where(chosen, -values[:, column], values[:, column])
    return result


def _turned(pitch_yaw: Tensor, angle: Tensor) -> Tensor:
    """Angles of directions turned about the camera's axis, from x towards y (clockwise in the image), (B,) radians."""
    pitch, yaw = pitch_yaw.to(torch.float64).unbind(1)
    x, y, z = -torch.cos(pitch) * torch.sin(yaw), -torch.sin(pitch), -torch.cos(pitch) * torch.cos(yaw)
    cosine, sine = torch.cos(angle.to(torch.float64)), torch.sin(angle.to(torch.float64))
    x, y = cosine * x - sine * y, sine * x + cosine * y
    return torch.stack([torch.atan2(-y, torch.hypot(x, z)), torch.atan2(-x, -z)], dim=1).to(pitch_yaw.dtype)


def _moved(pictures: Tensor, shift_px: int, angle: Tensor | None, draws: _Draws) -> Tensor:
    """Shift, and turn clockwise about the centre. What comes into view repeats the edge."""
    if not shift_px and angle is None:
        return pictures
    height, width = pictures.shape[1:3]
    down = draws.whole(shift_px) if shift_px else 0
    right = draws.whole(shift_px) if shift_px else 0
    if angle is not None:
        return _sampled(pictures, angle, (down, right))
    rows = _clamped_range(height, down, pictures)
    columns = _clamped_range(width, right, pictures)
    sample = torch.arange(len(pictures), device=pictures.device)
    return pictures[sample[:, None, None], rows[:, :, None], columns[:, None, :]]


def _clamped_range(length: int, shift: Tensor | int, pictures: Tensor) -> Tensor:
    """(B, length): which row (or column) each one is taken from."""
    shifts = torch.as_tensor(shift, device=pictures.device).expand(len(pictures))
    return (torch.arange(length, device=pictures.device) - shifts[:, None]).clamp_(0, length - 1)


def _sampled(pictures: Tensor, angle: Tensor, shift: tuple[Tensor | int, Tensor | int]) -> Tensor:
    height, width = pictures.shape[1:3]
    cosine, sine = torch.cos(angle), torch.sin(angle)
    down, right = (torch.as_tensor(part, device=angle.device).expand(len(angle)) for part in shift)
    # Where a pixel comes from, in units of half the height and width: turned back about the centre, then shifted back.
    ratio = height / width
    across = torch.stack([cosine, sine * ratio, -2 * right / width], dim=1)
    along = torch.stack([-sine / ratio, cosine, -2 * down / height], dim=1)
    grid = functional.affine_grid(
        torch.stack([across, along], dim=1), [len(pictures), 1, height, width], align_corners=False
    )
    channels = pictures[:, None] if pictures.ndim == 3 else pictures.movedim(3, 1)
    sampled = functional.grid_sample(
        channels.to(torch.float32), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    sampled = sampled.round_().clamp_(0, _WHITE).to(torch.uint8)
    return sampled[:, 0] if pictures.ndim == 3 else sampled.movedim(1, 3)


def _lit(grey: Tensor, light: _Light) -> Tensor:
    """Change light on (B, H, W[, 3]) float32 in [0, 1], in place where that is possible."""
    if light.slope is not None:
        across, along = (_per_sample(part, grey) for part in light.slope)
        x, y = (_edge_to_edge(grey.shape[axis], axis, grey) for axis in (2, 1))
        grey = grey * (across * x + along * y + 1)
    if light.contrast is not None:
        mean = grey.flatten(1).mean(dim=1)
        factor = _per_sample(light.contrast, grey)
        grey = (grey * factor).add_(_per_sample(mean, grey) * (1 - factor))
    if light.brightness is not None:
        grey = grey.add_(_per_sample(light.brightness, grey))
    if light.gamma is not None:
        grey = grey.clamp_(0, 1).pow_(_per_sample(light.gamma, grey))
    return grey


def _edge_to_edge(length: int, axis: int, like: Tensor) -> Tensor:
    """-1 to 1 along an axis, divided by sqrt 2 so that the corners stay within 1."""
    ramp = torch.linspace(-1, 1, length, device=like.device) if length > 1 else torch.zeros(1, device=like.device)
    shape = [1] * like.ndim
    shape[axis] = length
    return (ramp / math.sqrt(2)).reshape(shape)


def _blurred(grey: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Gaussian blur, each sample with its own standard deviation (B,), first across and then along."""
    radius = max(1, math.ceil(2.5 * largest))
    steps = torch.arange(-radius, radius + 1, device=grey.device)
    weights = torch.exp(-0.5 * (steps / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weights = weights / weights.sum(dim=1, keepdim=True)
    for axis in (1, 2):
        length = grey.shape[axis]
        places = (torch.arange(-radius, length + radius, device=grey.device)).clamp_(0, length - 1)
        padded = grey.index_select(axis, places)
        grey = torch.zeros_like(grey)
        for step in range(2 * radius + 1):
            grey.addcmul_(padded.narrow(axis, step, length), _per_sample(weights[:, step], grey))
    return grey


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1[, 1])."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
