"""Check a record offline: which sessions are certified, why others ended, and what is proven about whom.

The input is what anybody wrote down: the messages of one or more sessions and of their epochs' set-up, in any order,
some missing, repeated or forged, some as receipts. The only thing that is trusted is the pinned manifest. Leaving
messages out of a record can hide a fault and can never make one: every fault rests on signatures that are there.

What an auditor can and cannot name is written where it is decided: audit_aggregators.py, audit_clients.py,
audit_results.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from privateyes.aggregation.audit_aggregators import (
    Preimages,
    aborts,
    agreements,
    broken_endings,
    copied_commitments,
    equivocations,
    find_preimages,
    impossible_words,
    openings,
    openings_fit,
    rosters,
)
from privateyes.aggregation.audit_clients import across_sessions, announcements, disclosures, headers, set_up
from privateyes.aggregation.audit_results import (
    certified_deliveries,
    complaints,
    hub_sum,
    public_average,
    recomputed_result,
    results,
    uncertified_deliveries,
)
from privateyes.aggregation.evidence import (
    Evidence,
    SessionEvidence,
    Statements,
    collect,
    set_aside_findings,
    signed_by_all,
)
from privateyes.aggregation.findings import (
    Audit,
    Finding,
    Level,
    Outcome,
    SessionAudit,
    everyone_of,
    strongest_first,
)
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Complaint,
    Disclosure,
    Header,
    Message,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.aggregation.roster import intersect

_STEPS: tuple[tuple[int, type[Signed]], ...] = (
    (4, ResultSignature),
    (4, OpeningReceipt),
    (3, Agreement),
    (3, RosterCommitment),
    (2, Vote),
    (1, Header),
)


def audit(manifest: Manifest, messages: Iterable[Message]) -> Audit:
    """What these messages show.

    Args:
        manifest: the pinned copy.
        messages: of one or more sessions, and of the set-ups of their epochs if at hand.

    Guarantees:
        If at least one aggregator is honest, no honest party is named by a PROVEN finding, and of the parties that an
        INCONSISTENT finding names at least one broke the protocol; whatever the others, the hub and whoever wrote the
        record did. The one innocent exception is a leader that was restarted during a set-up (audit_clients.py). The
        hub, where a finding names it, stands for whoever altered its unsigned word on the way as well; SUSPECTED is
        what names it alone.
    """
    evidence = collect(manifest, messages)
    findings = list(across_sessions(evidence))
    for epoch, statements in sorted(evidence.epochs.items()):
        findings += announcements(epoch, statements)
        findings += set_up(manifest, epoch, statements)
    findings += set_aside_findings(evidence.set_aside, "set-up, step 0")
    sessions = [_of_session(evidence, session) for session in evidence.sessions.values()]
    unknown = (1 << 64, 1 << 64)
    sessions.sort(key=lambda found: (*(unknown if found.epoch is None else (found.epoch, found.round or 0)), found.sid))
    return Audit(tuple(sessions), strongest_first(findings), evidence.messages, evidence.verified)


def _of_session(evidence: Evidence, session: SessionEvidence) -> SessionAudit:
    manifest = evidence.manifest
    if session.epoch is None:
        text = (
            "of another task or manifest, or forged: no announcement in the record shows that this session id was made "
            "from the pinned manifest"
        )
        findings = (Finding(Level.NOTED, "record", text),)
        return SessionAudit(session.sid, None, None, Outcome.UNPLACED, 0, None, None, findings)
    known = find_preimages(manifest, session)
    average, of_average = public_average(manifest, session)
    found = [*_faults(manifest, session, known), *of_average]
    found += complaints(manifest, session, average)
    found += aborts(session)
    found += uncertified_deliveries(manifest, session)
    found += set_aside_findings(session.set_aside, "record")
    outcome, step = _outcome(manifest, session)
    found += _progress(evidence, session, known, outcome)
    if outcome.is_certified and not manifest.sealed and average is None and not of_average:
        text = "the delivery with its vector, the roster's headers or a disclosed key: so the sum was not checked here"
        found.append(Finding(Level.MISSING, "step 5", text))
    if average is not None:
        text = f"anyone can check this sum: its tags are right; total weight {average.total_weight}"
        found.append(Finding(Level.HOLDS, "step 5", text))
    delivered = certified_deliveries(manifest, session)
    roster = tuple(client for client, _ in delivered[0].roster) if delivered else None
    weight = None if average is None else average.total_weight
    refusals = tuple((word.client, word.check) for word in session.signed.all_of(Complaint))
    return SessionAudit(
        session.sid, session.epoch, session.round, outcome, step, roster, weight, strongest_first(found), refusals
    )


def _faults(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    yield from equivocations(session)
    yield from impossible_words(manifest, session)
    yield from broken_endings(session)
    yield from rosters(manifest, session, known)
    yield from copied_commitments(manifest, session)
    yield from agreements(manifest, session, known)
    yield from openings(manifest, session, known)
    yield from results(manifest, session, known)
    yield from hub_sum(manifest, session, known)
    yield from headers(manifest, session)
    yield from disclosures(manifest, session)


def _outcome(manifest: Manifest, session: SessionEvidence) -> tuple[Outcome, int]:
    if signed_by_all(manifest, ((word.aggregator, word.result) for word in session.signed.all_of(ResultSignature))):
        return Outcome.REFUSED if session.signed.of(Complaint) else Outcome.CERTIFIED, 5
    stopped = [word.step for word in session.signed.all_of(Abort)]
    if stopped:
        return Outcome.ABORTED, min(stopped)
    if session.signed.of(Complaint):
        return Outcome.ABORTED, 5
    if any(word.outcome == VOID for word in session.signed.all_of(Closing)):
        return Outcome.ABORTED, _reached(session)
    return Outcome.INCOMPLETE, _reached(session)


def _reached(session: SessionEvidence) -> int:
    """The last step of which the record has a statement."""
    return next((step for step, kind in _STEPS if session.signed.of(kind)), 0)


def _progress(evidence: Evidence, session: SessionEvidence, known: Preimages, outcome: Outcome) -> Iterator[Finding]:
    """What is there and what is missing, step by step up to the last step that the record shows."""
    manifest, signed = evidence.manifest, session.signed
    reached = 5 if outcome.is_certified else _reached(session)
    announced = evidence.epochs.get(session.epoch or 0, Statements())
    said = [
        number
        for number, words in announced.of(Announcement).items()
        if session.round in [word.round for word in words]
    ]
    yield from _said_by_all(manifest, said, 0, "announcements", reached > 0)
    for step, kind, what in (
        (2, Vote, "votes"),
        (3, RosterCommitment, "commitments"),
        (3, Agreement, "signatures on T"),
        (4, OpeningReceipt, "openings"),
        (4, ResultSignature, "result signatures"),
    ):
        if step <= reached:
            yield from _said_by_all(manifest, list(signed.of(kind)), step, what, True)
    if reached >= 3:
        yield from _recomputed(manifest, session, known)
    yield from _small_roster(manifest, session)
    if outcome.is_certified and not certified_deliveries(manifest, session):
        yield Finding(Level.MISSING, "step 5", "the delivery, which tells what the result signatures stand for")
    if openings_fit(manifest, session, known):
        yield Finding(Level.HOLDS, "step 4", "every opening fits its commitment")
    if signed.of(Disclosure) and not outcome.is_certified:
        text = "n result signatures; so whether the session key was published too early cannot be told"
        yield Finding(Level.MISSING, "step 5", text)


def _said_by_all(manifest: Manifest, said: list[int], step: int, what: str, expected: bool) -> Iterator[Finding]:
    absent = [number for number in manifest.aggregator_numbers if number not in said]
    if not absent:
        yield Finding(Level.HOLDS, f"step {step}", f"all {len(manifest.aggregators)} {what}")
    elif expected or said:
        text = f"{len(absent)} of {len(manifest.aggregators)} {what}"
        yield Finding(Level.MISSING, f"step {step}", text, everyone_of(absent))


def _recomputed(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """Whether the signed rho, T and result follow from what the record holds."""
    signed = session.signed
    rosters_signed = {word.rho for word in signed.all_of(RosterCommitment)}
    if len(rosters_signed) == 1 and known.voted in rosters_signed:
        entries = known.rosters[next(iter(rosters_signed))].entries
        yield Finding(Level.HOLDS, "step 2", f"the roster of {len(entries)} is what all voted for")
    elif rosters_signed and known.voted is None:
        text = "votes or headers, without which the signed roster cannot be recomputed"
        yield Finding(Level.MISSING, "step 2", text)
    transcripts = {word.transcript for word in signed.all_of(Agreement)}
    if transcripts and not transcripts <= known.transcripts.keys():
        text = "T does not follow from the commitments in the record: one of them, or the hub's sum, is not here"
        yield Finding(Level.NOTED, "step 3", text)
    elif len(transcripts) == 1:
        yield Finding(Level.HOLDS, "step 3", "T holds the signed roster and commitments")
        computed = recomputed_result(manifest, session, next(iter(transcripts)), known)
        if {computed} == {word.result for word in signed.all_of(ResultSignature)}:
            yield Finding(Level.HOLDS, "step 4", "the signed result is the sum of what was opened")


def _small_roster(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """Why no roster was signed, where the votes show it."""
    votes = session.signed.single(Vote)
    if len(votes) < len(manifest.aggregators) or session.signed.of(RosterCommitment):
        return
    size = len(intersect([vote.entries for vote in votes.values()]))
    if not manifest.roster_min <= size <= manifest.roster_max:
        text = f"{size} clients have every aggregator's vote; a roster has {manifest.roster_min}..{manifest.roster_max}"
        yield Finding(Level.NOTED, "step 2", text)
