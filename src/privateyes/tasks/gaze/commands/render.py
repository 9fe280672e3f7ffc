"""`privateyes data render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="File to write; must not be there yet.")],
    persons: Annotated[int, typer.Option(min=1, max=1000, help="Number of persons.")] = 9,
    images: Annotated[int, typer.Option(min=1, help="Eye images per person.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same file.")] = 1,
    sheets: Annotated[Path | None, typer.Option(metavar="DIR", help="Also draw a contact sheet per person.")] = None,
) -> None:
    """Render synthetic persons' eye images with exact gaze labels.

    Exit codes:

    - 0: the file is written.
    - 2: the file is there already, or cannot be written.

    Example: privateyes data render eyes.h5 --persons 9 --images 300 --seed 1 --sheets sheets
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.tasks.gaze.datafiles import draw_sheets, render_file
    from privateyes.tasks.gaze.dataset import list_persons
    from privateyes.wording import counted

    with choose_counter("persons rendered") as tell:
        render_file(out, persons, images, seed, tell)
    typer.echo(f"{out}: {counted(persons, 'person')} with {counted(images, 'image')} each")
    if sheets is not None:
        typer.echo(f"{sheets}: {counted(draw_sheets(out, list_persons(out), sheets), 'contact sheet')}")
