from __future__ import annotations

import io

from rich.console import Console
from rich.progress import Progress, TextColumn

from privateyes.tasks.gaze.commands.conversion_progress import Bar, PlainLines
from privateyes.tasks.gaze.prepare.tally import Tally


def test_a_bar_moves_with_persons_counts_rows_and_shows_warnings() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    with Progress(TextColumn("{task.description} {task.fields[rows]} rows"), console=console) as progress:
        bar = Bar(progress)
        bar.person_started("p00", 1, 2)
        bar.person_finished(Tally(used=7), resumed=True)
        bar.person_started("p01", 2, 2)
        bar.rows_read(5)
        tally = Tally(used=5)
        tally.warn("p01: labels look [odd]")
        bar.person_finished(tally, resumed=False)
        task = progress.tasks[0]
    assert (task.completed, task.total, task.fields["rows"]) == (2, 2, 12)
    assert "warning: p01: labels look [odd]" in shown.getvalue()
    assert "p01 12 rows" in shown.getvalue()


def test_plain_lines_name_person_rows_and_skips() -> None:
    shown = io.StringIO()
    lines = PlainLines(Console(file=shown, width=100))
    lines.person_started("p00", 1, 2)
    tally = Tally(used=1)
    tally.skip("reason", "what")
    lines.person_finished(tally, resumed=True)
    assert shown.getvalue() == "p00 (1 of 2): 1 row, 1 skipped, finished before\n"
