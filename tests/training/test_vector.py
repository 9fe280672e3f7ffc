from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from privateyes.errors import TrainingError, UsageError
from privateyes.training.vector import load_vector, refuse_running_statistics, tensor_lengths, vector_from_model


def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(2, 3))


def test_the_lengths_of_the_tensors_add_up_to_the_vector() -> None:
    assert tensor_lengths(model()) == (18, 2, 2, 2, 6, 3)
    assert sum(tensor_lengths(model())) == vector_from_model(model()).size


def test_a_vector_that_is_loaded_comes_back() -> None:
    network = model()
    vector = np.arange(vector_from_model(network).size, dtype=np.float32)
    load_vector(network, vector)
    np.testing.assert_array_equal(vector_from_model(network), vector)
    assert network[0].bias is not None
    assert network[0].bias.tolist() == [18.0, 19.0]  # after the 2 x 1 x 3 x 3 weights


def test_the_vector_is_a_copy() -> None:
    network = model()
    vector = vector_from_model(network)
    before = vector.copy()
    load_vector(network, vector + 1)
    np.testing.assert_array_equal(vector, before)


def test_frozen_parameters_are_not_in_the_vector() -> None:
    network = model()
    network[0].weight.requires_grad = False
    assert vector_from_model(network).size == vector_from_model(model()).size - 18


def test_a_vector_of_another_model_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"shape \(5,\) for a model with 33 parameters"):
        load_vector(model(), np.zeros(5, dtype=np.float32))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(2), nn.InstanceNorm2d(2, track_running_stats=True)])
def test_running_statistics_are_refused_by_name_and_with_the_remedy(norm: nn.Module) -> None:
    with pytest.raises(UsageError, match=r"module 1 \(\w+\) keeps running statistics.*GroupNorm"):
        refuse_running_statistics(nn.Sequential(nn.Conv2d(1, 2, 3), norm))


@pytest.mark.parametrize("norm", [nn.GroupNorm(1, 2), nn.BatchNorm2d(2, track_running_stats=False), nn.LayerNorm(2)])
def test_normalisation_without_running_statistics_is_accepted(norm: nn.Module) -> None:
    refuse_running_statistics(nn.Sequential(nn.Conv2d(1, 2, 3), norm))
