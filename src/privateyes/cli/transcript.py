"""`privateyes transcript verify`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from privateyes.aggregation.audit.findings import Audit
    from privateyes.aggregation.manifest import Manifest
    from privateyes.cli.records import Record


def verify(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD", help="A run's directory, a folder of sessions (transcripts), or one .jsonl file."
        ),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help=r"Your pinned manifest. \[default: manifest.toml beside the record]"),
    ] = None,
    setup: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help=r"The set-up. \[default: setup.jsonl beside the record]"),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the findings.")] = None,
) -> None:
    """Check the record of sessions offline: what was certified, why others ended, and what is proven about whom.

    Nothing in the record is trusted but signatures by the manifest's keys. A
    folder is the record of the whole task: what follows from the rest and is
    absent was left out, and so was a session whose number is skipped. Not missed
    are what came last, and a word whose content stands in another one as well: a
    request of the hub, or a result signature, which the delivery repeats. A
    delivery may be absent without anybody's fault, since the hub can die before
    it. One file is a part, of which nothing is missed. Without the set-up's
    sealing keys a session is not judged. Sessions are numbered from 0, as in
    their files' names: round-0002-session-0003.jsonl holds session 3.

    What is found, the strongest first: proven (one party's own signatures show
    it), inconsistent (one of several), suspected (nobody signed it), refused (a
    client did not accept), missing, noted (speaks against nobody), holds.

    Exit codes:

    - 0: consistent; an aborted or unfinished session speaks against nobody.
    - 1: something speaks against somebody, was altered or left out, or a certified result was refused.
    - 2: the record or the manifest cannot be read.

    Example: privateyes transcript verify runs/demo --manifest pinned.toml
    """
    from privateyes.cli.audit_tables import audit_as_json, print_audit
    from privateyes.cli.records import find_record, read_manifest
    from privateyes.errors import DataError
    from privateyes.files import write_atomically

    found = find_record(record, setup)
    if manifest is None:
        if found.manifest is None:
            raise DataError(f"no manifest.toml beside {record}", "give your pinned manifest with --manifest")
        typer.echo(
            f"warning: checked against {found.manifest}, which comes with the record. If somebody else wrote them, "
            "give the copy that you pinned with --manifest",
            err=True,
        )
    pinned = read_manifest(manifest or found.manifest or Path())
    outcome = _checked(found, pinned, record)
    if json_file is not None:
        try:
            write_atomically(json_file, audit_as_json(pinned, outcome))
        except OSError as error:
            raise DataError(f"{json_file} cannot be written ({error.strerror})", "give another file") from None
    print_audit(pinned, outcome)
    if not (outcome.is_consistent and outcome.is_complete):
        raise typer.Exit(1)


def _checked(found: Record, pinned: Manifest, record: Path) -> Audit:
    """What the record shows.

    Raises:
        DataError: it shows nothing: it is empty, of another task, or lacks its set-up.
    """
    from privateyes.aggregation.audit import audit
    from privateyes.aggregation.audit.findings import Finding, strongest_first
    from privateyes.cli.records import SETUP_NAME
    from privateyes.errors import DataError

    of_files: list[Finding] = []
    outcome = audit(pinned, found.messages(pinned, of_files.append), found.whole)
    if outcome.messages == 0:
        raise DataError(f"{record} holds no whole message", "give a session's record or a folder of records")
    if outcome.verified == 0 and found.setup is None:
        problem = f"no {SETUP_NAME} beside the record {record}, and none of {outcome.messages} messages is verified"
        raise DataError(problem, "give it with --setup")
    if outcome.verified == 0:
        raise DataError(
            f"{record}: none of {outcome.messages} messages is of this manifest's task",
            "give the manifest that the record was made under with --manifest, and its set-up with --setup",
        )
    return replace(outcome, findings=strongest_first([*outcome.findings, *of_files]))
