"""Synthetic persons with exact labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.dataset import Person
from privateyes.tasks.gaze.synthetic.anatomy import NOISE_STREAM, SURFACE_STREAM, draw_anatomy, person_generator
from privateyes.tasks.gaze.synthetic.render import render_scene
from privateyes.tasks.gaze.synthetic.scene import draw_scene
from privateyes.tasks.gaze.synthetic.surface import build_surfaces

SMALLEST_SIDE: Final = 8
LARGEST_SIDE: Final = 512


def render_person(seed: int, person: int, count: int, size: tuple[int, int] = (36, 60)) -> Person:
    """Render one synthetic person.

    Even rows are left eyes, odd rows right eyes, mirrored (image, gaze yaw and pose yaw) to look like left ones. The
    rows go through ten recording days in turn. The first n rows do not depend on ``count``.

    Args:
        seed: the data set's seed, at least 0.
        person: the person's index, at least 0; another index or another seed is another person.
        count: number of images, at least 1.
        size: (height, width) in pixels, 8 to 512 each; the width shows 37.5 mm.

    Returns:
        A `Person` named ``r`` and the index in two digits or more.

    Raises:
        ConfigError: an argument is out of range.
    """
    _check_integer("seed", seed, 0)
    _check_integer("person", person, 0)
    _check_integer("count", count, 1)
    _check_size(size)
    anatomy = draw_anatomy(seed, person)
    tables = build_surfaces((anatomy.left, anatomy.right), person_generator(seed, person, SURFACE_STREAM))
    scene = draw_scene(seed, person, anatomy, count)
    noise = person_generator(seed, person, NOISE_STREAM).standard_normal((count, *size), dtype=np.float32)
    images = render_scene(scene, tables, size, noise)
    return Person(f"r{person:02d}", images, scene.pose.astype(np.float32), scene.gaze.astype(np.float32))


def draw_labels(seed: int, person: int, count: int) -> NDArray[np.float32]:
    """The gaze of `render_person` with the same arguments, float32 (count, 2), without rendering an image."""
    gaze: NDArray[np.float32] = draw_scene(seed, person, draw_anatomy(seed, person), count).gaze.astype(np.float32)
    return gaze


def render_persons(
    seed: int, persons: int, images_per_person: int, size: tuple[int, int] = (36, 60)
) -> Iterator[Person]:
    """Render persons 0, 1, ... one at a time, so that only one is in memory. Arguments as in `render_person`.

    Raises:
        ConfigError: an argument is out of range; raised at once, not at the first image.
    """
    _check_integer("seed", seed, 0)
    _check_integer("persons", persons, 1)
    _check_integer("images_per_person", images_per_person, 1)
    _check_size(size)
    return (render_person(seed, person, images_per_person, size) for person in range(persons))


def _check_integer(name: str, value: int, smallest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < smallest:
        raise ConfigError(f"synthetic data: {name} is {value!r}", f"give a whole number, at least {smallest}")


def _check_size(size: tuple[int, int]) -> None:
    remedy = f"give (height, width), each a whole number from {SMALLEST_SIDE} to {LARGEST_SIDE}, such as (36, 60)"
    if len(size) != 2:
        raise ConfigError(f"synthetic data: size is {size!r}", remedy)
    for side in size:
        whole = isinstance(side, int | np.integer) and not isinstance(side, bool)
        if not whole or not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise ConfigError(f"synthetic data: size is {size!r}", remedy)
