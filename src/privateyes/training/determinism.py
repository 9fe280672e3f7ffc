"""Torch, made to give the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic_torch() -> Iterator[None]:
    """One thread and deterministic algorithms inside the block; the caller's settings after it.

    The number of threads decides the order in which sums are formed, and with it their last bits.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)
