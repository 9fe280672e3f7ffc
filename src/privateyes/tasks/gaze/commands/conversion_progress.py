"""How a conversion's progress and outcome are shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.cli.console import make_console
from privateyes.cli.pace import Lines
from privateyes.tasks.gaze.prepare.conversion import Conversion, Observer
from privateyes.tasks.gaze.prepare.tally import Tally
from privateyes.wording import counted


def choose_observer() -> AbstractContextManager[Observer]:
    """A bar if stderr is a terminal, plain lines on stderr otherwise."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return bars_or_lines(Bar, PlainLines, columns)


def print_conversion(conversion: Conversion) -> None:
    """What was used and skipped, and where it is written."""
    tallies = conversion.tallies
    used = sum(tally.used for tally in tallies.values())
    lines = [f"{conversion.out}: {counted(len(tallies), 'person')}, {counted(used, 'row')}"]
    empty = [name for name, tally in tallies.items() if not tally.used]
    if empty:
        lines.append(f"without a usable row, and so not in the file: {', '.join(empty)}")
    skipped: Counter[str] = Counter()
    for tally in tallies.values():
        skipped.update(tally.by_reason())
    lines += [f"skipped {count}: {reason}" for reason, count in skipped.most_common()]
    if skipped:
        lines.append(f"{conversion.skipped}: everything that was skipped, by name")
    lines.append(f"{conversion.manifest}: counts and checksums")
    if conversion.caution:
        lines.append(f"note: {conversion.caution}; look at `privateyes data check {conversion.out} --sheets DIR`")
    console = make_console()
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class Bar:
    """`conversion.Observer` as one bar over all persons."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, rows=0)
        self._rows = 0

    def person_started(self, person: str, number: int, total: int) -> None:
        """The bar names the person."""
        self._progress.update(self._task, description=person, total=total, completed=number - 1)

    def rows_read(self, rows: int) -> None:
        """The number of rows grows."""
        self._rows += rows
        self._progress.update(self._task, rows=self._rows)

    def person_finished(self, tally: Tally, resumed: bool) -> None:
        """The bar moves; warnings stand above it."""
        self._rows += tally.used if resumed else 0
        self._progress.update(self._task, advance=1, rows=self._rows)
        for warning in tally.warnings:
            self._progress.console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)


class PlainLines:
    """`conversion.Observer` as lines of text: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._lines = Lines(console)
        self._place = ""
        self._rows = 0

    def person_started(self, person: str, number: int, total: int) -> None:
        """Kept for the person's line."""
        self._place, self._rows = f"{person} ({number} of {total})", 0

    def rows_read(self, rows: int) -> None:
        """Told at most once a minute: a line for each block would be too much."""
        self._rows += rows
        if self._lines.due():
            self._lines.write(f"{self._place}: {counted(self._rows, 'row')} so far")

    def person_finished(self, tally: Tally, resumed: bool) -> None:
        """One line, and one for each warning."""
        skipped = f", {len(tally.skipped)} skipped" if tally.skipped else ""
        before = ", finished before" if resumed else ""
        lines = [f"{self._place}: {counted(tally.used, 'row')}{skipped}{before}"]
        for line in [*lines, *(f"warning: {warning}" for warning in tally.warnings)]:
            self._lines.write(line)
