"""`privateyes task verify`, `privateyes task continue` and `privateyes task mirror`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def verify(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The task's manifest.toml, your pinned copy.")],
    against: Annotated[
        Path | None, typer.Option(metavar="OTHER.toml", help="Compare with another copy, such as the hub's.")
    ] = None,
) -> None:
    """Show a task's parameters, parties and digest before you pin it, and refuse what is unsafe.

    Compare the digest with the other parties': on a channel without the hub.

    Exit codes:

    - 0: safe, and the same as the other copy where one is given.
    - 1: the two copies differ.
    - 2: a manifest is unsafe or cannot be read.

    Example: privateyes task verify manifest.toml --against from-the-hub.toml
    """
    from privateyes.aggregation.manifest_check import differences
    from privateyes.cli.audit_tables import print_differences, print_manifest
    from privateyes.cli.records import read_manifest

    mine = read_manifest(manifest)
    print_manifest(mine)
    if against is not None:
        found = differences(mine, read_manifest(against))
        print_differences(found, manifest, against)
        if found:
            raise typer.Exit(1)


def continue_(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, or one task's folder in it.")],
    send_again: Annotated[
        bool,
        typer.Option("--send-again", help="The same clients send the same updates once more, when the run goes on."),
    ] = False,
) -> None:
    """Say what stopped a task after a session was opened and refused, and offer what is safe now.

    Nobody is removed and nobody added: the difference of two sums could be one person's update.

    Exit codes:

    - 0: nothing waits for a decision, or the session will be sent again.
    - 1: a session waits for a decision.
    - 2: the directory cannot be read, or the way is not safe.

    Example: privateyes task continue runs/mine --send-again
    """
    from privateyes.cli.continue_tables import print_nothing_waits, print_refused, print_way_on
    from privateyes.engines.local import continuing
    from privateyes.experiments.record import nobody_at_work_in

    waiting = False
    with nobody_at_work_in(directory):
        for folder in continuing.task_folders(directory):
            found = continuing.look(folder, partial(typer.echo, err=True))
            if found is None:
                print_nothing_waits(folder, continuing.has_keys(folder))
                continue
            print_refused(folder, found)
            if send_again:
                found = continuing.send_again(folder)
            print_way_on(folder, found)
            waiting = waiting or not found.asked_again
    if waiting:
        raise typer.Exit(1)


def mirror(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    old: Annotated[Path, typer.Argument(metavar="OLD", help="One of its mirrors; its disk may be gone.")],
    fresh: Annotated[Path, typer.Argument(metavar="NEW", help="A folder on another disk, which takes its place.")],
) -> None:
    """Put a fresh mirror in the place of one whose disk died, or is to be taken away.

    More than half of the mirrors must be there. The old one is erased if it is. Nothing else makes a mirror: a copy of
    one, or a backup, is never put back.

    Exit codes:

    - 0: the fresh one has taken its place.
    - 2: it cannot, and nothing changed; or a disk failed, and the same command ends what it began.

    Example: privateyes task mirror runs/mine /disks/b/privateyes /disks/d/privateyes
    """
    from privateyes.experiments.record import nobody_at_work_in
    from privateyes.experiments.secure import replace_mirrors

    with nobody_at_work_in(run):
        tasks, was_there = replace_mirrors(run, old, fresh)
        for task in tasks:
            typer.echo(f"{task}: its store has a mirror in {fresh}, and none in {old}")
    if not was_there:
        typer.echo(
            f"{old} was not there, and may still hold keys of all parties: `privateyes clean {run}`, or the end of the "
            "run, erases it once its disk is back; else destroy the disk",
            err=True,
        )
    typer.echo(f"if an experiment file of your own names {old} in store.mirrors, name {fresh} there")
