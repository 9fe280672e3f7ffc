"""`privateyes data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Data file: one group per person.")],
    sheets: Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw a contact sheet per person.")] = None,
) -> None:
    """Look for wrong shapes, degrees, NaN, and swapped or flipped angles.

    Exits with 1 if there is an error; with 0 if there are only warnings, or nothing.

    Example: privateyes data check eyes.h5 --sheets sheets
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.cli.tables import print_check
    from privateyes.experiments.datafiles import draw_sheets
    from privateyes.tasks.gaze.check import check_file

    with choose_counter("persons checked") as tell:
        report = check_file(file, tell)
    print_check(report)
    if sheets is not None:
        readable = [person.name for person in report.persons]
        typer.echo(f"{sheets}: {draw_sheets(file, readable, sheets)} contact sheets")
    if report.errors:
        raise typer.Exit(1)
