"""What stopped a task, and the ways on, as tables."""

from __future__ import annotations

import shlex
from itertools import groupby
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import Finding
from privateyes.aggregation.result import Check
from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.cli.records import find_record
from privateyes.engines.local.continuing import SEND_AGAIN, Refused
from privateyes.errors import DataError
from privateyes.experiments.record import EXPERIMENT

_MOST_NAMES: Final = 8
_WHY: Final = {
    Check.SESSION: "it follows no such session",
    Check.GROUP_KEY: "the session has another group key",
    Check.ROSTER: "the roster is not a legal one, or not the one that it sent to",
    Check.SIGNATURES: "not every aggregator signed the result",
    Check.TAG: "the sum does not carry the clients' tags: somebody altered it",
    Check.WEIGHT: "the total weight is impossible",
    Check.RANGE: "the sum is larger than the clip allows",
    Check.NORM: "the sum is longer than the norm limit allows",
}


def print_nothing_waits(folder: Path, has_keys: bool) -> None:
    """Nothing stopped it, or it is over."""
    over = "" if has_keys else "; its keys are gone: it is complete, or was cleaned, and cannot go on"
    _print_line(make_console(), f"{folder}: no session waits for a decision{over}")


def print_refused(folder: Path, refused: Refused) -> None:
    """What happened, who is named, and what may be done."""
    console = make_console()
    console.print()
    _print_line(console, str(folder))
    repeats = len(refused.sessions) - 1
    again = f", and so was what was sent again {'once' if repeats == 1 else f'{repeats} times'}" if repeats else ""
    if refused.refusals:
        said = f"was opened and refused{again}; the clients keep the model before it"
    else:
        said = f"was opened{again}, and no result came to the clients: resuming the run asks for it again"
    _print_line(console, f"round {refused.round} {said}")
    _print_line(console, f"session {refused.sid.hex()}")
    console.print(_what_happened(refused))
    for line in _named(folder, refused):
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    console.print(_what_may_follow(refused))


def print_way_on(folder: Path, refused: Refused) -> None:
    """The command that comes next, if one does."""
    if refused.asked_again:
        run = shlex.quote(str(_run_of(folder)))
        text = f"decided: it is sent again, once, when the run goes on with `privateyes train {run} --resume`"
    elif refused.way(SEND_AGAIN).is_safe:
        text = f"to send it again: privateyes task continue {shlex.quote(str(folder))} --send-again"
    else:
        text = "nothing can be sent again: start over, from other weights"
    _print_line(make_console(), text)


def _run_of(folder: Path) -> Path:
    """The directory of the run to which a task's folder belongs."""
    above = (*folder.parents[:3], *folder.resolve().parents[:3])
    return next((place for place in above if (place / EXPERIMENT).is_file()), Path("RUN"))


def _print_line(console: Console, text: str) -> None:
    """A line that may hold a path, which nobody wants broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _what_happened(refused: Refused) -> FittedTable:
    """One row for all clients with the same fate."""
    table = FittedTable("what happened")
    table.add_column("clients")
    table.add_column("counted", wrap=False)
    table.add_column("refused at check")

    def fate(name: str) -> tuple[bool, int]:
        return name not in refused.roster, refused.refusals.get(name, 0)

    names = sorted((party.name for party in refused.manifest.clients), key=fate)
    for (absent, check), group in groupby(names, key=fate):
        said = f"{check} ({Check(check).name.lower()}): {_WHY[Check(check)]}" if check else "-"
        table.add_row(_listed(list(group)), "no" if absent else "yes", said)
    return table


def _what_may_follow(refused: Refused) -> FittedTable:
    ways = FittedTable("what may follow")
    ways.add_column("way")
    ways.add_column("safe", wrap=False)
    ways.add_column("why")
    for way in sorted(refused.ways, key=lambda way: not way.is_safe):
        ways.add_row(way.name, Text("yes", style="green") if way.is_safe else Text("no", style="red"), way.why)
    return ways


def _listed(names: list[str]) -> str:
    shown, rest = names[:_MOST_NAMES], len(names) - _MOST_NAMES
    return ", ".join(shown) + (f" and {rest} others" if rest > 0 else "")


def _named(folder: Path, refused: Refused) -> list[str]:
    """Whom the record names; a wrong tag alone names nobody."""
    try:
        record = find_record(folder, None)
        findings: list[Finding] = []
        found = audit(refused.manifest, record.messages(refused.manifest, findings.append), record.whole)
    except DataError as error:
        return [f"the record cannot be read, so nobody is named: {error}"]
    faults = [
        *findings,
        *found.findings,
        *(one for session in found.sessions if session.sid in refused.sessions for one in session.findings),
    ]
    lines = [str(finding) for finding in faults if finding.is_fault]
    if lines:
        return lines
    if not refused.refusals:
        return ["the record names nobody"]
    return [
        f"the record names nobody: any of the {len(refused.roster)} counted clients, an aggregator or the hub may have "
        "altered the sum, and whoever did may do it again. Ask the operators"
    ]
