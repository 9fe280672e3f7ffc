"""What a trained estimator is to those who use it, wherever it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.models import INPUTS, LABELS, Label, find_kind
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.determinism import deterministic_torch
from privateyes.training.evaluation import predict_with
from privateyes.training.task import Examples
from privateyes.training.vector import load_vector

Columns = Mapping[str, NDArray[Any]]
"""Columns of `tasks.gaze.layout` with N rows each: pictures uint8 after `ModelFacts.pictures`, pose in radians."""

RENDERED: Final = "synthetic"
"""The data set of eyes that a run rendered for itself."""
_STORED_EQUALISED: Final = frozenset({"mpiigaze"})
"""Data sets whose pictures come with equalised histograms: a model of theirs knows no others."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one has to know to use a model.

    Attributes:
        model: the architecture's name.
        inputs: the columns of the layout that it takes, in the order of its arguments.
        image_shape: (height, width) of grey pictures, (height, width, 3) of RGB ones, after `pictures`.
        eye_shape: the same for crops of the eyes; None where it takes none.
        label: "gaze" (pitch, yaw) in radians, or "point" (x, y) in cm.
        pictures: what is done to every picture first.
        dataset: what its training data were converted from, such as "mpiigaze"; None where the file does not say.
        source: the run, the method and the round that it comes from.
        licence: of its training data, in the words of their file; None where the file does not say.
    """

    model: str
    inputs: tuple[str, ...]
    image_shape: tuple[int, ...]
    eye_shape: tuple[int, ...] | None
    label: Label
    pictures: Pictures
    dataset: str | None = None
    source: str = ""
    licence: str | None = None

    @classmethod
    def of_task(cls, task: GazeTask, dataset: str | None, licence: str | None = None) -> ModelFacts:
        """The facts of what a task trains."""
        inputs = find_kind(task.model).inputs
        facts = cls(task.model, inputs, task.image_shape, task.eye_shape, task.label, task.pictures, dataset)
        return replace(facts, licence=licence)

    @property
    def trained_equalised(self) -> bool:
        """Whether the training pictures were equalised already when they were stored, and not by the run."""
        return self.dataset in _STORED_EQUALISED and len(self.image_shape) == 2 and not self.pictures.equalise

    def pictures_from(self, dataset: str | None) -> Pictures:
        """What is done to pictures of a data set, or with None of a camera: as `pictures`, and equalised if need be.

        Equalising a second time changes next to nothing, so that pictures of unknown origin are equalised too.
        """
        if not self.trained_equalised or dataset in _STORED_EQUALISED:
            return self.pictures
        return replace(self.pictures, equalise=True)

    def task(self) -> GazeTask:
        """A task that can predict; it has no data."""
        return GazeTask(
            Path(), self.model, self.image_shape, eye_shape=self.eye_shape, label=self.label, pictures=self.pictures
        )

    def from_source(self, source: str) -> ModelFacts:
        """The same, saying where the model comes from."""
        return replace(self, source=source)

    def refuse_other_picture(self, shape: tuple[int, ...]) -> None:
        """Refuse an image that the model was not made for.

        Args:
            shape: (height, width) or (height, width, 3) of the image as it is stored.

        Raises:
            DataError: its size is another, and the run resizes none; or colours are missing.
        """
        try:
            there = self.pictures.shape_after(shape)
        except ConfigError as error:
            raise DataError(error.problem, "convert it to grey") from error
        if there != self.image_shape:
            problem = f"the image is {_written(shape)}, where the model takes {_written(self.image_shape)}"
            raise DataError(problem, "normalise it to that size; --camera-frames does so with pictures of a camera")

    def to_tree(self) -> dict[str, Any]:
        """For JSON; `from_tree` reads it back."""
        return asdict(self)

    @classmethod
    def from_tree(cls, tree: Any) -> ModelFacts:
        """Read back what `to_tree` gave.

        Raises:
            DataError: it is something else.
        """
        try:
            pictures = tree["pictures"]
            resize = pictures["resize"]
            facts = cls(
                model=str(tree["model"]),
                inputs=tuple(str(name) for name in tree["inputs"]),
                image_shape=_sides(tree["image_shape"]),
                eye_shape=None if tree["eye_shape"] is None else _sides(tree["eye_shape"]),
                label=tree["label"],
                pictures=Pictures(
                    grey=bool(pictures["grey"]),
                    resize=None if resize is None else (int(resize[0]), int(resize[1])),
                    equalise=bool(pictures["equalise"]),
                ),
                dataset=None if tree["dataset"] is None else str(tree["dataset"]),
                source=str(tree["source"]),
                # Older descriptions do not have it.
                licence=None if tree.get("licence") is None else str(tree["licence"]),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"the model's description is damaged ({error})", "write it again") from error
        if facts.label not in LABELS or not set(facts.inputs) <= set(INPUTS) or len(facts.image_shape) not in (2, 3):
            raise DataError("the model's description is of another kind", "use the version of privateyes that wrote it")
        return facts

    @classmethod
    def from_json(cls, text: str) -> ModelFacts:
        """As `from_tree`, from JSON."""
        try:
            return cls.from_tree(json.loads(text))
        except ValueError as error:
            raise DataError(f"the model's description is damaged ({error})", "write it again") from error


class Estimator(Protocol):
    """A trained model."""

    @property
    def facts(self) -> ModelFacts:
        """What it takes and gives."""
        ...

    def estimate(self, columns: Columns) -> NDArray[np.float32]:
        """Gaze (N, 2) (pitch, yaw) in radians, or points of gaze (N, 2) in cm, for N rows of `facts.inputs`."""
        ...


class TorchEstimator:
    """An estimator from a run's parameters, by the very code that evaluates runs.

    Args:
        facts: what the model is.
        vector: its parameters, float32 (d,).
    """

    def __init__(self, facts: ModelFacts, vector: NDArray[np.float32]) -> None:
        self.facts = facts
        self.vector = vector
        self._task = facts.task()
        self._model: nn.Module | None = None

    def estimate(self, columns: Columns) -> NDArray[np.float32]:
        """See `Estimator`.

        Raises:
            TrainingError: the parameters are of another model.
        """
        inputs = tuple(torch.from_numpy(np.ascontiguousarray(columns[name])) for name in self.facts.inputs)
        examples = Examples(inputs, torch.zeros(len(inputs[0]), 2))
        with deterministic_torch():
            if self._model is None:
                model = self._task.build_model(0)
                load_vector(model, self.vector)
                self._model = model
            return predict_with(self._task, self._model, examples)


def _sides(values: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in values)


def _written(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]} {'RGB' if len(shape) == 3 else 'grey'}"
