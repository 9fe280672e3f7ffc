"""Threads that work side by side within one process: on several parties of a step, and on parts of one party's work.

AES, SHA-256, the compiled kernels and large numpy operations let go of the interpreter's lock, so threads use every
core where vectors are large. No result depends on their number: items are independent, results come back in the order
of the items, and of several failures the first in that order is raised, as it would be with one thread.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import thread_time
from typing import Final, Generic, TypeVar, cast

from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.errors import PrivateyesError

T = TypeVar("T")
R = TypeVar("R")

_WORTH_A_THREAD_BYTES: Final = 1 << 17


def threads_for(vector_bytes: int, wanted: int = 0) -> int:
    """How many threads to work on vectors of this size with.

    Handing small ones over costs more than it gains: their steps are mostly Python, of which one thread runs at a time.

    Args:
        wanted: at most so many; 0 means one for each core that this process may use.
    """
    return 1 if vector_bytes < _WORTH_A_THREAD_BYTES else wanted or usable_cores()


class ThreadTeam:
    """A number of threads, the caller's own among them.

    Args:
        count: how many work at a time; 0 means one for each core that this process may use.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count or usable_cores()
        # One more than can work beside the caller: callers that wait for the last item leave their core to others.
        self._pool = ThreadPoolExecutor(self.count, "privateyes-team") if self.count > 1 else None
        self._helped = threading.local()

    def lanes(self) -> Lanes:
        """This team as what a party's own transition spreads its work over."""
        return ONE_LANE if self._pool is None else Lanes(self.count, self.run)

    def run(self, work: Callable[[T], R], items: Iterable[T], /) -> list[R]:
        """``[work(item) for item in items]``, several at a time. May be called from within ``work``.

        Raises:
            PrivateyesError: of the first item, in their order, that failed; nobody is at work any more then.
        """
        given = list(items)
        if self._pool is None or len(given) < 2:
            return [work(item) for item in given]
        task = _Task(work, given)
        helpers = [self._pool.submit(self._help, task) for _ in range(min(self.count, len(given)) - 1)]
        try:
            task.work_through()
        finally:
            task.stop()
            # Those that never began are called off, so a caller never waits for a thread that waits for it.
            begun: list[Future[float]] = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        self._helped.seconds = self._help_of_others() + sum(helper.result() for helper in begun)
        return task.outcome()

    def seconds(self) -> float:
        """Processor time of the calling thread, and of those that helped it; only differences mean something."""
        return thread_time() + self._help_of_others()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _help(self, task: _Task[T, R]) -> float:
        started = self.seconds()
        task.work_through()
        return self.seconds() - started

    def _help_of_others(self) -> float:
        return cast(float, getattr(self._helped, "seconds", 0.0))


def usable_cores() -> int:
    """How many cores this process may use, which a container may have made fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not everywhere
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Task(Generic[T, R]):
    """One call's items, taken one after the other by whoever is free."""

    def __init__(self, work: Callable[[T], R], items: Sequence[T]) -> None:
        self._work = work
        self._waiting = deque(enumerate(items))
        self._results: dict[int, R] = {}
        self._failures: dict[int, PrivateyesError] = {}
        self._count = len(items)

    def work_through(self) -> None:
        """Take items until none is left or one has failed."""
        while True:
            try:
                index, item = self._waiting.popleft()
            except IndexError:
                return
            try:
                self._results[index] = self._work(item)
            except PrivateyesError as error:
                # Items are begun in order, so every earlier one is done or at work, and may fail yet.
                self._failures[index] = error
                self.stop()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Begin no further item."""
        self._waiting.clear()

    def outcome(self) -> list[R]:
        """The results in order, or the first failure."""
        if self._failures:
            raise self._failures[min(self._failures)]
        return [self._results[index] for index in range(self._count)]
