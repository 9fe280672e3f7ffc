"""Gaze estimation as experiments see it."""

from __future__ import annotations

from typing import Final

from privateyes.experiments.task import Task
from privateyes.tasks.gaze.metrics import ANGULAR_ERROR, DISTANCE


class GazeEstimation(Task):
    """Where people look, from pictures of their eyes."""

    metrics = (ANGULAR_ERROR, DISTANCE)


GAZE: Final = GazeEstimation()
