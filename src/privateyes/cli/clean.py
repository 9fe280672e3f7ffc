"""`privateyes clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, finished or not.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Also the models that all clients share, and the signed records.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what a run's directory keeps of images, single clients and keys; results stay.

    Removed: keys, shares and states of a run that failed or was stopped (overwritten), the models of single clients,
    the pictures of test persons, the page's eyes. With --all also the shared models and the records: then the run can
    no longer be evaluated or checked. Metrics, results, tables and the page's numbers stay.

    A run that is not finished cannot be continued afterwards. docs/threat-model.md lists what a directory holds.

    Exit codes:

    - 0: removed, shown, or nothing was there.
    - 1: the question was not answered with yes, or a mirror with keys could not be reached.
    - 2: no run, or a process is working on it.

    Example: privateyes clean runs/demo --dry-run
    """
    from privateyes.cli.tables import human_bytes, print_remnants
    from privateyes.experiments.clean import is_finished, remnants_of, remove, unreached
    from privateyes.experiments.secure import note_on_unreached

    with remnants_of(run, everything) as remnants:
        print_remnants(run, remnants)
        away = unreached(run)
        for mirror in away:
            typer.echo(note_on_unreached(run, mirror), err=True)
        if dry_run:
            return
        if not remnants:
            raise typer.Exit(1 if away else 0)
        if not is_finished(run):
            typer.echo("This run is not finished. It cannot be continued afterwards.")
        if not yes and not typer.confirm(f"Remove all of this ({human_bytes(sum(r.size_bytes for r in remnants))})?"):
            typer.echo("nothing was removed")
            raise typer.Exit(1)
        remove(run, remnants)
        typer.echo("removed; results and metrics are where they were")
        if away:
            raise typer.Exit(1)
