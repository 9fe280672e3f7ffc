"""Small eyes, quickly made: a data file of a few persons whose gaze can be learned from 9x15 images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (9, 15)


def _person(name: str, seed: int, count: int) -> Any:
    """Noise with a dark spot that moves with the gaze, so that something can be learned."""
    from privateyes.tasks.gaze.dataset import Person  # the protocol's tests run without the train extra

    generator = np.random.default_rng(seed)
    gaze = generator.normal(0.0, 0.12, size=(count, 2)).astype(np.float32)
    pose = generator.normal(0.0, 0.1, size=(count, 2)).astype(np.float32)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centre_row = (SHAPE[0] // 2 - 12 * gaze[:, 0])[:, None, None]
    centre_column = (SHAPE[1] // 2 - 20 * gaze[:, 1])[:, None, None]
    spot = np.exp(-((rows - centre_row) ** 2 + (columns - centre_column) ** 2) / 4.0)
    image = 200.0 - 150.0 * spot + generator.normal(0.0, 6.0, size=(count, *SHAPE))
    return Person(name, np.clip(image, 0, 255).astype(np.uint8), pose, gaze)


def write_small_eyes(path: Path, persons: int = 5, images: int = 24) -> Path:
    """Write a file of persons p00, p01, ... with so many images each; the path again."""
    from privateyes.tasks.gaze.dataset import write_persons

    write_persons(path, (_person(f"p{index:02d}", index, images) for index in range(persons)))
    return path
