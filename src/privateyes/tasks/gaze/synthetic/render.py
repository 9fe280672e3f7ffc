"""From a scene to grey images: shading at twice the resolution, then lens, sensor and tone curve of a webcam."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.synthetic.kernels import Tables, render_images
from privateyes.tasks.gaze.synthetic.scene import Scene

SAMPLES_ACROSS: Final = 120  # at least that many samples in a row of an image, and at least 2 in each pixel


def render_scene(scene: Scene, tables: Tables, size: tuple[int, int], noise: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Render all images of a scene.

    Args:
        scene: N images of one person.
        tables: that person's tables, with a leading axis (left, right).
        size: (height, width) in pixels; the width always spans 37.5 mm.
        noise: (N, height, width) float32 standard normal sensor noise.

    Returns:
        (N, height, width) uint8.
    """
    images = np.empty((len(scene.frames), *size), dtype=np.uint8)
    supersampling = max(2, -(-SAMPLES_ACROSS // size[1]))
    render_images(scene.frames, scene.eyes, tables, noise, images, supersampling)
    return images
