from __future__ import annotations

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
