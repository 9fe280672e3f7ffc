from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from privateyes.training.calibration import Prior
from privateyes.training.calibration_settings import ADAPTATIONS, Adaptation
from privateyes.training.metric import Metric
from privateyes.training.personal import FineTuning, PersonalModel
from privateyes.training.task import Examples, LearningTask
from privateyes.training.vector import vector_from_model

PRIOR = Prior(noise=0.1, bias=0.1, gain=0.2)
TUNING = FineTuning(seed=1, steps=20, learning_rate=0.05)


class TwoAngles(LearningTask):
    """Two numbers from four, by two linear layers."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return ()

    def build_model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def predict(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        predicted: torch.Tensor = model(inputs[0])
        return predicted

    def loss_of(self, predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(predicted, targets)


@pytest.fixture
def model() -> PersonalModel:
    """A person whose labels are the model's output plus (0.3, -0.2)."""
    task: Any = TwoAngles()
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        targets = task.predict(task.build_model(3), (inputs,)) + torch.tensor([0.3, -0.2])
    return PersonalModel(task, vector_from_model(task.build_model(3)), Examples((inputs,), targets), PRIOR)


def error(model: PersonalModel, adapt: Adaptation, k: int) -> float:
    rows = np.arange(60)
    predicted = model.calibrated(adapt, rows[:k], rows[k:], TUNING)
    assert predicted.shape == (60 - k, 2)
    return float(np.abs(predicted - model.labels[k:]).mean())


@pytest.mark.parametrize("adapt", ADAPTATIONS)
def test_every_adaptation_learns_a_persons_offset_from_few_samples(model: PersonalModel, adapt: Adaptation) -> None:
    uncalibrated = float(np.abs(model.predicted - model.labels).mean())
    assert uncalibrated == pytest.approx(0.25)
    assert error(model, adapt, 9) < 0.6 * uncalibrated


@pytest.mark.parametrize("adapt", ADAPTATIONS)
def test_the_shared_parameters_and_predictions_stay_as_they_are(model: PersonalModel, adapt: Adaptation) -> None:
    vector, predicted = model._vector.copy(), model.predicted.copy()
    model._vector.flags.writeable = False
    error(model, adapt, 5)
    assert np.array_equal(model._vector, vector)
    assert np.array_equal(model.predicted, predicted)


@pytest.mark.parametrize("adapt", ADAPTATIONS)
def test_labels_of_other_samples_play_no_part(model: PersonalModel, adapt: Adaptation) -> None:
    rows = np.arange(60)
    first = model.calibrated(adapt, rows[:5], rows[5:], TUNING)
    model.labels[5:] = 99.0
    model._examples.targets[5:] = 99.0
    assert np.array_equal(model.calibrated(adapt, rows[:5], rows[5:], TUNING), first)


def test_announcing_samples_changes_nothing_but_time(model: PersonalModel) -> None:
    rows = np.arange(60)
    first = model.calibrated("last_layer", rows[:5], rows[5:], TUNING)
    model.announce(rows[:20])
    assert model.calibrated("last_layer", rows[15:20], rows[20:], TUNING).shape == (40, 2)
    assert model.calibrated("last_layer", rows[:5], rows[5:], TUNING) == pytest.approx(first)


def test_samples_without_a_finite_label_or_prediction_are_not_usable(model: PersonalModel) -> None:
    model.predicted[3, 0] = np.nan
    model.labels[5, 1] = np.inf
    assert np.flatnonzero(~model.usable()).tolist() == [3, 5]
