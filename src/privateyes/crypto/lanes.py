"""Work that may be done side by side within one transition.

The protocol's code is pure and starts no threads. An engine that has cores to spare passes lanes in; no result depends
on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Run(Protocol):
    """Like the built-in ``map``: calls the function for each item, perhaps several at a time, results in order."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]: ...


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many pieces of work are worth doing at a time, and what does them.

    Attributes:
        count: at least 1.
        run: ``map``, or an executor's map.
    """

    count: int
    run: Run


ONE_LANE: Final = Lanes(1, map)
