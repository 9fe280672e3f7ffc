"""Audits and manifests as tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from privateyes.aggregation.audit.findings import (
    HUB,
    RECORDER,
    Audit,
    Finding,
    Level,
    Outcome,
    SessionAudit,
    joined,
    ranges,
)
from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.manifest_check import fingerprint, independence_warnings, parameters
from privateyes.aggregation.result import Check
from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.wording import counted, printable

_STYLES: Final = {Level.PROVEN: "bold red", Level.INCONSISTENT: "red", Level.SUSPECTED: "red", Level.REFUSED: "yellow"}
_MISSING = "-"
_MOST_NAMES: Final = 6
# A hostile record has thousands of sessions and findings; printing them all would take longer than finding them.
_MOST_SESSIONS: Final = 1000
_MOST_TABLES: Final = 40
_MOST_FINDINGS: Final = 25  # in one table
_MOST_REFUSALS: Final = 20
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_THE_HUB: Final = "the hub, or whoever altered its unsigned word on the way"
_THE_RECORDER: Final = "whoever wrote the record, altered it or lost a part of it"
_INCOMPLETE: Final = (
    "incomplete: what is told as missing above was left out or lost, or the hub skipped the numbers of sessions"
)
_UNITS: Final = {
    "dimension": "parameters of the model",
    "clip": "largest change of one parameter by one client",
    "scale_bits": "the grid is 2^-scale_bits",
    "weight_max": "largest weight of one client",
    "noise_bound": "largest noise that one client adds, on the grid",
    "mode": "who gets the average: the clients (sealed) or everyone (public)",
    "roster_min": "fewest clients in one average",
    "roster_max": "most clients in one average",
    "corrupt_clients": "how many may be corrupt; at least 2 others remain",
    "leaders": "the clients that may make a group key, the usual one first",
    "bulk_hash": "what large vectors are hashed with",
    "hub_key": "whose requests aggregators act on",
    "initial_state": "digest of the state that training begins with",
    "settings": "digest of the settings that clients train with",
    "privacy": "norm_clip: the largest L2 norm of an update",
    "field": "of the masked sum",
}


def print_audit(manifest: Manifest, audit: Audit) -> None:
    """One line for each session, then the findings, and the verdict last; of very many the worst."""
    console = make_console()
    console.print(_sessions_table(manifest, audit))
    if audit.findings:
        console.print(_findings_table(manifest, "set-up, several sessions together, and the files", audit.findings))
    telling = [session for session in audit.sessions if _is_worth_telling(session)]
    shown = _worst(telling, _MOST_TABLES)
    for session in shown:
        console.print(_findings_table(manifest, _name_of(session), session.findings))
    if len(telling) > len(shown):
        text = f"{counted(len(telling) - len(shown), 'more session')} with something to tell: --json FILE has them all"
        console.print(text, highlight=False, markup=False)
    console.print(f"manifest: {manifest.digest().hex()}", highlight=False, soft_wrap=True)
    for line in verdict(audit):
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def _worst(sessions: Sequence[SessionAudit], most: int) -> list[SessionAudit]:
    """Those whose strongest finding is the strongest, in the order given."""
    levels = list(Level)

    def strength(session: SessionAudit) -> int:
        return min((levels.index(own.level) for own in session.findings), default=len(levels))

    chosen = {id(session) for session in sorted(sessions, key=strength)[:most]}
    return [session for session in sessions if id(session) in chosen]


def verdict(audit: Audit) -> list[str]:
    """What it all comes to, in a few lines."""
    if not audit.is_consistent:
        refused = [_refusal(session) for session in audit.refused[:_MOST_REFUSALS]]
        more = len(audit.refused) - len(refused)
        if more:
            refused.append(f"{counted(more, 'more certified result')} {'was' if more == 1 else 'were'} refused")
        return [*refused, *([] if audit.is_complete else [_INCOMPLETE]), *_against_whom(audit.faults)]
    if audit.is_complete:
        lines = ["consistent: nothing in the record speaks against anybody"]
    else:
        lines = [_INCOMPLETE, "nothing that is there speaks against anybody"]
    ended = {outcome: [found for found in audit.sessions if found.outcome is outcome] for outcome in Outcome}
    if ended[Outcome.ABORTED]:
        lines.append(f"{counted(len(ended[Outcome.ABORTED]), 'session')} aborted, at the step that the table says")
    if ended[Outcome.INCOMPLETE]:
        lines.append(f"{counted(len(ended[Outcome.INCOMPLETE]), 'session')} without an end in this record")
    if ended[Outcome.UNPLACED]:
        lines.append(
            f"{counted(len(ended[Outcome.UNPLACED]), 'session')} of another task, forged, or without the sealing keys "
            "of its set-up: not judged"
        )
    return lines


def _refusal(session: SessionAudit) -> str:
    """Who refused a certified result, and what follows: nobody is proven guilty by it."""
    refused = sorted({client for client, check in session.refusals if check >= Check.TAG})
    clients = refused or sorted({client for client, _ in session.refusals})
    checks = sorted({check for client, check in session.refusals if client in clients})
    if not refused:
        means = "they were sent another delivery than the one in the record, or complain without reason"
    elif session.total_weight is not None:
        means = "the sum in the record passes; they were sent another one, or complain without reason"
    else:
        means = (
            "somebody, the hub, an aggregator or a client of the roster, altered the sum before it was committed, or "
            "all of them complain without reason"
        )
    where = f"{'check' if len(checks) == 1 else 'checks'} {ranges(checks)}"
    return (
        f"{counted(len(clients), 'client')} refused a certified result ({_name_of(session)}, {where}): {means}; nobody "
        "is proven guilty of it"
    )


def _against_whom(faults: Sequence[Finding]) -> list[str]:
    count = Counter(fault.level for fault in faults)
    proven = count[Level.PROVEN]
    said = [f"{counted(proven, 'fault')} {'is' if proven == 1 else 'are'} proven" if proven else "no fault is proven"]
    if count[Level.INCONSISTENT]:
        said.append(f"{counted(count[Level.INCONSISTENT], 'contradiction')} between several parties")
    suspected = [fault.parties for fault in faults if fault.level is Level.SUSPECTED]
    if suspected:
        hub = any(HUB in parties for parties in suspected)
        recorder = any(RECORDER in parties for parties in suspected)
        who = ", or ".join([_THE_HUB] * hub + [_THE_RECORDER] * recorder)
        said.append(f"{counted(len(suspected), 'suspicion')} against {who}")
    culprits = dict.fromkeys(name for fault in faults if fault.level is Level.PROVEN for name in fault.parties)
    lines = [", ".join(said)] if faults else []
    return lines + ([f"proven to have broken the protocol: {joined(_in_order(culprits))}"] if culprits else [])


def _in_order(names: Sequence[str] | dict[str, None]) -> list[str]:
    roles = [HUB, RECORDER, "aggregator", "client"]
    return sorted(names, key=lambda name: (roles.index(name.partition(" ")[0]), int(name.partition(" ")[2] or 0)))


def _is_worth_telling(session: SessionAudit) -> bool:
    """A certified session of which everything holds is told in its line."""
    return session.outcome is not Outcome.CERTIFIED or any(own.level is not Level.HOLDS for own in session.findings)


def _sessions_table(manifest: Manifest, audit: Audit) -> FittedTable:
    title = f"{counted(audit.messages, 'message')}, {audit.verified} signed and verified"
    table = FittedTable(title)
    table.add_column("session", justify="right")  # first: where the console is narrow, the rest stands below beside it
    table.add_column("outcome", wrap=False)
    table.add_column("clients", justify="right", wrap=False)
    table.add_column("checks that hold", justify="right")
    table.add_column("against")
    table.add_column("id", wrap=False)
    table.add_column("set-up", wrap=False)
    table.add_column("epoch", justify="right")
    shown = _worst(audit.sessions, _MOST_SESSIONS)
    for found in shown:
        table.add_row(
            _MISSING if found.round is None else str(found.round),
            _outcome(found),
            _MISSING if found.roster is None else f"{len(found.roster)}/{len(manifest.clients)}",
            str(sum(own.level is Level.HOLDS for own in found.findings)),
            _against(found),
            found.sid.hex()[:8],
            _MISSING if found.setup is None else found.setup.hex()[:8],
            _MISSING if found.epoch is None else str(found.epoch),
        )
    if len(audit.sessions) > len(shown):
        table.caption = f"and {counted(len(audit.sessions) - len(shown), 'more session')}: --json FILE has them all"
    return table


def _outcome(session: SessionAudit) -> Text:
    if session.outcome is Outcome.REFUSED:
        clients = len({client for client, _ in session.refusals})
        return Text(f"certified, refused by {counted(clients, 'client')}", style="red")
    style = {Outcome.CERTIFIED: "green", Outcome.ABORTED: "yellow"}.get(session.outcome, "")
    at = {Outcome.ABORTED: f" at step {session.step}", Outcome.INCOMPLETE: f" after step {session.step}"}
    return Text(session.outcome.value + at.get(session.outcome, ""), style=style)


def _against(session: SessionAudit) -> Text:
    faults = session.faults
    proven = dict.fromkeys(name for fault in faults if fault.level is Level.PROVEN for name in fault.parties)
    if proven:
        return Text(_some(_in_order(proven)), style=_STYLES[Level.PROVEN])
    if any(fault.level is Level.INCONSISTENT for fault in faults):
        return Text("one of several", style=_STYLES[Level.INCONSISTENT])
    if faults:
        suspects = sorted({name for fault in faults for name in fault.parties})
        return Text(f"the {' or the '.join(suspects)}, suspected", style=_STYLES[Level.SUSPECTED])
    return Text("nobody proven" if session.outcome is Outcome.REFUSED else "nobody")


def _some(names: Sequence[str]) -> str:
    return joined(names) if len(names) <= _MOST_NAMES else f"{joined(names[:_MOST_NAMES])} and others"


def _name_of(session: SessionAudit) -> str:
    """By its number in its set-up, which is the one in its file's name, and by its id."""
    name = f"id {session.sid.hex()[:8]}"
    if session.setup is None:
        return f"session with the {name}"
    return f"session {session.round} of set-up {session.setup.hex()[:8]} (epoch {session.epoch}), {name}"


