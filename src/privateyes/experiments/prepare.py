"""Everything that can be refused, refused before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privateyes.experiments.folds import Fold, plan_folds
from privateyes.experiments.secure import check_secure_plan
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.way_names import WAYS
from privateyes.federation.partition import PersonRows
from privateyes.federation.seeds import derive_seed
from privateyes.tasks.gaze.augment import Augmentation
from privateyes.tasks.gaze.label_rows import kept_rows, read_label_rows
from privateyes.tasks.gaze.models import require_fit
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.reader import FileStamp
from privateyes.tasks.gaze.stock import grey_eyes, take_stock
from privateyes.tasks.gaze.synthetic import draw_labels
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.settings import LocalSettings
from privateyes.training.vector import tensor_lengths, vector_from_model

SYNTHETIC_IMAGE_SHAPE = (36, 60)


@dataclass(frozen=True, slots=True)
class Preparation:
    """An experiment that nothing stands against.

    Args:
        spec: the experiment.
        folds: who trains and who is tested.
        samples: person -> number of images that are used.
        image_shape: (height, width) of all images, (height, width, 3) if they are RGB, as the model gets them.
        initial: the parameters that every way starts from, float32 (d,).
        lengths: elements of each of the model's tensors, in the order of the vector.
        eye_shape: as `image_shape`, of the eye crops; None without any.
        stamp: of the data file when it was checked; None if the data are not rendered yet.
    """

    spec: ExperimentSpec
    folds: tuple[Fold, ...]
    samples: Mapping[str, int]
    image_shape: tuple[int, ...]
    initial: NDArray[np.float32] = field(repr=False)
    lengths: tuple[int, ...]
    eye_shape: tuple[int, ...] | None = None
    stamp: FileStamp | None = None

    def clients(self, fold: Fold) -> dict[str, int]:
        """The clients of a fold and the number of samples of each."""
        if fold.partition is not None:
            return fold.partition.samples()
        return {person: self.samples[person] for person in fold.train}

    def task(self, data: Path) -> GazeTask:
        """The learning task, on a data file that exists by now."""
        return replace(_task(self.spec, data, self.image_shape, self.eye_shape), checked=self.stamp)

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
            warmup_rounds=training.warmup_rounds,
            decay_rounds=tuple(training.decay_rounds),
            decay_factor=training.decay_factor,
            proximal_mu=training.proximal_mu,
            device=training.device,
            precision=training.precision,
        )


def prepare(spec: ExperimentSpec) -> Preparation:
    """Check an experiment against its data, its model and the aggregation's parameters. Reads all data, writes nothing.

    Raises:
        DataError: the data cannot be used.
        ConfigError: the split, the model or the roster does not fit the data.
        ParameterError: the aggregation could wrap, or would be unsafe otherwise.
    """
    if spec.data.path is None:
        stock = grey_eyes(
            "[data.synthetic]", _pictures(spec).shape_after(SYNTHETIC_IMAGE_SHAPE), _synthetic_counts(spec)
        )
    else:
        stock = take_stock(Path(spec.data.path), _pictures(spec))
    limit = spec.data.image_limit
    samples = {person: count if limit is None else min(count, limit) for person, count in stock.counts.items()}
    require_fit(spec.model.name, stock.offer(spec.data.label))
    folds = plan_folds(spec, list(samples), stock.source, _label_rows(spec))
    task = _task(spec, Path(stock.source), stock.image_shape, stock.eye_shape)
    model = task.first_model(derive_seed(spec.seed, "initial model"))
    initial = vector_from_model(model)
    preparation = Preparation(
        spec, tuple(folds), samples, stock.image_shape, initial, tensor_lengths(model), stock.eye_shape, stock.stamp
    )
    if any(WAYS[way].secure for way in spec.ways):
        for fold in folds:
            check_secure_plan(spec, fold, preparation.clients(fold), initial.size)
    return preparation


def _label_rows(spec: ExperimentSpec) -> Mapping[str, PersonRows] | None:
    """What [partition] divides by; None where each person is a client. Persons are rendered later, their labels not."""
    if spec.partition.settings().trivial:
        return None
    if spec.data.path is not None:
        return read_label_rows(Path(spec.data.path), None, spec.data.image_limit, spec.data.label).persons
    rows = {}
    for index, (name, count) in enumerate(_synthetic_counts(spec).items()):
        kept = kept_rows(count, spec.data.image_limit)
        rows[name] = PersonRows(draw_labels(spec.seed, index, count)[kept])
    return rows


def _task(
    spec: ExperimentSpec, data: Path, image_shape: tuple[int, ...], eye_shape: tuple[int, ...] | None
) -> GazeTask:
    return GazeTask(
        path=data,
        model=spec.model.name,
        image_shape=image_shape,
        loss=spec.training.loss,
        image_limit=spec.data.image_limit,
        eye_shape=eye_shape,
        label=spec.data.label,
        pictures=_pictures(spec),
        augmentation=Augmentation(**spec.augmentation.model_dump()),
    )


def _pictures(spec: ExperimentSpec) -> Pictures:
    given = spec.data
    size = None if given.resize is None else (given.resize[0], given.resize[1])
    return Pictures(grey=given.grey, resize=size, equalise=given.equalise)


def _synthetic_counts(spec: ExperimentSpec) -> dict[str, int]:
    synthetic = spec.data.synthetic
    if synthetic is None:
        return {}
    return {f"r{index:02d}": synthetic.images_per_person for index in range(synthetic.persons)}
