"""What an audit of a record finds: how strong it is, at which step, about whom.

Strength is the point. PROVEN names one party, whose own signatures contradict each other or contradict what anyone can
recompute. INCONSISTENT names several, of whom at least one broke the protocol; the others may be honest. SUSPECTED
names those whose words in a record nobody signs: the hub, and the *recorder*, which is whoever wrote the record, or
altered it, or lost a part of it. No other level says anything against anybody.

No word of the hub's about a sum is signed, so it is never proven guilty: wherever it is named, the one who broke the
protocol may instead be whoever altered its word on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final

HUB: Final = "hub"
RECORDER: Final = "recorder"


class Level(StrEnum):
    """How strong a finding is; the first three are faults."""

    PROVEN = "proven"
    INCONSISTENT = "inconsistent"
    SUSPECTED = "suspected"
    REFUSED = "refused"
    MISSING = "missing"
    NOTED = "noted"
    HOLDS = "holds"


class Outcome(StrEnum):
    """How a session ended, as far as the record shows.

    REFUSED is a certified result that a client refused: nobody is proven guilty, and it should not be used unseen.
    """

    CERTIFIED = "certified"
    REFUSED = "refused"
    ABORTED = "aborted"
    INCOMPLETE = "incomplete"
    UNPLACED = "not judged"

    @property
    def is_certified(self) -> bool:
        """Whether all aggregators signed one result."""
        return self in (Outcome.CERTIFIED, Outcome.REFUSED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        level: how strong it is.
        step: of docs/protocol.md, for example ``step 3`` or ``set-up 4``.
        what: the exact statement.
        parties: PROVEN: the one that broke the protocol. INCONSISTENT: at least one of them did. SUSPECTED: one of them
            did, or whoever altered its unsigned word on the way. REFUSED: who signed the notice. Otherwise: whom it
            concerns, or nobody.
    """

    level: Level
    step: str
    what: str
    parties: tuple[str, ...] = ()

    def __str__(self) -> str:
        whom = f" {joined(self.parties)}:" if self.parties else ""
        return f"{self.level.upper()} ({self.step}){whom} {self.what}"

    @property
    def is_fault(self) -> bool:
        """Whether somebody broke the protocol."""
        return self.level in (Level.PROVEN, Level.INCONSISTENT, Level.SUSPECTED)


@dataclass(frozen=True, slots=True)
class SessionAudit:
    """What a record shows of one session.

    Attributes:
        sid: the session.
        setup: the id of its set-up; None if the record does not show that the session is of the pinned manifest.
        epoch: the set-up's label; None likewise.
        round: likewise.
        outcome: how it ended.
        step: the step at which it was aborted, or the last one that the record shows.
        roster: the clients that were counted, if the record shows them.
        total_weight: W, in a public task whose sum could be checked, and is right.
        findings: the strongest first.
        refusals: client and check of every signed complaint.
        is_complete: whether, if it is certified, every word is there that led to the result: all were heard by then.
    """

    sid: bytes
    setup: bytes | None
    epoch: int | None
    round: int | None
    outcome: Outcome
    step: int
    roster: tuple[int, ...] | None
    total_weight: int | None
    findings: tuple[Finding, ...]
    refusals: tuple[tuple[int, int], ...] = ()
    is_complete: bool = True

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What speaks against somebody."""
        return tuple(finding for finding in self.findings if finding.is_fault)


@dataclass(frozen=True, slots=True)
class Audit:
    """What a record shows.

    Attributes:
        sessions: by epoch label, set-up and round.
        findings: what concerns no single session: set-ups, what spans several sessions, the record as a whole.
        messages: how many distinct messages were looked at.
        verified: how many of them are signed, and verify.
        is_complete: whether a record that is said to be a whole task's has a word on every session's number up to the
            last, every word that led to a certified result, and the sealed keys of whoever submitted; always of a part.
    """

    sessions: tuple[SessionAudit, ...]
    findings: tuple[Finding, ...]
    messages: int
    verified: int
    is_complete: bool = True

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What speaks against somebody, anywhere."""
        return tuple(finding for finding in self.everything if finding.is_fault)

    @property
    def refused(self) -> tuple[SessionAudit, ...]:
        """Sessions whose certified result a client refused."""
        return tuple(session for session in self.sessions if session.outcome is Outcome.REFUSED)

    @property
    def is_consistent(self) -> bool:
        """Whether nothing speaks against anybody and nobody refused a certified result; an abort is no fault."""
        return not self.faults and not self.refused

    @property
    def everything(self) -> tuple[Finding, ...]:
        """All findings, those about no single session first."""
        return (*self.findings, *(finding for session in self.sessions for finding in session.findings))


def aggregator_party(number: int) -> str:
    """How findings name aggregator s."""
    return f"aggregator {number}"


def client_party(number: int) -> str:
    """How findings name client i."""
    return f"client {number}"


def everyone_of(
    aggregators: Iterable[int] = (), clients: Iterable[int] = (), others: Iterable[str] = ()
) -> tuple[str, ...]:
    """Several parties, each once, in order.

    Args:
        others: HUB, RECORDER or both.
    """
    names = list(others)
    names += [aggregator_party(number) for number in sorted(set(aggregators))]
    return (*names, *(client_party(number) for number in sorted(set(clients))))


def strongest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by level and step."""
    order = list(Level)
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: (order.index(finding.level), finding.step)))


def count_of(number: int, thing: str) -> str:
    """``1 roster``, ``2 rosters``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def joined(parties: Iterable[str]) -> str:
    """``hub, aggregators 1-3, clients 2, 5``."""
    pieces = []
    for role, group in groupby(parties, key=lambda name: name.partition(" ")[0]):
        numbers = [int(name.partition(" ")[2] or 0) for name in group]
        if role in (HUB, RECORDER):
            pieces.append(role)
        else:
            pieces.append(f"{role}{'s' if len(numbers) > 1 else ''} {ranges(numbers)}")
    return ", ".join(pieces)


def ranges(numbers: Iterable[int]) -> str:
    """``1-3, 5`` for ascending numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
