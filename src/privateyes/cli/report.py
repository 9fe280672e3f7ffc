"""`privateyes report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory; it may be unfinished.")],
    eyes: Annotated[
        bool,
        typer.Option("--eyes/--no-eyes", help="Show sample eyes; leave real ones out of a page to be shared."),
    ] = True,
) -> None:
    """Write a run's page again: one self-contained report.html.

    Exit codes:

    - 0: the page is written.
    - 2: there is no run, or the page cannot be written.

    Example: privateyes report runs/demo --no-eyes
    """
    from privateyes.experiments.report import write_report

    typer.echo(write_report(run, with_pictures=eyes))
