"""What stopped a task, and the ways on, as tables."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table

from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import Finding, joined
from privateyes.aggregation.result import Check
from privateyes.cli.console import make_console
from privateyes.cli.records import find_record
from privateyes.engines.local.continuing import Refused
from privateyes.errors import DataError


def print_nothing_waits(folder: Path) -> None:
    """Nothing stopped it."""
    console = make_console()
    console.print(f"{folder}: no session waits for a decision", markup=False, highlight=False, soft_wrap=True)


def print_refused(folder: Path, refused: Refused) -> None:
    """What happened, who is named, and what may be done."""
    console = make_console()
    tries = f", and sent again {len(refused.sessions) - 1} times" if len(refused.sessions) > 1 else ""
    console.print(
        f"{folder}: round {refused.round} was opened and refused{tries}", markup=False, highlight=False, soft_wrap=True
    )
    console.print(f"session {refused.sid.hex()}", highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, title="what happened", title_justify="left")
    table.add_column("client")
    table.add_column("counted")
    table.add_column("refused at check")
    for party in refused.manifest.clients:
        check = refused.refusals.get(party.name)
        said = "-" if check is None else f"{check} ({Check(check).name.lower()})"
        table.add_row(party.name, "yes" if party.name in refused.roster else "no", said)
    console.print(table)
    for line in _named(folder, refused):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    ways = Table(box=box.SIMPLE_HEAD, title="what may follow", title_justify="left")
    ways.add_column("way")
    ways.add_column("safe")
    ways.add_column("why")
    for way in refused.ways:
        ways.add_row(way.name, "[green]yes[/]" if way.is_safe else "[red]no[/]", way.why)
    console.print(ways)


def _named(folder: Path, refused: Refused) -> list[str]:
    """Whom the record names; a wrong tag alone names nobody."""
    try:
        record = find_record(folder, None)
        findings: list[Finding] = []
        found = audit(refused.manifest, record.messages(refused.manifest, findings.append), record.whole)
    except DataError as error:
        return [f"the record cannot be read, so nobody is named: {error}"]
    faults = [
        *found.findings,
        *(one for session in found.sessions if session.sid in refused.sessions for one in session.findings),
    ]
    lines = [str(finding) for finding in faults if finding.is_fault]
    if lines:
        return lines
    refusing = joined(f"client {number}" for number in range(1, len(refused.manifest.clients) + 1))
    return [
        f"the record proves nothing about anybody: any of {refusing}, an aggregator or the hub may have altered the "
        "sum. Ask the operators"
    ]
