"""Everything that can be refused, refused before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privateyes.experiments.folds import Fold, plan_folds
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.secure import check_secure_plan
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.tasks import task_of
from privateyes.federation.seeds import derive_seed
from privateyes.training.settings import LocalSettings
from privateyes.training.task import TaskOnData
from privateyes.training.vector import tensor_lengths, vector_from_model


@dataclass(frozen=True, slots=True)
class Preparation:
    """An experiment that nothing stands against.

    Args:
        spec: the experiment.
        folds: who trains and who is tested.
        samples: person -> number of images that are used.
        learning: the learning task, on data that may have to be made yet.
        initial: the parameters that every method starts from, float32 (d,).
        lengths: elements of each of the model's tensors, in the order of the vector.
    """

    spec: ExperimentSpec
    folds: tuple[Fold, ...]
    samples: Mapping[str, int]
    learning: TaskOnData
    initial: NDArray[np.float32] = field(repr=False)
    lengths: tuple[int, ...]

    def clients(self, fold: Fold) -> dict[str, int]:
        """The clients of a fold and the number of samples of each."""
        if fold.partition is not None:
            return fold.partition.samples()
        return {person: self.samples[person] for person in fold.train}

    def task(self, data: Path) -> TaskOnData:
        """The learning task, on a data file that exists by now."""
        return self.learning.on(data)

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
            device=self.spec.runtime.device,
            precision=training.precision,
        )


def prepare(spec: ExperimentSpec) -> Preparation:
    """Check an experiment against its data, its model and the aggregation's parameters. Reads all data, writes nothing.

    Raises:
        DataError: the data cannot be used.
        ConfigError: the split, the model or the roster does not fit the data.
        ParameterError: the aggregation could wrap, or would be unsafe otherwise.
    """
    task = task_of(spec)
    there = task.inventory(spec)
    rows = None if spec.partition.settings().trivial else task.label_rows(spec)
    folds = plan_folds(spec, list(there.samples), there.source, rows)
    model = there.learning.first_model(derive_seed(spec.seed, "initial model"))
    initial = vector_from_model(model)
    preparation = Preparation(spec, tuple(folds), there.samples, there.learning, initial, tensor_lengths(model))
    if any(METHODS[method].secure for method in spec.methods):
        for fold in folds:
            check_secure_plan(spec, fold, preparation.clients(fold), initial.size)
    return preparation
