"""How much work each role does in a local run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time

from privateyes.engines.local.message_log import Endpoint


class RoleClock:
    """Processor seconds of work by role: what one core would need for all parties of a role together.

    It is no wall time. Threads that work side by side add up, waiting counts for nothing, and neither does what the
    simulation does around the parties' own steps: carrying and parsing messages, storing, forcing files to disk.

    Args:
        read: processor seconds of the calling thread; ``ThreadTeam.seconds`` also counts the threads that helped it.
    """

    def __init__(self, read: Callable[[], float] = thread_time) -> None:
        self.seconds = dict.fromkeys(Endpoint, 0.0)
        self._read = read
        self._adding = threading.Lock()

    @contextmanager
    def work_of(self, role: Endpoint) -> Iterator[None]:
        """Add the work inside to a role; from any thread."""
        started = self._read()
        try:
            yield
        finally:
            spent = self._read() - started
            with self._adding:
                self.seconds[role] += spent
