"""`privateyes data merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    files: Annotated[list[Path], typer.Argument(metavar="IN.h5...", help="Data files, two or more.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="File to write; must not be there yet.")],
    rename: Annotated[
        bool,
        typer.Option("--rename", help="Different people of one name get the number of their file: p00-1, p00-2."),
    ] = False,
) -> None:
    """Copy the persons of several data files into one.

    All persons need the same data sets and images of one size; nothing is converted. Licences and sources are listed
    where they differ.

    Exit codes:

    - 0: merged.
    - 2: a file cannot be used, or OUT.h5 is there already.

    Example: privateyes data merge clinic1.h5 clinic2.h5 both.h5
    """
    from privateyes.tasks.gaze.merge import merge_files
    from privateyes.wording import counted

    merged = merge_files(files, out, rename)
    people = f"{counted(len(merged.persons), 'person')} of {counted(len(files), 'file')}"
    typer.echo(f"{out}: {people}, {counted(merged.rows, 'row')}")
    for note in merged.notes:
        typer.echo(f"note: {note}")
