"""How a run's progress is shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.run import Observer
from privateyes.tasks.gaze.units import unit_of


def choose_observer() -> AbstractContextManager[Observer]:
    """Bars if stderr is a terminal, plain lines on stderr otherwise."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[error]}"),
        TimeRemainingColumn(),
    )
    return bars_or_lines(Bars, PlainLines, columns)


def _title(fold: str, way: str) -> str:
    return way if fold == ONLY_FOLD else f"{way} without {fold}"


class Bars:
    """`experiments.run.Observer` as one bar per way and fold."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], TaskID] = {}

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def way_started(self, fold: str, way: str, done: int, rounds: int) -> None:
        """A new bar."""
        title = escape(_title(fold, way))
        self._bars[fold, way] = self._progress.add_task(title, total=rounds, completed=done, error="")

    def round_done(self, line: Mapping[str, Any]) -> None:
        """The bar moves and shows the error of the last round that was evaluated."""
        bar = self._bars[line["fold"], line["way"]]
        self._progress.update(bar, completed=line["round"])
        if "mean_error" in line:
            self._progress.update(bar, error=unit_of(line).written(line["mean_error"]))

    def way_finished(self, fold: str, way: str) -> None:
        """The bar stays, full."""


class PlainLines:
    """`experiments.run.Observer` as lines of text: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = perf_counter()
        self._forget()

    def _forget(self) -> None:
        self._run = 0
        self._best: int | None = None
        self._result: Mapping[str, Any] | None = None

    def note(self, text: str) -> None:
        """The text as a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def way_started(self, fold: str, way: str, done: int, rounds: int) -> None:
        """The way's name, and from where it goes on."""
        self._started = perf_counter()
        self._forget()
        resumed = f", from round {done + 1}" if done else ""
        self.note(f"{_title(fold, way)}: {rounds} {'round' if rounds == 1 else 'rounds'}{resumed}")

    def round_done(self, line: Mapping[str, Any]) -> None:
        """Kept for the way's last line: the best round if validation persons decide, else the last evaluated one."""
        self._run = line["round"]
        self._best = line.get("best_round", self._best)
        if "mean_error" in line and self._best in (None, line["round"]):
            self._result = line

    def way_finished(self, fold: str, way: str) -> None:
        """The error of the model that is the way's result, and the time."""
        seconds = perf_counter() - self._started
        which = "" if self._best is None else f"round {self._best} of {self._run} run"
        result = which  # all that is known where the best round was before a stop
        if self._result is not None:
            error = f"{self._result['mean_error']:.2f} {unit_of(self._result).word}"
            result = f"{error} ({which})" if which else error
        self.note(f"{_title(fold, way)}: {result}{', ' if result else ''}{seconds:.1f} s")
