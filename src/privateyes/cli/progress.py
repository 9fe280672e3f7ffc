"""How a run's progress is shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.cli.pace import Lines, Pace
from privateyes.experiments.folds import ONLY_FOLD
from privateyes.experiments.run import Observer
from privateyes.experiments.tasks import metric_of


def choose_observer() -> AbstractContextManager[Observer]:
    """Bars if stderr is a terminal, plain lines on stderr otherwise."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[error]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return bars_or_lines(Bars, PlainLines, columns)


def _title(fold: str, method: str) -> str:
    return method if fold == ONLY_FOLD else f"{method} without {fold}"


class Bars:
    """`experiments.run.Observer` as one bar over everything, and one per method and fold."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], TaskID] = {}
        self._left: dict[tuple[str, str], int] = {}
        self._whole: TaskID | None = progress.add_task("preparing", total=None, error="")

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def planned(self, rounds: int, done: int) -> None:
        """The bar over everything."""
        if self._whole is not None:
            self._progress.remove_task(self._whole)
        self._whole = self._progress.add_task("all methods", total=rounds, completed=done, error="")

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None:
        """A new bar."""
        title = escape(_title(fold, method))
        self._bars[fold, method] = self._progress.add_task(title, total=rounds, completed=done, error="")
        self._left[fold, method] = rounds - done

    def round_done(self, line: Mapping[str, Any]) -> None:
        """Both bars move, and the method's shows the error of the last round that was evaluated."""
        key = line["fold"], line["method"]
        self._progress.update(self._bars[key], completed=line["round"])
        if "mean_error" in line:
            self._progress.update(self._bars[key], error=metric_of(line).written(line["mean_error"]))
        self._left[key] -= 1
        self._advance(1)

    def method_finished(self, fold: str, method: str) -> None:
        """The bar stays, full. Rounds that the method left out, as it stopped early, are not done any more."""
        self._progress.stop_task(self._bars[fold, method])
        self._advance(self._left.pop((fold, method)))

    def _advance(self, rounds: int) -> None:
        if self._whole is not None:
            self._progress.advance(self._whole, rounds)


class PlainLines:
    """`experiments.run.Observer` as lines of text: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._lines = Lines(console)
        self._pace = Pace()
        self._started = perf_counter()
        self._at = ""
        self._forget()

    def _forget(self) -> None:
        self._run = self._rounds = 0
        self._best: int | None = None
        self._result: Mapping[str, Any] | None = None

    def note(self, text: str) -> None:
        """The text as a line."""
        self._lines.write(text)

    def planned(self, rounds: int, done: int) -> None:
        """Remembered, to say how much time is left."""
        self._pace.begin(rounds, done)

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None:
        """The method's name, and from where it goes on."""
        self._started = perf_counter()
        self._forget()
        self._at, self._run, self._rounds = _title(fold, method), done, rounds
        resumed = f", from round {done + 1}" if done else ""
        self.note(f"{self._at}: {rounds} {'round' if rounds == 1 else 'rounds'}{resumed}")

    def round_done(self, line: Mapping[str, Any]) -> None:
        """Kept for the method's last line: the best round if validation persons decide, else the last evaluated one.

        Told at most once a minute.
        """
        self._run = line["round"]
        self._pace.done += 1
        self._best = line.get("best_round", self._best)
        if "mean_error" in line and self._best in (None, line["round"]):
            self._result = line
        self.beat()

    def beat(self) -> None:
        """A line, if the last one is a minute old: where it is, and how much time is left."""
        if not self._lines.due():
            return
        if not self._at:
            self.note(f"preparing, for {self._lines.age()}")
            return
        left = self._pace.left()
        self.note(f"{self._at}: {self._run} of {self._rounds} rounds done" + (f"; {left}" if left else ""))

    def method_finished(self, fold: str, method: str) -> None:
        """The error of the model that is the method's result, and the time."""
        self._pace.total -= max(0, self._rounds - self._run)  # what it left out, as it stopped early
        seconds = perf_counter() - self._started
        which = "" if self._best is None else f"round {self._best} of {self._run} run"
        result = which  # all that is known where the best round was before a stop
        if self._result is not None:
            metric = metric_of(self._result)
            error = f"{self._result['mean_error']:.{metric.places}f} {metric.word or metric.name}"
            result = f"{error} ({which})" if which else error
        self.note(f"{_title(fold, method)}: {result}{', ' if result else ''}{seconds:.1f} s")
