from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
import torch
torch.set_num_threads(1)
from privateyes.engines.local.allocator import keep_freed_memory
assert keep_freed_memory()
def step():
    blocks = [torch.ones(2**20) for _ in range(16)]  # 4 MiB each

for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_blocks_that_are_freed_and_needed_again_cost_no_page_faults() -> None:
    """Without the call it is mostly 160,000, unless a small block happens to lie on top of the heap."""
    answer = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 1000
