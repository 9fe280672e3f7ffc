"""Makes a process keep the memory that it frees.

Training allocates and frees the same large blocks in every step, secure aggregation in every round. By default glibc
hands each of them back to the system and asks for it again, and the page faults cost about 40 percent of a step's time
with small networks.
"""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_ONE_GIB = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's thresholds for this process; returns whether it could (False elsewhere, where nothing happens)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return all(mallopt(option, _ONE_GIB) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
