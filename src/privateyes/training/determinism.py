"""Torch, made to give the same bytes every time.

On the CPU this holds for one machine and one version of torch, whatever runs beside it. On CUDA it holds for one kind
of GPU, driver and version; between CPU and GPU it does not hold, because sums are formed in another order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
import torch.utils.deterministic

_CPU: Final = torch.device("cpu")
# As torch.use_deterministic_algorithms(True), which also imports torch's compiler, for 1.6 seconds, and none is used.
_ERROR: Final = "error"
_CUBLAS: Final = "CUBLAS_WORKSPACE_CONFIG"
# One of the two settings with which cuBLAS is deterministic, says its documentation on reproducibility.
_CUBLAS_DETERMINISTIC: Final = ":4096:8"


@contextmanager
def deterministic_torch(device: torch.device = _CPU) -> Iterator[None]:
    """One thread and deterministic algorithms inside the block; the caller's settings after it.

    The number of threads decides the order in which sums are formed, and with it their last bits. On CUDA, cuBLAS gets
    a fixed workspace (unless the environment names one) and float32 means float32: no TF32 in convolutions. An
    operation without a deterministic implementation there raises RuntimeError and says so.

    Torch also fills fresh memory with NaN in this mode, to show code that reads what it never wrote. That costs up to a
    sixth of a training step and changes no result of code that does not, so it is off.
    """
    threads = torch.get_num_threads()
    deterministic = torch.get_deterministic_debug_mode()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode(_ERROR)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        if device.type == "cuda":
            with _deterministic_cuda():
                yield
        else:
            yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]
        torch.set_deterministic_debug_mode(deterministic)
        torch.set_num_threads(threads)


@contextmanager
def _deterministic_cuda() -> Iterator[None]:
    workspace, tf32, tuning = os.environ.get(_CUBLAS), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    os.environ.setdefault(_CUBLAS, _CUBLAS_DETERMINISTIC)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = tuning
        torch.backends.cudnn.allow_tf32 = tf32
        if workspace is None:
            del os.environ[_CUBLAS]
