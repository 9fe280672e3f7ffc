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
