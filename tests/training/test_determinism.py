from __future__ import annotations

import os

import pytest
import torch

from privateyes.training.determinism import deterministic_torch


def test_inside_there_is_one_thread_and_afterwards_everything_is_as_before() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    with deterministic_torch():
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_settings_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), deterministic_torch():
        raise KeyError
    assert torch.get_num_threads() == before


def test_memory_that_nobody_wrote_is_not_filled_inside() -> None:
    before = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with deterministic_torch():
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert torch.utils.deterministic.fill_uninitialized_memory == before  # type: ignore[attr-defined]


def test_for_cuda_cublas_has_a_fixed_workspace_and_convolutions_do_without_tf32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)
    with deterministic_torch(torch.device("cuda")):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before


def test_a_workspace_that_the_environment_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic_torch(torch.device("cuda")):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
