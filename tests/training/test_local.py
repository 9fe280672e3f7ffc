from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from privateyes.errors import TrainingError
from privateyes.training.local import LocalSettings, learning_rate_at, train_locally
from privateyes.training.task import Examples
from privateyes.training.vector import vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask

SETTINGS = LocalSettings(
    seed=1, rounds=10, local_epochs=2, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=0.0, schedule="constant",
)  # fmt: skip


def start(task: LearningTask) -> np.ndarray:
    return vector_from_model(task.build_model(3))


def test_training_reaches_what_there_is_to_learn(task: LearningTask) -> None:
    vector = start(task)
    for round_index in range(10):
        vector = vector + train_locally(task, SETTINGS, task.examples("a"), "a", round_index, vector).delta
    np.testing.assert_allclose(vector, [1.0, -2.0, 0.5], atol=0.01)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_round_is_the_same_every_time_whatever_was_drawn_before(
    task_with_dropout: LearningTask, optimiser: str
) -> None:
    task = task_with_dropout
    settings = replace(SETTINGS, optimiser=optimiser)  # type: ignore[arg-type]
    first = train_locally(task, settings, task.examples("a"), "a", 4, start(task))
    torch.rand(17)
    second = train_locally(task, settings, task.examples("a"), "a", 4, start(task))
    assert first.delta.tobytes() == second.delta.tobytes()
    assert first.loss == second.loss


def test_the_callers_random_numbers_are_left_alone(task: LearningTask) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train_locally(task, SETTINGS, task.examples("a"), "a", 0, start(task))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("other", [("b", 0, 1), ("a", 1, 1), ("a", 0, 2)])
def test_another_client_round_or_seed_shuffles_otherwise(task: LearningTask, other: tuple[str, int, int]) -> None:
    client, round_index, seed = other
    first = train_locally(task, SETTINGS, task.examples("a"), "a", 0, start(task))
    second = train_locally(task, replace(SETTINGS, seed=seed), task.examples("a"), client, round_index, start(task))
    assert first.delta.tobytes() != second.delta.tobytes()


def test_two_epochs_of_full_batches_are_two_steps_of_gradient_descent(task: LearningTask) -> None:
    examples = task.examples("a")
    settings = replace(SETTINGS, batch_size=50, momentum=0.0)
    result = train_locally(task, settings, examples, "a", 0, start(task))
    inputs = np.c_[examples.inputs[0].numpy().astype(np.float64), np.ones(50)]
    expected = start(task).astype(np.float64)
    for _ in range(2):
        residual = inputs @ expected - examples.targets.numpy()[:, 0]
        expected = expected - 0.05 * 2 * inputs.T @ residual / 50
    np.testing.assert_allclose(start(task) + result.delta, expected, atol=1e-5)
    assert result.samples == 50


def test_the_start_vector_is_not_changed(task: LearningTask) -> None:
    vector = start(task)
    before = vector.copy()
    train_locally(task, SETTINGS, task.examples("a"), "a", 0, vector)
    np.testing.assert_array_equal(vector, before)


def test_divergence_names_client_round_and_remedy(task: LearningTask) -> None:
    settings = replace(SETTINGS, learning_rate=1e20)
    with pytest.raises(TrainingError, match=r"client p07: training diverged to .* in round 3; lower"):
        train_locally(task, settings, task.examples("a"), "p07", 2, start(task))


def test_a_nan_in_a_label_is_noticed(task: LearningTask) -> None:
    examples = task.examples("a")
    examples.targets[7] = float("nan")
    with pytest.raises(TrainingError, match="client a: training diverged to nan"):
        train_locally(task, SETTINGS, examples, "a", 0, start(task))


def test_a_client_without_samples_is_refused(task: LearningTask) -> None:
    nothing = Examples((torch.zeros(0, 2),), torch.zeros(0, 1))
    with pytest.raises(TrainingError, match="client a has no samples"):
        train_locally(task, SETTINGS, nothing, "a", 0, start(task))


def test_the_cosine_falls_from_the_whole_rate_towards_nothing() -> None:
    cosine = replace(SETTINGS, schedule="cosine")
    rates = [learning_rate_at(cosine, index) for index in range(10)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[5] == pytest.approx(0.025)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[9] < 0.002
    assert {learning_rate_at(SETTINGS, index) for index in range(10)} == {0.05}
