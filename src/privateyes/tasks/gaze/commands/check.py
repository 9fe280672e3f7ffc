"""`privateyes data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Data file: one group per person.")],
    sheets: Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw a contact sheet per person.")] = None,
) -> None:
    """Look for wrong shapes, degrees, NaN, swapped or flipped angles, and labels of other rows.

    What such images cannot tell is said as well. Exits with 1 if there is an error; with 0 if there are only warnings,
    or nothing.

    Exit codes:

    - 0: no error; perhaps warnings.
    - 1: an error.
    - 2: the file cannot be read at all.

    Example: privateyes data check eyes.h5 --sheets sheets
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.tasks.gaze.check import check_file
    from privateyes.tasks.gaze.commands.check_table import print_check
    from privateyes.tasks.gaze.datafiles import draw_sheets
    from privateyes.wording import counted

    with choose_counter("persons checked") as tell:
        report = check_file(file, tell)
    print_check(report)
    if sheets is not None:
        readable = [person.name for person in report.persons]
        typer.echo(f"{sheets}: {counted(draw_sheets(file, readable, sheets), 'contact sheet')}")
    if report.errors:
        raise typer.Exit(1)