def _findings_table(manifest: Manifest, title: str, findings: Sequence[Finding]) -> FittedTable:
    table = FittedTable(title)
    for heading in ("", "step", "who"):
        table.add_column(heading)
    table.add_column("what")
    telling = [finding for finding in findings if finding.level is not Level.HOLDS]
    for finding in telling[:_MOST_FINDINGS]:
        level = Text(finding.level.value, style=_STYLES.get(finding.level, ""))
        table.add_row(level, finding.step, Text(_who(manifest, finding)), Text(printable(finding.what)))
    if len(telling) > _MOST_FINDINGS:
        table.add_row("", "", "", Text(f"and {len(telling) - _MOST_FINDINGS} more: --json FILE has them all"))
    holds = [finding.what for finding in findings if finding.level is Level.HOLDS]
    if holds:
        table.add_row(Text(Level.HOLDS.value, style="green"), "", "", Text("; ".join(holds)))
    return table


def _who(manifest: Manifest, finding: Finding) -> str:
    """The parties; a single one with the name that the manifest gives it."""
    if len(finding.parties) != 1:
        return ("one of: " if finding.level is Level.INCONSISTENT else "") + joined(finding.parties)
    role, _, number = finding.parties[0].partition(" ")
    parties: tuple[Party, ...] = {"aggregator": manifest.aggregators, "client": manifest.clients}.get(role, ())
    name = parties[int(number) - 1].name if number and 1 <= int(number) <= len(parties) else ""
    return finding.parties[0] + (f" ({name})" if name and name != finding.parties[0] else "")


