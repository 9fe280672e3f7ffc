from __future__ import annotations

import pytest
import torch

from privateyes.errors import ConfigError
from privateyes.training.device import computing_in, resolve_device, scaler_of_losses

CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error_with_a_remedy() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == CPU
    with pytest.raises(
        ConfigError, match=r'runtime\.device = "cuda", but this torch .* sees no CUDA device; set it to'
    ):
        resolve_device("cuda")


@pytest.mark.usefixtures("a_gpu")
def test_with_a_gpu_auto_takes_it_and_cpu_does_not() -> None:
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("precision", "kind"), [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_a_layer_computes_in_the_precision_and_keeps_its_parameters(precision: str, kind: torch.dtype) -> None:
    layer = torch.nn.Linear(3, 2)
    with computing_in(precision, CPU):  # type: ignore[arg-type]
        output = layer(torch.ones(1, 3))
    assert output.dtype == kind
    output.float().sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert layer(torch.ones(1, 3)).dtype == torch.float32


def test_only_float16_scales_its_losses() -> None:
    assert [scaler_of_losses(precision, CPU).is_enabled() for precision in ("float32", "bfloat16", "float16")] == [
        False,
        False,
        True,
    ]
