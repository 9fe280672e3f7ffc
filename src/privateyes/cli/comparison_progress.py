"""How a comparison's progress is shown: one bar over everything and one for each run at work, or plain lines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.experiments.compare.dispatch import Observer
from privateyes.wording import counted

_ETA_WINDOW_S = 600.0  # methods take unequal time, so that the speed has to be taken over many rounds
_LINE_EVERY_S = 60.0


def choose_observer() -> AbstractContextManager[Observer]:
    """Bars if stderr is a terminal, plain lines on stderr otherwise."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return bars_or_lines(Bars, PlainLines, columns, _ETA_WINDOW_S)


class Bars:
    """`experiments.compare.dispatch.Observer` as bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._whole = progress.add_task("preparing", total=None, state="")
        self._bars: dict[str, TaskID] = {}
        self._mpc: dict[str, TaskID] = {}
        self._left: dict[str, int] = {}
        self._errors: dict[tuple[str, str], str] = {}
        self._counts = [0, 0, 0]  # runs, finished, failed

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def planned(self, runs: int, finished: int, rounds: int, rounds_done: int) -> None:
        """The bar over everything."""
        self._counts = [runs, finished, 0]
        self._progress.remove_task(self._whole)
        self._whole = self._progress.add_task("all runs", total=rounds, completed=rounds_done, state=self._state())

    def run_started(self, name: str, rounds: int) -> None:
        """A bar for the run; it fills with every method anew."""
        self._left[name] = rounds
        self._bars[name] = self._progress.add_task(escape(name), total=None, state="starting")

    def round_done(self, name: str, line: Mapping[str, Any]) -> None:
        """Both bars move, and the run's shows the last error of the method that it is at."""
        method = line["method"]
        if "mean_error" in line:
            self._errors[name, method] = f" {line['mean_error']:.2f}"
        state = method + self._errors.get((name, method), "")
        self._progress.update(self._bars[name], completed=line["round"], total=line["rounds"], state=state)
        self._left[name] -= 1
        self._progress.advance(self._whole)

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """A bar for each fold."""
        if fold not in self._mpc:
            self._mpc[fold] = self._progress.add_task(escape(f"mpc {fold}"), total=steps, state="")
        self._progress.update(self._mpc[fold], completed=done)

    def run_finished(self, name: str, seconds: float) -> None:  # noqa: ARG002 (the protocol's signature)
        """The run's bar goes."""
        self._counts[1] += 1
        self._close(name)

    def run_failed(self, name: str, problem: str) -> None:
        """The run's bar goes, and its problem stays."""
        self._counts[2] += 1
        self._close(name)
        self.note(f"failed: {name}: {problem}")

    def _close(self, name: str) -> None:
        self._progress.remove_task(self._bars.pop(name))
        # what is left of a run that stopped early or failed is not done any more
        self._progress.update(self._whole, state=self._state(), advance=self._left.pop(name))

    def _state(self) -> str:
        runs, finished, failed = self._counts
        return f"{finished} of {runs} runs" + (f", {failed} failed" if failed else "")


class PlainLines:
    """`experiments.compare.dispatch.Observer` as lines of text: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._told = perf_counter()
        self._runs = self._ended = 0
        self._rounds = self._done = self._before = 0
        self._left: dict[str, int] = {}

    def note(self, text: str) -> None:
        """The text as a line."""
        self._told = perf_counter()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def planned(self, runs: int, finished: int, rounds: int, rounds_done: int) -> None:
        """How much there is to do."""
        self._started = self._told = perf_counter()
        self._runs, self._ended = runs, finished
        self._rounds, self._done, self._before = rounds, rounds_done, rounds_done
        self.note(
            f"{counted(runs, 'run')}, {finished} of them finished; {rounds - rounds_done} of {rounds} rounds to do"
        )

    def run_started(self, name: str, rounds: int) -> None:
        """Which run begins."""
        self._left[name] = rounds
        self.note(f"{name}: begins")

    def round_done(self, name: str, line: Mapping[str, Any]) -> None:
        """At most one line a minute."""
        self._done += 1
        self._left[name] -= 1
        if perf_counter() - self._told >= _LINE_EVERY_S:
            self.note(f"{name}: {line['method']}, round {line['round']} of {line['rounds']}; {self._remaining()}")

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """At most one line a minute."""
        if perf_counter() - self._told >= _LINE_EVERY_S:
            self.note(f"mpc {fold}: step {done} of {steps}")

    def beat(self) -> None:
        """A line, if the last one is a minute old and no round has ended since."""
        if perf_counter() - self._told >= _LINE_EVERY_S:
            state = f"{self._ended} of {self._runs} runs finished; {self._remaining()}" if self._runs else "preparing"
            self.note(f"at work: {state}")

    def run_finished(self, name: str, seconds: float) -> None:
        """How long it took, and how much is left."""
        self._end(name)
        self.note(f"{name}: finished in {seconds:.1f} s ({self._ended} of {self._runs}; {self._remaining()})")

    def run_failed(self, name: str, problem: str) -> None:
        """What was wrong."""
        self._end(name)
        self.note(f"failed: {name}: {problem}")

    def _end(self, name: str) -> None:
        """Rounds that a run leaves out, as it stopped early or failed, are not done any more."""
        self._ended += 1
        self._rounds -= self._left.pop(name)

    def _remaining(self) -> str:
        done, left = self._done - self._before, self._rounds - self._done
        minutes = (perf_counter() - self._started) / done * left / 60 if done else 0.0
        if minutes >= 1:
            return f"about {minutes:.0f} min left"
        return f"{counted(left, 'round')} left"