def audit_as_json(manifest: Manifest, audit: Audit) -> bytes:
    """The audit for programs: bytes as hexadecimal digits, findings as objects."""
    document: dict[str, Any] = {
        "manifest": manifest.digest().hex(),
        "messages": audit.messages,
        "verified": audit.verified,
        "consistent": audit.is_consistent,
        "complete": audit.is_complete,
        "faults": len(audit.faults),
        "findings": [_as_object(finding) for finding in audit.findings],
        "sessions": [
            {
                "sid": found.sid.hex(),
                "setup": None if found.setup is None else found.setup.hex(),
                "epoch": found.epoch,
                "session": found.round,
                "outcome": found.outcome.value,
                "step": found.step,
                "roster": found.roster,
                "total_weight": found.total_weight,
                "refusals": [{"client": client, "check": check} for client, check in found.refusals],
                "findings": [_as_object(finding) for finding in found.findings],
            }
            for found in audit.sessions
        ],
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def _as_object(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level.value,
        "step": finding.step,
        "parties": list(finding.parties),
        "what": finding.what,
    }


def print_manifest(manifest: Manifest) -> None:
    """Parameters, digests, parties with the first half of their keys, warnings, and the manifest's digest last."""
    console = make_console()
    short, digests = FittedTable("task"), FittedTable("digests and keys of the task")
    for table in (short, digests):
        table.add_column("", wrap=False)
        table.add_column("value", wrap=table is short)
        table.add_column("")
    for key, value in parameters(manifest).items():
        told = Text(_UNITS[key], style="dim")
        if _DIGEST.fullmatch(value):
            digests.add_row(key, _in_blocks(value), told)
        else:
            short.add_row(key, value, told)
    console.print(short)
    console.print(digests)
    for role, parties in (("aggregators", manifest.aggregators), ("clients", manifest.clients)):
        console.print(_parties_table(role, parties))
    for line in independence_warnings(manifest):
        console.print(f"warning: {line}", highlight=False, markup=False, soft_wrap=not console.is_terminal)
    console.print(f"manifest: {manifest.digest().hex()}", highlight=False, soft_wrap=True)


def _in_blocks(digest: str) -> str:
    """64 hexadecimal digits in two lines of two blocks, as people compare them."""
    blocks = [digest[start : start + 16] for start in range(0, len(digest), 16)]
    return "\n".join(" ".join(blocks[start : start + 2]) for start in range(0, len(blocks), 2))


def _parties_table(role: str, parties: Sequence[Party]) -> FittedTable:
    table = FittedTable(f"{len(parties)} {role}")
    table.add_column("", justify="right")
    table.add_column("name")
    table.add_column("organisation")
    table.add_column("key, first half", wrap=False)
    for number, party in enumerate(parties, start=1):
        table.add_row(
            str(number), Text(party.name), Text(party.organisation or _MISSING), fingerprint(party.public_key)
        )
    return table


def print_differences(lines: Sequence[str], mine: Path, theirs: Path) -> None:
    """Every difference, or that there is none."""
    console: Console = make_console()
    for line in lines:
        console.print(f"differs: {line}", highlight=False, markup=False, soft_wrap=not console.is_terminal)
    text = f"{counted(len(lines), 'difference')}: do not join" if lines else "the same task"
    console.print(f"{mine} (here) and {theirs} (there): {text}", highlight=False, markup=False, soft_wrap=True)
