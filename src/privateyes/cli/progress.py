"""How a run's progress is shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.run import Observer
from privateyes.tasks.gaze.units import unit_of


@contextmanager
def choose_observer() -> Iterator[Observer]:
    """Bars if stderr is a terminal, plain lines on stderr otherwise; stdout is kept for results."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainLines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[error]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)


def _title(fold: str, way: str) -> str:
    return way if fold == ONLY_FOLD else f"{way} without {fold}"


class Bars:
    """`experiments.run.Observer` as one bar per way and fold."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], TaskID] = {}

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False)

    def way_started(self, fold: str, way: str, done: int, rounds: int) -> None:
        """A new bar."""
        title = _title(fold, way)
        self._bars[fold, way] = self._progress.add_task(title, total=rounds, completed=done, error="")

    def round_done(self, line: Mapping[str, Any]) -> None:
        """The bar moves and shows the error so far."""
        bar = self._bars[line["fold"], line["way"]]
        self._progress.update(bar, completed=line["round"], error=unit_of(line).written(line["mean_error"]))

    def way_finished(self, fold: str, way: str) -> None:
        """The bar stays, full."""


class PlainLines:
    """`experiments.run.Observer` as lines of text: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = perf_counter()
        self._last: Mapping[str, Any] = {}

    def note(self, text: str) -> None:
        """The text as a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def way_started(self, fold: str, way: str, done: int, rounds: int) -> None:
        """The way's name, and from where it goes on."""
        self._started = perf_counter()
        resumed = f", from round {done + 1}" if done else ""
        self.note(f"{_title(fold, way)}: {rounds} {'round' if rounds == 1 else 'rounds'}{resumed}")

    def round_done(self, line: Mapping[str, Any]) -> None:
        """Kept for the way's last line."""
        self._last = line

    def way_finished(self, fold: str, way: str) -> None:
        """The error and the time."""
        seconds = perf_counter() - self._started
        error = f"{self._last['mean_error']:.2f} {unit_of(self._last).word}"
        self.note(f"{_title(fold, way)}: {error}, {seconds:.1f} s")
