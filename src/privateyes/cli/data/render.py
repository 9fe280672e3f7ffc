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

    Example: privateyes data render eyes.h5 --persons 9 --images 300 --seed 1 --sheets sheets
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.experiments.datafiles import draw_sheets, render_file
    from privateyes.tasks.gaze.dataset import list_persons

    with choose_counter("persons rendered") as tell:
        render_file(out, persons, images, seed, tell)
    people = "1 person" if persons == 1 else f"{persons} persons"
    each = "1 image" if images == 1 else f"{images} images"
    typer.echo(f"{out}: {people} with {each} each")
    if sheets is not None:
        typer.echo(f"{sheets}: {draw_sheets(out, list_persons(out), sheets)} contact sheets")
