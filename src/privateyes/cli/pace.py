"""How much time is left, from how long what is done took; and a line now and then where there is no terminal."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from rich.console import Console

LINE_EVERY_S: Final = 60.0


class Pace:
    """The pace of equal steps since they began; those that an earlier attempt did cost nothing now."""

    def __init__(self) -> None:
        self.total = self.done = self._before = 0
        self._started = perf_counter()

    def begin(self, total: int, done: int) -> None:
        """There are so many steps, and so many of them are done already."""
        self.total, self.done, self._before = total, done, done
        self._started = perf_counter()

    def left(self) -> str:
        """``about 3 min left``; empty before the first step is done, for then nobody knows."""
        done, left = self.done - self._before, self.total - self.done
        if done <= 0 or left <= 0:
            return ""
        seconds = (perf_counter() - self._started) / done * left
        return f"about {in_words(seconds)} left"


class Lines:
    """Lines on a console, and when the last one was written: a log that says nothing for long looks like a hang."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = self._began = perf_counter()

    def write(self, text: str) -> None:
        """A line."""
        self._told = perf_counter()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def due(self) -> bool:
        """Whether the last line is so old that it is time for one."""
        return perf_counter() - self._told >= LINE_EVERY_S

    def age(self) -> str:
        """How long this has gone on, in words."""
        return in_words(perf_counter() - self._began)


def in_words(seconds: float) -> str:
    """``40 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
