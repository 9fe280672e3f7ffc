"""Procedural eyes for tests: a dark disc that moves with gaze between bright lids. Coarse, but its labels are true."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privateyes.tasks.gaze.dataset import Person
from small_runs import finished_run, listener, silent, small_spec

__all__ = ["finished_run", "listener", "silent", "small_spec"]

DrawPerson = Callable[..., Person]


@pytest.fixture
def draw_person() -> DrawPerson:
    """A function (name, count, size, seed) -> Person whose labels are right."""
    return _draw


@pytest.fixture
def data_folder() -> Path:
    """The folder that holds mpiigaze/ and synthetic_eyes/."""
    folder = os.environ.get("PRIVATEYES_DATA")
    if not folder:
        pytest.skip("PRIVATEYES_DATA does not name a folder with mpiigaze/ and synthetic_eyes/")
    return Path(folder)


def _draw(name: str = "a", count: int = 200, size: tuple[int, int] = (36, 60), seed: int = 0) -> Person:
    rng = np.random.default_rng(seed)
    gaze = rng.normal(np.deg2rad([-8.0, 0.0]), np.deg2rad([5.0, 9.0]), (count, 2)).astype(np.float32)
    pose = (0.5 * gaze + rng.normal(0, 0.05, (count, 2))).astype(np.float32)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    scale = width / 60
    # Yaw > 0 is to the image's left, pitch > 0 is up; 20 pixels for each radian at 60 pixels width.
    iris_x = (centre_x - 20 * scale * np.sin(gaze[:, 1]))[:, None, None]
    iris_y = (centre_y - 20 * scale * np.sin(gaze[:, 0]) - 1.5 * scale)[:, None, None]
    distance = np.hypot(x - iris_x, y - iris_y) / (6 * scale)
    iris = 1 / (1 + np.exp(-4 * (distance - 1) * 6 * scale / 2))
    white = 1 / (1 + np.exp(np.hypot((x - centre_x) / (20 * scale), (y - centre_y) / (8 * scale)) * 12 - 12))
    image = 130 + 70 * white - 150 * white * (1 - iris)
    image = image * rng.uniform(0.8, 1.1, (count, 1, 1)) + rng.normal(0, 6, image.shape)
    return Person(name, np.clip(image, 0, 255).astype(np.uint8), pose, gaze)
