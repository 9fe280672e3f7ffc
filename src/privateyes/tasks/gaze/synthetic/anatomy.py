"""What makes a synthetic person: the eye region's shape and reflectance, and the person's habits.

Lengths are millimetres in the head frame of one eye: origin at the centre of the eyeball, x right in the image (from
the nose to the temple, as right eyes are mirrored), y down, z away from the camera; "height" is -z. Typical values are
anatomical averages: eyeball radius 12 mm, iris radius 5.9 mm, cornea radius 7.8 mm.

The visual axis is the label and the optical axis is what is drawn. The angle between them (kappa) belongs to the
person, so an estimator that has never seen the person cannot know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import radians
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

# Streams of one person's generator: drawing more of one thing must not change another.
ANATOMY_STREAM, SURFACE_STREAM, DAY_STREAM, NORMAL_STREAM, UNIFORM_STREAM, NOISE_STREAM = range(6)


def person_generator(seed: int, person: int, *stream: int) -> np.random.Generator:
    """A generator that belongs to one person and one purpose. Not for secrets."""
    return np.random.default_rng([seed, person, *stream])


@dataclass(frozen=True, slots=True)
class EyeAnatomy:
    """One eye and the skin around it. Lengths in mm, angles in radians, albedos are the share of light reflected."""

    # the eyeball: a sclera sphere and a cornea sphere that meet in the limbus
    eyeball_radius_mm: float
    iris_radius_mm: float
    cornea_radius_mm: float
    pupil_radius_mm: float
    kappa_pitch_rad: float
    kappa_yaw_rad: float
    # the lids
    inner_x_mm: float
    inner_y_mm: float
    outer_x_mm: float
    outer_y_mm: float
    upper_opening_mm: float
    lower_opening_mm: float
    upper_inner_power: float
    upper_outer_power: float
    lower_inner_power: float
    lower_outer_power: float
    upper_follow: float
    lower_follow: float
    crease_mm: float
    crease_strength: float
    crease_width_mm: float
    # lashes
    lash_length_mm: float
    lash_density: float
    lash_curl_rad: float
    lash_line: float
    lower_lash: float
    # reflectance
    skin_albedo: float
    sclera_albedo: float
    iris_albedo: float
    iris_contrast: float
    limbus_darkness: float
    limbus_width_mm: float
    lid_darkness: float
    under_eye_darkness: float
    # relief of the face
    nose_mm: float
    brow_mm: float
    cheek_mm: float
    socket_mm: float
    bag_mm: float
    wrinkles: float
    brow_y_mm: float
    brow_albedo: float
    nearness: float


@dataclass(frozen=True, slots=True)
class Habits:
    """How a person sits and looks. Radians, for an unmirrored image; openness is a factor on the upper opening."""

    gaze_pitch_mean: float
    gaze_pitch_half_range: float
    gaze_yaw_mean: float
    gaze_yaw_half_range: float
    head_pitch_mean: float
    head_yaw_mean: float
    head_follow: float
    head_pitch_spread: float
    head_yaw_spread: float
    openness_mean: float
    openness_spread: float


@dataclass(frozen=True, slots=True)
class PersonAnatomy:
    """Both eyes of one person, drawn from (seed, person)."""

    left: EyeAnatomy
    right: EyeAnatomy
    habits: Habits


class Normal(NamedTuple):
    """A normal distribution cut off at two standard deviations, so that no anatomy is impossible."""

    mean: float
    spread: float

    def once(self, rng: np.random.Generator) -> float:
        return _normal(rng, self.mean, self.spread)


class Uniform(NamedTuple):
    """A uniform distribution."""

    low: float
    high: float

    def once(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))


# How people differ, in units of the fields. Three are scaled further: the crease by how hooded the lid is, the bag by
# age, the brow by the skin.
EYE_DISTRIBUTIONS: Final[Mapping[str, Normal | Uniform]] = MappingProxyType({
    "eyeball_radius_mm": Normal(12.0, 0.3),
    "iris_radius_mm": Normal(5.9, 0.22),
    "cornea_radius_mm": Normal(7.8, 0.2),
    "pupil_radius_mm": Normal(1.9, 0.35),
    "kappa_pitch_rad": Normal(radians(0.6), radians(0.9)),
    "kappa_yaw_rad": Normal(radians(4.3), radians(1.3)),
    "upper_opening_mm": Normal(6.7, 0.45),
    "lower_opening_mm": Normal(4.1, 0.35),
    "upper_inner_power": Normal(0.86, 0.07),
    "upper_outer_power": Normal(0.62, 0.07),
    "lower_inner_power": Normal(1.15, 0.1),
    "lower_outer_power": Normal(0.74, 0.07),
    "upper_follow": Normal(0.72, 0.07),
    "lower_follow": Normal(0.28, 0.06),
    "crease_mm": Uniform(1.6, 4.6),
    "crease_strength": Uniform(0.35, 0.95),
    "crease_width_mm": Uniform(0.45, 0.85),
    "lash_length_mm": Uniform(2.5, 6.0),
    "lash_density": Uniform(0.35, 0.95),
    "lash_curl_rad": Uniform(-0.15, 0.65),
    "lash_line": Uniform(0.6, 1.0),
    "lower_lash": Uniform(0.08, 0.5),
    "sclera_albedo": Normal(0.58, 0.06),
    "iris_contrast": Uniform(0.25, 0.6),
    "limbus_darkness": Uniform(0.25, 0.75),
    "limbus_width_mm": Uniform(0.5, 1.1),
    "lid_darkness": Uniform(0.0, 0.22),
    "under_eye_darkness": Uniform(0.0, 0.22),
    "nose_mm": Normal(11.0, 2.5),
    "brow_mm": Normal(7.0, 1.8),
    "cheek_mm": Normal(3.0, 1.2),
    "socket_mm": Normal(6.5, 1.2),
    "bag_mm": Uniform(0.0, 0.9),
    "brow_y_mm": Uniform(-19.0, -12.0),
    "brow_albedo": Uniform(0.2, 0.6),
    "nearness": Normal(1.0, 0.03),
})  # fmt: skip


def draw_anatomy(seed: int, person: int) -> PersonAnatomy:
    """Draw one person.

    Args:
        seed: the data set's seed, at least 0.
        person: the person's index, at least 0.

    Returns:
        The person; the same for the same arguments.
    """
    rng = person_generator(seed, person, ANATOMY_STREAM)
    left = _draw_eye(rng)
    return PersonAnatomy(left, _other_eye(left, rng), _draw_habits(rng))


def _normal(rng: np.random.Generator, mean: float, spread: float) -> float:
    """A normal draw kept within 2 standard deviations, so that no anatomy is impossible."""
    return mean + spread * float(np.clip(rng.standard_normal(), -2.0, 2.0))


def _draw_eye(rng: np.random.Generator) -> EyeAnatomy:
    skin = float(rng.uniform(0.22, 0.68))
    light_iris = rng.random() < 0.5
    iris = float(rng.uniform(0.11, 0.25) if light_iris else rng.uniform(0.035, 0.085))
    age = float(rng.random())
    width, middle = _normal(rng, 29.0, 1.3), _normal(rng, -1.0, 0.5)
    tilt = _normal(rng, -1.6, 0.9)
    line = _normal(rng, 1.1, 0.3)
    hooding = float(max(0.0, rng.uniform(-0.6, 1.0)))
    drawn = {name: draw.once(rng) for name, draw in EYE_DISTRIBUTIONS.items()}
    # What depends on more than its own distribution.
    drawn["crease_mm"] *= 1.0 - 0.6 * hooding
    drawn["bag_mm"] *= 0.3 + 0.7 * age
    drawn["brow_albedo"] *= skin
    return EyeAnatomy(
        **drawn,
        inner_x_mm=middle - width / 2,
        inner_y_mm=line - tilt / 2,
        outer_x_mm=middle + width / 2,
        outer_y_mm=line + tilt / 2,
        skin_albedo=skin,
        iris_albedo=iris,
        wrinkles=age,
    )


def _other_eye(left: EyeAnatomy, rng: np.random.Generator) -> EyeAnatomy:
    """The right eye, mirrored: nearly the left one. Kappa points to the nose in both."""
    return replace(
        left,
        kappa_pitch_rad=left.kappa_pitch_rad + radians(_normal(rng, 0.0, 0.3)),
        kappa_yaw_rad=left.kappa_yaw_rad + radians(_normal(rng, 0.0, 0.4)),
        inner_y_mm=left.inner_y_mm + _normal(rng, 0.0, 0.15),
        outer_y_mm=left.outer_y_mm + _normal(rng, 0.0, 0.15),
        upper_opening_mm=left.upper_opening_mm + _normal(rng, 0.0, 0.2),
        lower_opening_mm=left.lower_opening_mm + _normal(rng, 0.0, 0.15),
        crease_mm=left.crease_mm * _normal(rng, 1.0, 0.1),
        crease_strength=left.crease_strength * _normal(rng, 1.0, 0.1),
        brow_y_mm=left.brow_y_mm + _normal(rng, 0.0, 0.4),
    )


def _draw_habits(rng: np.random.Generator) -> Habits:
    return Habits(
        gaze_pitch_mean=radians(_normal(rng, -6.5, 1.9)),
        gaze_pitch_half_range=radians(_normal(rng, 8.5, 1.2)),
        gaze_yaw_mean=radians(_normal(rng, 0.0, 1.5)),
        gaze_yaw_half_range=radians(_normal(rng, 16.5, 2.2)),
        head_pitch_mean=radians(_normal(rng, 2.5, 2.5)),
        head_yaw_mean=radians(_normal(rng, 0.0, 2.0)),
        head_follow=float(rng.uniform(0.15, 0.45)),
        head_pitch_spread=radians(_normal(rng, 3.2, 0.4)),
        head_yaw_spread=radians(_normal(rng, 5.0, 0.8)),
        openness_mean=_normal(rng, 1.0, 0.025),
        openness_spread=float(rng.uniform(0.02, 0.06)),
    )
