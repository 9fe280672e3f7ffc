"""Everything that can be refused, refused before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.experiments.folds import Fold, plan_folds
from privateyes.experiments.secure import check_secure_plan
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.way_names import WAYS
from privateyes.federation.seeds import derive_seed
from privateyes.tasks.gaze.dataset import list_persons, load_persons
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.local import LocalSettings
from privateyes.training.vector import tensor_lengths, vector_from_model

SYNTHETIC_IMAGE_SHAPE = (36, 60)


@dataclass(frozen=True, slots=True)
class Preparation:
    """An experiment that nothing stands against.

    Args:
        spec: the experiment.
        folds: who trains and who is tested.
        samples: person -> number of images that are used.
        image_shape: (height, width) of all images.
        initial: the parameters that every way starts from, float32 (d,).
        lengths: elements of each of the model's tensors, in the order of the vector.
    """

    spec: ExperimentSpec
    folds: tuple[Fold, ...]
    samples: Mapping[str, int]
    image_shape: tuple[int, int]
    initial: NDArray[np.float32]
    lengths: tuple[int, ...]

    def clients(self, fold: Fold) -> dict[str, int]:
        """The clients of a fold and the number of samples of each."""
        return {person: self.samples[person] for person in fold.train}

    def task(self, data: Path) -> GazeTask:
        """The learning task, on a data file that exists by now."""
        return _task(self.spec, data, self.image_shape)

    def local_settings(self) -> LocalSettings:
        """How a client trains."""
        training = self.spec.training
        return LocalSettings(
            seed=self.spec.seed,
            rounds=training.rounds,
            local_epochs=training.local_epochs,
            batch_size=training.batch_size,
            optimiser=training.optimiser,
            learning_rate=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            schedule=training.schedule,
        )


def prepare(spec: ExperimentSpec) -> Preparation:
    """Check an experiment against its data, its model and the aggregation's parameters. Reads all data, writes nothing.

    Raises:
        DataError: the data cannot be used.
        ConfigError: the split, the model or the roster does not fit the data.
        ParameterError: the aggregation could wrap, or would be unsafe otherwise.
    """
    if spec.data.path is None:
        shape, counts, source = SYNTHETIC_IMAGE_SHAPE, _synthetic_counts(spec), "[data.synthetic]"
    else:
        source = spec.data.path
        shape, counts = _survey(Path(source))
    limit = spec.data.image_limit
    samples = {person: count if limit is None else min(count, limit) for person, count in counts.items()}
    folds = plan_folds(spec, list(samples), source)
    task = _task(spec, Path(source), shape)
    model = task.build_model(derive_seed(spec.seed, "initial model"))
    initial = vector_from_model(model)
    preparation = Preparation(spec, tuple(folds), samples, shape, initial, tensor_lengths(model))
    if any(WAYS[way].secure for way in spec.ways):
        for fold in folds:
            check_secure_plan(spec, fold, preparation.clients(fold), initial.size)
    return preparation


def _task(spec: ExperimentSpec, data: Path, image_shape: tuple[int, int]) -> GazeTask:
    return GazeTask(
        path=data,
        model=spec.model.name,
        image_shape=image_shape,
        loss=spec.training.loss,
        equalise=spec.data.equalise,
        image_limit=spec.data.image_limit,
    )


def _synthetic_counts(spec: ExperimentSpec) -> dict[str, int]:
    synthetic = spec.data.synthetic
    if synthetic is None:
        return {}
    return {f"r{index:02d}": synthetic.images_per_person for index in range(synthetic.persons)}


def _survey(path: Path) -> tuple[tuple[int, int], dict[str, int]]:
    """The images' (height, width) and everyone's number of images; reads and checks one person at a time."""
    shapes: dict[str, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    for name in list_persons(path):
        image = load_persons(path, [name])[0].image
        shapes[name] = (image.shape[1], image.shape[2])
        counts[name] = len(image)
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            ours, theirs = (f"{height}x{width}" for height, width in (shapes[first], shape))
            problem = f"{path}: person {name} has {theirs} images, person {first} has {ours}"
            raise DataError(problem, "bring all images to one size")
    return shapes[first], counts
