"""Small faces in the manner of GazeCapture: two eyes, a face, its place in the frame, a point in cm; no head pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FACE, EYE = 48, 36


def _spots(generator: np.random.Generator, side: int, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.uint8]:
    """(N, side, side, 3): skin with noise and a dark spot at each (row, column)."""
    y, x = np.mgrid[:side, :side]
    spot = np.exp(-((y - rows[:, None, None]) ** 2 + (x - columns[:, None, None]) ** 2) / (side / 4) ** 2)
    skin = np.array([220.0, 170.0, 140.0])
    image = skin * (1 - 0.8 * spot[..., None]) + generator.normal(0.0, 5.0, size=(len(rows), side, side, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def _person(name: str, seed: int, count: int) -> Any:
    from privateyes.tasks.gaze.dataset import Person  # the protocol's tests run without the train extra

    generator = np.random.default_rng(seed)
    point = np.stack([generator.uniform(-4, 4, count), generator.uniform(-10, 0, count)], axis=1).astype(np.float32)
    place = EYE / 2 + np.stack([-(point[:, 1] + 5), point[:, 0]], axis=1) * 2
    corner = generator.integers(1, 13, size=(count, 2))
    columns = {
        "point": point,
        "left": _spots(generator, EYE, place[:, 0], place[:, 1]),
        "right": _spots(generator, EYE, place[:, 0], place[:, 1]),
        "grid": np.concatenate([corner, np.full((count, 2), 13)], axis=1).astype(np.int16),
        "device": np.arange(count, dtype=np.uint16) % 2,
    }
    face = _spots(generator, FACE, np.full(count, FACE / 2), np.full(count, FACE / 2))
    return Person(name, face, None, None, columns, ("iPhone 6", "iPad Air"))


def write_small_faces(path: Path, persons: int = 4, images: int = 24) -> Path:
    """Write a file of persons 00000, 00001, ... with so many frames each; the path again."""
    from privateyes.tasks.gaze.dataset import write_persons

    write_persons(path, (_person(f"{index:05d}", index, images) for index in range(persons)), image_of="face")
    return path
