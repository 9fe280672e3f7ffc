"""The counterpart in the clear makes exactly the job's steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.baselines.mpc.in_the_clear import OnFeatures, Perceptron, build_perceptron, shake, train_in_the_clear
from privateyes.baselines.mpc.job import Network, Sgd, TrainingJob
from privateyes.tasks.gaze.models import build_model
from privateyes.training.vector import vector_from_model

Make = Callable[..., TrainingJob]


def _by_hand(job: TrainingJob) -> NDArray[np.float64]:
    """A linear model trained in numpy; gradients of the mean square and of the mean absolute difference."""
    features = np.concatenate([owner.features for owner in job.owners]).astype(np.float64)
    targets = np.concatenate([owner.targets for owner in job.owners]).astype(np.float64)
    weight, bias = job.initial[:14].reshape(2, 7).astype(np.float64), job.initial[14:].astype(np.float64)
    fast_weight, fast_bias = np.zeros_like(weight), np.zeros_like(bias)
    for rows in job.plan:
        x, y = features[list(rows)], targets[list(rows)]
        difference = x @ weight.T + bias - y
        slope = (2 * difference if job.sgd.loss == "l2" else np.sign(difference)) / difference.size
        fast_weight = job.sgd.momentum * fast_weight + slope.T @ x
        fast_bias = job.sgd.momentum * fast_bias + slope.sum(axis=0)
        weight, bias = weight - job.sgd.learning_rate * fast_weight, bias - job.sgd.learning_rate * fast_bias
    return np.concatenate([weight.ravel(), bias])


@pytest.mark.parametrize("sgd", [Sgd(0.1, 0.9, "l2"), Sgd(0.1, 0.0, "l2"), Sgd(0.02, 0.5, "l1")])
def test_the_counterpart_makes_the_steps_of_sgd_with_momentum(sgd: Sgd, make_job: Make) -> None:
    network = Network("perceptron", ((2, 7), (2,)))
    job = make_job(network=network, initial=np.linspace(-1, 1, 16, dtype=np.float32), sgd=sgd)
    assert train_in_the_clear(job, Perceptron([7, 2])) == pytest.approx(_by_hand(job), abs=1e-5)


def test_the_perceptron_depends_on_its_seed_only() -> None:
    network, first = build_perceptron(9, [5, 4], 2, seed=3)
    assert network.shapes == ((5, 9), (5,), (4, 5), (4,), (2, 4), (2,))
    assert network.parameters == 45 + 5 + 20 + 4 + 8 + 2
    again, other = build_perceptron(9, [5, 4], 2, seed=3)[1], build_perceptron(9, [5, 4], 2, seed=4)[1]
    assert np.array_equal(vector_from_model(first), vector_from_model(again))
    assert not np.array_equal(vector_from_model(first), vector_from_model(other))


def test_a_perceptron_without_hidden_layers_is_linear() -> None:
    assert build_perceptron(9, [], 2, seed=3)[0].shapes == ((2, 9), (2,))


def test_a_model_of_images_reads_pixels_and_pose_from_the_features() -> None:
    import torch

    model = build_model("small_cnn", (9, 15), 1)
    features = torch.rand(3, 9 * 15 + 2)
    expected = model(features[:, :135].reshape(3, 1, 9, 15), features[:, 135:])
    assert torch.equal(OnFeatures(model, (9, 15))(features), expected)


def test_shaking_moves_every_parameter_by_one_unit_of_fixed_point(make_job: Make) -> None:
    job = make_job(initial=np.zeros(32, np.float32))
    assert set(np.abs(shake(job).initial) * 2.0**18) == {1.0}
    assert set(np.abs(shake(replace(job, ring_bits=128)).initial) * 2.0**40) == {1.0}
    assert len(set(np.sign(shake(job).initial))) == 2
