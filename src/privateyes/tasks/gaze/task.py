"""Gaze estimation as a learning task: one person of an HDF5 file is one owner of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from privateyes.errors import DataError
from privateyes.tasks.gaze.augment import Augmentation
from privateyes.tasks.gaze.data_summary import described
from privateyes.tasks.gaze.label_rows import kept_rows
from privateyes.tasks.gaze.layout import COLUMNS, GRID_CELLS
from privateyes.tasks.gaze.metrics import metric_of_label
from privateyes.tasks.gaze.models import PICTURES, Label, build_model, find_kind, try_out
from privateyes.tasks.gaze.person_dataset import PersonDataset, StoredPictures
from privateyes.tasks.gaze.preprocess import Pictures, face_grid, scaled, to_grey
from privateyes.tasks.gaze.reader import FileReader, FileStamp
from privateyes.training.metric import Metric
from privateyes.training.own_code import is_own
from privateyes.training.task import Examples
from privateyes.training.vector import refuse_running_statistics

# Applied to (pitch, yaw) in radians or (x, y) in cm, mean over both and the batch.
_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"l1": functional.l1_loss, "l2": functional.mse_loss}
)


@dataclass(frozen=True, slots=True)
class GazeTask:
    """`training.task.LearningTask` for gaze; holds names and numbers only, so that workers can be sent a copy.

    Args:
        path: HDF5 file in the layout of `tasks.gaze.layout`.
        model: a name in `tasks.gaze.models`, or ``package.module:Class``.
        image_shape: (height, width) of grey images, (height, width, 3) of RGB ones, after `pictures`.
        loss: "l1" or "l2", on angles in radians or points in cm.
        image_limit: at most that many rows per person, evenly spaced over the person's; None for all.
        eye_shape: as `image_shape`, of the eye crops; None without any.
        label: "gaze" for angles, "point" for the point of gaze.
        pictures: what is done to all pictures when they are read.
        augmentation: random changes of training batches.
        checked: the stamp of the file when every rule of the layout was checked; see `FileReader`.
    """

    path: Path
    model: str
    image_shape: tuple[int, ...]
    loss: Literal["l1", "l2"] = "l1"
    image_limit: int | None = None
    eye_shape: tuple[int, ...] | None = None
    label: Label = "gaze"
    pictures: Pictures = field(default_factory=Pictures)
    augmentation: Augmentation = field(default_factory=Augmentation)
    checked: FileStamp | None = None
    _reader: FileReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", FileReader(self.path, self.checked))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Degrees between directions, or centimetres between points."""
        return (metric_of_label(self.label),)

    def on(self, data: Path) -> Self:
        """The same on another data file."""
        return replace(self, path=data)

    def unlimited(self) -> Self:
        """The same with every row of everyone."""
        return replace(self, image_limit=None)

    def build_model(self, seed: int) -> nn.Module:
        """The estimator; its initial parameters depend on `seed` only.

        Raises:
            ConfigError: the model is unknown, or does not take such images.
            UsageError: the model keeps running statistics.
        """
        model = build_model(self.model, self.image_shape, seed, self.eye_shape)
        refuse_running_statistics(model)
        return model

    def first_model(self, seed: int) -> nn.Module:
        """As `build_model`, for the start of a run: what would fail in the middle of training is tried out first.

        That is the augmentation on one black sample, and a module of one's own forwards and backwards.

        Raises:
            ConfigError: as `build_model`, the labels cannot follow the augmentation, or the module breaks its contract
                (docs/own-models.md).
            UsageError: the model keeps running statistics.
        """
        self.augment(self._black_sample(), torch.Generator())
        model = self.build_model(seed)
        if is_own(self.model):
            kind = find_kind(self.model)
            try_out(self.model, kind, kind.shapes(self.image_shape, self.eye_shape), lambda: self.build_model(seed))
        return model

    def examples(self, owner: str) -> PersonDataset:
        """A person's samples, as stored but for `pictures`; these are read when they are asked for.

        Returns:
            The model's inputs in its order: pictures uint8 (N, H, W) or (N, H, W, 3), pose float32 (N, 2) radians, grid
            int16 (N, 4). Targets float32 (N, 2): gaze in radians or points in cm.

        Raises:
            DataError: the person is missing from the file, breaks a rule of the layout, or lacks an input or the label;
                or the file changed.
        """
        inputs = find_kind(self.model).inputs
        parts = self._reader.labels(owner, sorted({*inputs, self.label}.intersection(COLUMNS)))
        for part in (*inputs, self.label):
            if part not in parts:
                raise DataError(f"{self.path}: person {owner} has no {part}", f"model {self.model} cannot do without")
        kept = kept_rows(len(parts[self.label]), self.image_limit)
        stored = tuple(
            self._stored(owner, part, kept, tuple(parts[part].shape[1:]))
            if part in PICTURES
            else torch.from_numpy(parts[part][kept])
            for part in inputs
        )
        return PersonDataset(stored, torch.from_numpy(parts[self.label][kept]))

    def _stored(self, owner: str, part: str, kept: NDArray[np.int64], shape: tuple[int, ...]) -> StoredPictures:
        expected = self.image_shape if part == "image" else self.eye_shape
        if self.pictures.shape_after(shape) != expected:
            theirs, ours = described(shape), "none" if expected is None else described(expected)
            what = "images" if part == "image" else f"{part} eyes"
            problem = f"{self.path}: person {owner} has {theirs} {what} where the model was built for {ours}"
            raise DataError(problem, "use data of one image size throughout, or data.resize")
        return StoredPictures(self._reader, owner, part, kept, self.pictures, shape)

    def labels_of(self, owner: str) -> NDArray[np.float32]:
        """A person's labels, float32 (N, 2), without reading a picture; raises as `examples` does."""
        parts = self._reader.labels(owner, [self.label] if self.label in COLUMNS else [])
        if self.label not in parts:
            raise DataError(f"{self.path}: person {owner} has no {self.label}", "name data that have it")
        labels: NDArray[np.float32] = parts[self.label]
        return labels[kept_rows(len(labels), self.image_limit)]

    def pictures_of(self, examples: Examples) -> NDArray[np.uint8]:
        """The picture that people are shown of each sample: the model's first one, in grey, uint8 (N, H, W)."""
        inputs = find_kind(self.model).inputs
        shown = next((examples.inputs[inputs.index(part)] for part in PICTURES if part in inputs), None)
        if shown is None:
            return np.zeros((len(examples), 1, 1), dtype=np.uint8)
        pictures: NDArray[np.uint8] = shown.numpy()
        return to_grey(pictures) if pictures.ndim == 4 else pictures

    def _black_sample(self) -> Examples:
        none: tuple[int, ...] = (1, 1)
        sample = {
            "image": torch.zeros((1, *self.image_shape), dtype=torch.uint8),
            "left": torch.zeros((1, *(self.eye_shape or none)), dtype=torch.uint8),
            "right": torch.zeros((1, *(self.eye_shape or none)), dtype=torch.uint8),
            "pose": torch.zeros((1, 2)),
            "grid": torch.ones((1, 4), dtype=torch.int16),
        }
        return Examples(tuple(sample[name] for name in find_kind(self.model).inputs), torch.zeros((1, 2)))

    @property
    def bytes_per_sample(self) -> int:
        """What leaves a device where samples are pooled: a byte per value of a picture, four per angle or cm."""
        image, eye = (0 if shape is None else int(np.prod(shape)) for shape in (self.image_shape, self.eye_shape))
        sizes = {"image": image, "left": eye, "right": eye, "pose": 2 * 4, "grid": 4 * 2}
        return sum(sizes[part] for part in find_kind(self.model).inputs) + 2 * 4

    def augment(self, batch: Examples, generator: torch.Generator) -> Examples:
        """The batch with the random changes of `augmentation`; itself if that is off.

        Raises:
            ConfigError: the labels cannot follow a change that is asked for.
        """
        if self.augmentation.is_off:
            return batch
        names = find_kind(self.model).inputs
        inputs = dict(zip(names, batch.inputs, strict=True))
        changed, targets = self.augmentation.apply(inputs, batch.targets, generator, self.label)
        return Examples(tuple(changed[name] for name in names), targets)

    def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """(B, 2): gaze in radians or points in cm, from a batch of `examples`' inputs, on their device."""
        kind = find_kind(self.model)
        predicted: Tensor = model(
            *(_model_input(name, tensor, kind.channels) for name, tensor in zip(kind.inputs, inputs, strict=True))
        )
        return predicted

    def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over the batch, on angles in radians or points in cm."""
        return _LOSSES[self.loss](predicted, targets)


def _model_input(name: str, stored: Tensor, channels: int) -> Tensor:
    if name in PICTURES:
        return scaled(stored, channels)
    return face_grid(stored, GRID_CELLS) if name == "grid" else stored
