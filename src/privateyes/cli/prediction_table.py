"""Estimates as a table; what was skipped, and what a reader has to know, on stderr."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import typer

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.experiments.predict import Predictions
from privateyes.wording import counted, printable

# More are a matter for a file.
_SHOWN: Final = 20
_NAMED: Final = 10
# The others are in the file.
_COLUMNS: Final = ("image", "eye", "pitch_deg", "yaw_deg", "x_cm", "y_cm", "z_mm", "misfit_px")


def print_predictions(source: str, predictions: Predictions, csv: Path | None) -> None:
    """The first rows, the number of all, and everything that was skipped.

    Args:
        source: where the model comes from.
        predictions: what to show.
        csv: where all rows stand, if they were written.
    """
    table = FittedTable(source)
    places = [place for place, heading in enumerate(predictions.columns) if heading in _COLUMNS]
    for place in places:
        table.add_column(predictions.columns[place], justify="left" if place < 2 else "right")
    for row in predictions.rows[:_SHOWN]:
        table.add_row(*(_shown(row[place]) for place in places))
    make_console().print(table)
    count = len(predictions.rows)
    more = f", of which the first {_SHOWN} are shown" if count > _SHOWN else ""
    where = f"; all of them in {csv}" if csv else "; --csv OUT.csv writes all of them" if more else ""
    typer.echo(f"{counted(count, 'estimate')}{more}{where}")
    for note in predictions.notes:
        typer.echo(f"note: {note}", err=True)
    _tell_skipped(predictions)


def _tell_skipped(predictions: Predictions) -> None:
    skipped = predictions.skipped
    if not skipped:
        return
    typer.echo(f"skipped {counted(len(skipped), 'file')}:", err=True)
    for entry in skipped[:_NAMED]:
        typer.echo(f"  {printable(entry.name)}: {printable(entry.reason)}", err=True)
    rest = Counter(printable(entry.reason) for entry in skipped[_NAMED:])
    for reason, count in rest.items():
        typer.echo(f"  and {count} more: {reason}", err=True)


def _shown(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.2f}"
