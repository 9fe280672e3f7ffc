"""What gaze adds to the tables of an experiment file: labels and pictures, the loss, augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from privateyes.experiments.spec_tables import Data, ExperimentSpec, Table, Training
from privateyes.tasks.gaze.strengths import LARGEST

Size = Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=2, max_length=2)]


class GazeData(Data):
    """[data] of gaze.

    `label` is what is learned: gaze angles, or the point of gaze in cm. `grey`, `resize` = [height, width] and
    `equalise` are done to every picture, in this order, when it is loaded.
    """

    label: Literal["gaze", "point"] = "gaze"
    grey: bool = False
    resize: Annotated[Size | None, Field(examples=[[36, 60]])] = None
    equalise: bool = False


class GazeTraining(Training):
    """[training] of gaze: `loss` is on angles in radians, or on points in cm."""

    loss: Literal["l1", "l2"] = "l1"


class Augmentation(Table):
    """[augmentation]: see `tasks.gaze.augment.Augmentation`, key by key; everything is off by default."""

    mirror: Annotated[float, Field(ge=0, le=LARGEST["mirror"])] = 0.0
    rotation_deg: Annotated[float, Field(ge=0, le=LARGEST["rotation_deg"])] = 0.0
    shift_px: Annotated[int, Field(ge=0, le=LARGEST["shift_px"])] = 0
    brightness: Annotated[float, Field(ge=0, le=LARGEST["brightness"])] = 0.0
    contrast: Annotated[float, Field(ge=0, le=LARGEST["contrast"])] = 0.0
    gamma: Annotated[float, Field(ge=0, le=LARGEST["gamma"])] = 0.0
    light_gradient: Annotated[float, Field(ge=0, le=LARGEST["light_gradient"])] = 0.0
    blur_px: Annotated[float, Field(ge=0, le=LARGEST["blur_px"])] = 0.0
    noise: Annotated[float, Field(ge=0, le=LARGEST["noise"])] = 0.0


class GazeExperiment(ExperimentSpec):
    """A whole experiment file about gaze."""

    data: GazeData
    training: GazeTraining = GazeTraining()
    augmentation: Augmentation = Augmentation()
