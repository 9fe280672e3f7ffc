from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from privateyes.errors import UsageError
from privateyes.training.flat import FlatParameters
from privateyes.training.vector import load_vector, vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask


def test_the_model_computes_and_reads_back_as_before(patch_task: LearningTask) -> None:
    model, other = patch_task.build_model(1).eval(), patch_task.build_model(1).eval()
    images = patch_task.examples("a").inputs
    flat = FlatParameters(model)
    assert torch.equal(patch_task.predict(model, images), patch_task.predict(other, images))
    np.testing.assert_array_equal(vector_from_model(model), vector_from_model(other))
    assert flat.values.tolist() == vector_from_model(other).tolist()


def test_a_change_of_the_vector_is_a_change_of_the_model_and_the_other_way_round(patch_task: LearningTask) -> None:
    model = patch_task.build_model(1)
    flat = FlatParameters(model)
    with torch.no_grad():
        flat.values.fill_(0.5)
    assert set(vector_from_model(model)) == {0.5}
    vector = np.arange(flat.values.numel(), dtype=np.float32)
    load_vector(model, vector)
    assert flat.values.tolist() == vector.tolist()


def test_gradients_arrive_in_the_vector(patch_task: LearningTask) -> None:
    model, other = patch_task.build_model(1).eval(), patch_task.build_model(1).eval()
    flat, examples = FlatParameters(model), patch_task.examples("a")
    for network in (model, other):
        patch_task.loss_of(patch_task.predict(network, examples.inputs), examples.targets).backward()  # type: ignore[no-untyped-call]
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in other.parameters() if parameter.grad is not None])
    assert torch.equal(flat.gradients, expected)
    assert flat.values.grad is flat.gradients


def test_frozen_parameters_and_buffers_are_left_where_they_are() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    model[0].weight.requires_grad = False
    before = model[0].weight.detach().clone()
    flat = FlatParameters(model)
    assert flat.values.numel() == 3 + 6 + 4
    with torch.no_grad():
        flat.values.fill_(9.0)
    assert torch.equal(model[0].weight, before)
    assert model[0].weight.grad is None
    assert torch.equal(model[1].running_mean, torch.zeros(3))  # type: ignore[arg-type]


def test_a_channels_last_parameter_stays_so_and_keeps_its_values() -> None:
    model = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Flatten()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    strides, vector = model[0].weight.stride(), vector_from_model(model)
    assert strides != model[0].weight.contiguous().stride()
    FlatParameters(model)
    assert model[0].weight.stride() == strides
    assert vector_from_model(model).tobytes() == vector.tobytes()


def test_a_parameter_whose_elements_overlap_in_memory_gets_elements_of_its_own() -> None:
    model = nn.Module()
    model.register_parameter("row", nn.Parameter(torch.arange(3.0).expand(2, 3)))
    FlatParameters(model)
    with torch.no_grad():
        model.row[0, 0] = 7.0
    assert model.row.tolist() == [[7.0, 1.0, 2.0], [0.0, 1.0, 2.0]]


def test_another_type_than_float32_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1).to(torch.float64))
    with pytest.raises(UsageError, match=r"parameter 1\.weight is float64"):
        FlatParameters(model)
