"""`privateyes task verify`."""

from __future__ import annotations

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

    Compare the digest with the other parties' over a channel that the hub does not control. With --against, exits with
    1 if the two copies differ anywhere.

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
