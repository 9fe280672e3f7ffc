"""How far a command is that does one thing after the other, such as testing persons."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.cli.pace import Lines, Pace

Counter = Callable[[int, int], None]
"""Told how many are done, and of how many; 0 where that is not known."""


def choose_counter(what: str) -> AbstractContextManager[Counter]:
    """A bar if stderr is a terminal, which goes when all is done; else a line now and then.

    Args:
        what: is counted, such as ``persons tested``.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return bars_or_lines(
        lambda progress: CountingBar(progress, what),
        lambda console: CountingLines(console, what),
        columns,
        transient=True,
    )


class CountingBar:
    """A `Counter` as a bar."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def __call__(self, done: int, total: int) -> None:
        """The bar moves."""
        self._progress.update(self._task, completed=done, total=total or None)


class CountingLines:
    """A `Counter` as lines: at most one a minute, and one a minute where nothing is done meanwhile."""

    def __init__(self, console: Console, what: str) -> None:
        self._lines, self._what, self._pace = Lines(console), what, Pace()
        self._begun = False

    def __call__(self, done: int, total: int) -> None:
        """Remembered; told if it is time."""
        if not self._begun:
            self._begun = True
            self._pace.begin(total, done)
        self._pace.done, self._pace.total = done, total
        self.beat()

    def beat(self) -> None:
        """A line, if it is time for one."""
        if self._lines.due():
            known = f"{self._pace.done} of {self._pace.total}" if self._pace.total else str(self._pace.done)
            left = self._pace.left()
            self._lines.write(f"{self._what}: {known}" + (f"; {left}" if left else ""))
