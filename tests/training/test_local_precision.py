"""Mixed precision and devices, as far as a CPU can show them; what needs a GPU is marked so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privateyes.errors import ConfigError, TrainingError
from privateyes.federation.participants import ClientUpdate
from privateyes.training.determinism import deterministic_torch
from privateyes.training.evaluation import predict_examples
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.vector import vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask

SETTINGS = LocalSettings(
    seed=1, rounds=10, local_epochs=4, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=1e-4, schedule="constant",
)  # fmt: skip


def round_in(task: LearningTask, precision: str, device: str = "cpu") -> ClientUpdate:
    settings = replace(SETTINGS, precision=precision, device=device)  # type: ignore[arg-type]
    start = vector_from_model(task.build_model(3))
    with deterministic_torch(torch.device(device)):
        return train_locally(task, settings, task.examples("abcd"), Assignment("abcd", 0), start)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_learn_what_thirty_two_do_and_differ_a_little(patch_task: LearningTask, precision: str) -> None:
    full, half = round_in(patch_task, "float32"), round_in(patch_task, precision)
    assert half.delta.dtype == np.float32
    difference = np.linalg.norm(half.delta - full.delta) / np.linalg.norm(full.delta)
    assert 0 < difference < 0.2
    assert half.loss == pytest.approx(full.loss, rel=0.05)
    assert half.delta.tobytes() == round_in(patch_task, precision).delta.tobytes()


def test_the_model_computes_in_sixteen_bits_and_the_loss_in_thirty_two(patch_task: LearningTask) -> None:
    seen: list[tuple[torch.dtype, ...]] = []

    @dataclass(frozen=True)
    class Noting(type(patch_task)):  # type: ignore[misc]
        def predict(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
            predicted: Tensor = model(inputs[0])
            seen.append((predicted.dtype, *{parameter.dtype for parameter in model.parameters()}))
            return predicted

        def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
            seen.append((predicted.dtype, targets.dtype))
            return nn.functional.mse_loss(predicted, targets)

    round_in(Noting(), "bfloat16")
    assert set(seen) == {(torch.bfloat16, torch.float32), (torch.float32, torch.float32)}


def test_a_part_of_an_update_that_bfloat16_could_not_hold_is_in_the_update(task: LearningTask) -> None:
    """Parameters near 1000 that move by less than bfloat16's step there, which is 4."""
    start = np.array([1000.0, 0.0, 0.0], dtype=np.float32)
    settings = replace(SETTINGS, precision="bfloat16", learning_rate=1e-6)
    delta = train_locally(task, settings, task.examples("a"), Assignment("a", 0), start).delta
    assert 0 < abs(delta[0]) < 1


def scaled(task: LearningTask, factor: float) -> LearningTask:
    """The same task with a loss `factor` times as large."""

    @dataclass(frozen=True)
    class Scaled(type(task)):  # type: ignore[misc]
        def loss_of(self, predicted: Tensor, targets: Tensor) -> Tensor:
            return factor * nn.functional.mse_loss(predicted, targets)

    return Scaled()  # type: ignore[return-value]


def test_gradients_too_small_for_float16_are_kept_by_the_scale(
    patch_task: LearningTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privateyes.training import local

    task = scaled(patch_task, 1e-7)
    settings = replace(SETTINGS, precision="float16", learning_rate=1e5, weight_decay=0.0, momentum=0.0)
    start = vector_from_model(task.build_model(3))
    assert np.abs(train_locally(task, settings, task.examples("a"), Assignment("a", 0), start).delta).max() > 1e-3

    unscaled = torch.amp.GradScaler("cpu", enabled=False)
    monkeypatch.setattr(local, "scaler_of_losses", lambda precision, device: unscaled)
    lost = train_locally(task, settings, task.examples("a"), Assignment("a", 0), start).delta
    first_layer = slice(0, 54)  # the longest way back
    assert np.count_nonzero(lost[first_layer]) < 54


def test_steps_that_overflow_are_left_out_until_the_scale_fits(patch_task: LearningTask) -> None:
    task, settings = scaled(patch_task, 1e4), replace(SETTINGS, precision="float16", learning_rate=5e-6)
    start = vector_from_model(task.build_model(3))
    result = train_locally(task, settings, task.examples("a"), Assignment("a", 0), start)
    assert np.isfinite(result.delta).all()
    assert np.abs(result.delta).max() > 0


def test_a_round_in_which_everything_overflows_is_an_error_with_a_remedy(patch_task: LearningTask) -> None:
    task, settings = scaled(patch_task, 1e9), replace(SETTINGS, precision="float16", local_epochs=1)
    start = vector_from_model(task.build_model(3))
    with pytest.raises(TrainingError, match=r"client a: every gradient overflowed in float16 in round 3; set training"):
        train_locally(task, settings, task.examples("a"), Assignment("a", 2), start)


def test_cuda_that_is_not_there_is_refused(task: LearningTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no CUDA device"):
        train_locally(
            task, replace(SETTINGS, device="cuda"), task.examples("a"), Assignment("a", 0), np.zeros(3, np.float32)
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_trains_as_a_cpu_does_and_gives_the_same_bytes_twice(patch_task: LearningTask, precision: str) -> None:
    """Without dropout, whose random numbers a GPU draws otherwise."""
    task = type(patch_task)()
    there, here = round_in(task, precision, "cuda"), round_in(task, "float32")
    difference = np.linalg.norm(there.delta - here.delta) / np.linalg.norm(here.delta)
    assert difference < (1e-3 if precision == "float32" else 0.2)
    assert there.delta.tobytes() == round_in(task, precision, "cuda").delta.tobytes()
    vector, examples = vector_from_model(task.build_model(3)), task.examples("a")
    predicted = predict_examples(task, vector, examples, torch.device("cuda"))
    np.testing.assert_allclose(predicted, predict_examples(task, vector, examples), atol=1e-5)
