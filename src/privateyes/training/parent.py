"""A worker process whose parent is gone trains for nobody: it leaves at its next step, and not at the end of its job.

Nothing tells a process that its parent was killed. A worker reads it from the end of its pipe, but only between two
jobs, and a job may take minutes.
"""

from __future__ import annotations

import multiprocessing
from time import monotonic
from typing import Final

_EVERY_S: Final = 0.5  # asking costs more than a step of a small model


class Parent:
    """Whether the process that started this one with `multiprocessing` is still there."""

    def __init__(self) -> None:
        self._process = multiprocessing.parent_process()
        self._asked = monotonic()

    def require(self) -> None:
        """Go on; or, in a worker whose parent is gone, leave. Cheap: asks twice a second at most.

        Raises:
            SystemExit: the parent is gone. Nobody could be told of an error.
        """
        if self._process is None:
            return
        now = monotonic()
        if now - self._asked >= _EVERY_S:
            self._asked = now
            if not self._process.is_alive():
                raise SystemExit(1)
