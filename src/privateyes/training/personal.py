"""A shared model on one person's samples, and what a calibration makes of it there.

The shared parameters are read and never written: a calibration is a correction, or another vector, of the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from privateyes.training.calibration import Prior, correct_by_features, fit_offset, fit_ridge
from privateyes.training.calibration_settings import Adaptation
from privateyes.training.evaluation import predict_examples
from privateyes.training.last_layer import feature_products
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import Dataset, LearningTask


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How the adaptation "all" goes on training: few plain steps on all calibration samples at once.

    Attributes:
        seed: for what the model itself draws.
        steps: how many; nothing else keeps thousands of parameters near the shared ones.
        learning_rate: of each step.
    """

    seed: int
    steps: int
    learning_rate: float


class PersonalModel:
    """A shared model applied to one person's samples.

    Args:
        task: model, loss and input.
        vector: the shared parameters, float32 (d,); unchanged.
        examples: the person's N samples.
        prior: what is believed of people; in the labels' unit.
    """

    def __init__(self, task: LearningTask, vector: NDArray[np.float32], examples: Dataset, prior: Prior) -> None:
        self._task, self._vector, self._examples, self._prior = task, vector, examples, prior
        self.predicted = predict_examples(task, vector, examples).astype(np.float64)
        self.labels = examples.targets.numpy().astype(np.float64)
        self._announced: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._known: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._products: NDArray[np.float64] = np.empty((len(examples), 0))

    def announce(self, rows: NDArray[np.int64]) -> None:
        """Tell which samples will be calibration samples, in any call: only saves time."""
        self._announced = rows

    def usable(self) -> NDArray[np.bool_]:
        """(N,) whether a sample's prediction and label are finite."""
        finite: NDArray[np.bool_] = np.isfinite(np.concatenate([self.predicted, self.labels], axis=1)).all(axis=1)
        return finite

    def calibrated(
        self, adapt: Adaptation, chosen: NDArray[np.int64], rest: NDArray[np.int64], tuning: FineTuning
    ) -> NDArray[np.float64]:
        """Predictions for samples of the person after a calibration with others.

        Args:
            adapt: how to calibrate.
            chosen: (k,) positions of the calibration samples.
            rest: (M,) positions of the samples to predict.
            tuning: for the adaptation "all".

        Returns:
            (M, 2) float64.

        Raises:
            UsageError: "last_layer" of a model that does not end in a linear layer.
            TrainingError: "all" diverged.
        """
        predicted, true = self.predicted[chosen], self.labels[chosen]
        if adapt == "offset":
            return fit_offset(predicted, true).apply(self.predicted[rest])
        if adapt == "ridge":
            return fit_ridge(predicted, true, self._prior).apply(self.predicted[rest])
        if adapt == "last_layer":
            return self._with_last_layer(chosen, rest)
        return self._fine_tuned(chosen, rest, tuning)

    def _with_last_layer(self, chosen: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.float64]:
        columns = self._columns_of(chosen)
        both = np.concatenate([chosen, rest])
        residuals = self.labels[chosen] - self.predicted[chosen]
        products = self._products[np.ix_(both, columns)]
        corrections = correct_by_features(products, np.arange(len(chosen)), residuals, self._prior)
        corrected: NDArray[np.float64] = self.predicted[rest] + corrections[len(chosen) :]
        return corrected

    def _columns_of(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where `_products` has the products with these samples; computed with all announced ones, the first time."""
        if not np.isin(chosen, self._known).all():
            self._known = np.union1d(self._announced, chosen)
            self._products = feature_products(self._task, self._vector, self._examples, self._known)
        return np.searchsorted(self._known, chosen).astype(np.int64)

    def _fine_tuned(
        self, chosen: NDArray[np.int64], rest: NDArray[np.int64], tuning: FineTuning
    ) -> NDArray[np.float64]:
        settings = LocalSettings(
            seed=tuning.seed,
            rounds=1,
            local_epochs=tuning.steps,
            batch_size=len(chosen),
            optimiser="sgd",
            learning_rate=tuning.learning_rate,
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
        )
        own = self._examples.rows(torch.from_numpy(chosen))
        trained = train_locally(self._task, settings, own, Assignment("calibration", 0), self._vector)
        others = self._examples.rows(torch.from_numpy(rest))
        return predict_examples(self._task, self._vector + trained.delta, others).astype(np.float64)
