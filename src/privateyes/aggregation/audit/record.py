"""Check a record offline: which sessions are certified, why others ended, and what is proven about whom.

The input is what anybody wrote down: the messages of one or more sessions and of their set-ups, in any order, some
missing, repeated or forged, some as receipts. The only thing that is trusted is the pinned manifest. Leaving messages
out of a record can hide a fault and can never make one of a party: every fault rests on signatures that are there.

What an auditor can and cannot name is written where it is decided; the package's page says where that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from privateyes.aggregation.audit.aggregators import (
    broken_endings,
    equivocations,
    impossible_words,
    repeats,
    rosters,
)
from privateyes.aggregation.audit.chain import chain, gaps_in_numbers, left_out
from privateyes.aggregation.audit.clients import disclosures, headers, keys_of_setups, nonces
from privateyes.aggregation.audit.commitments import agreements, copied_commitments, openings, openings_fit
from privateyes.aggregation.audit.deliveries import look_at_deliveries
from privateyes.aggregation.audit.evidence import Evidence, SessionEvidence, collect, signed_by_all
from privateyes.aggregation.audit.findings import (
    RECORDER,
    Audit,
    Finding,
    Level,
    Outcome,
    SessionAudit,
    count_of,
    everyone_of,
    strongest_first,
)
from privateyes.aggregation.audit.notices import aborts, complaints
from privateyes.aggregation.audit.preimages import Budget, Case, find_preimages
from privateyes.aggregation.audit.results import check_public_sum, hub_sum, recomputed_result, results
from privateyes.aggregation.audit.setups import announcements, offers, secrets_of, unplaced
from privateyes.aggregation.audit.words import deliveries, hub_sums, origins, set_aside
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    VOID,
    Abort,
    Agreement,
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


def audit(manifest: Manifest, messages: Iterable[Message], whole: bool = False) -> Audit:
    """What these messages show.

    Args:
        manifest: the pinned copy.
        messages: of one or more sessions, and of their set-ups: without an aggregator's sealing key nothing shows that
            a set-up is of this manifest, and its sessions are not judged.
        whole: whether they are said to be the record of the whole task, so that what is absent was left out.

    Guarantees:
        If at least one aggregator is honest, no honest party is named by a PROVEN finding, and of the parties that an
        INCONSISTENT finding names at least one broke the protocol; whatever the others, the hub and whoever wrote the
        record did, and whatever stores were lost. The hub, where a finding names it, stands for whoever altered its
        unsigned word on the way as well; SUSPECTED names it or the recorder alone.

        Time and memory are in proportion to the messages.
    """
    evidence = collect(manifest, messages)
    budget = Budget()
    cases = {
        session.sid: Case(
            manifest, session, look_at_deliveries(manifest, session), find_preimages(manifest, session, budget)
        )
        for session in sorted(evidence.judged, key=lambda session: session.sid)
    }
    sessions = [
        _of_session(cases[session.sid], whole) if session.is_judged else _not_judged(evidence, session, whole)
        for session in evidence.sessions.values()
    ]
    findings = list(_of_no_session(evidence, cases, whole))
    is_complete = True
    if whole:
        gaps = list(gaps_in_numbers(evidence))
        certified = {found.sid for found in sessions if found.outcome.is_certified}
        findings += [*chain(evidence, cases, certified), *gaps]
        of_setups = [finding for finding in findings if finding.level is Level.MISSING and finding.step[:6] == "set-up"]
        is_complete = not gaps and not of_setups and all(found.is_complete for found in sessions)
    sessions.sort(
        key=lambda found: (found.epoch is None, found.epoch or 0, found.setup or b"", found.round or 0, found.sid)
    )
    return Audit(tuple(sessions), strongest_first(findings), evidence.messages, evidence.verified, is_complete)


def _of_no_session(evidence: Evidence, cases: dict[bytes, Case], whole: bool) -> Iterator[Finding]:
    yield from offers(evidence)
    for setup in evidence.placed:
        yield from announcements(setup)
        yield from secrets_of(setup)
        yield from set_aside(setup.set_aside, "set-up, step 0")
    yield from set_aside(evidence.set_aside, "set-up 2")
    yield from unplaced(evidence, whole)
    yield from nonces(evidence)
    yield from keys_of_setups(evidence)
    yield from repeats(cases)
    yield from origins(evidence, whole)


def _not_judged(evidence: Evidence, session: SessionEvidence, whole: bool) -> SessionAudit:
    """Parties of this manifest spoke in it, or of it; an honest record that ends early may hold no more than that."""
    if session.signed.count or session.sid in evidence.spoken_of:
        text = (
            "of another task or manifest, or forged: no announcement and sealing keys in the record show that this "
            "session id was made from the pinned manifest"
        )
        found = [Finding(Level.NOTED, "record", text), *left_out(session, whole)]
    else:
        text = "nothing in it is signed by a party of this manifest: altered, forged, or of another task"
        found = [Finding(Level.SUSPECTED, "record", text, (RECORDER,))]
    return SessionAudit(session.sid, None, None, None, Outcome.UNPLACED, 0, None, None, strongest_first(found))


def _of_session(case: Case, whole: bool) -> SessionAudit:
    manifest, session = case.manifest, case.session
    checked = check_public_sum(case)
    average = checked.average
    found = [*_faults(case), *checked.findings, *left_out(session, whole)]
    found += complaints(case, checked)
    found += aborts(session)
    found += set_aside(session.set_aside, "record")
    if case.known.unsearched:
        text = "parties said more than one word of a kind, in more combinations than are tried: not searched further"
        found.append(Finding(Level.NOTED, "record", text))
    outcome, step = _outcome(manifest, session)
    found += (steps := list(_progress(case, outcome)))
    gaps = [finding for finding in steps if finding.level is Level.MISSING and finding.step != "step 5"]
    if outcome.is_certified and not manifest.sealed and average is None and not checked.findings:
        text = "the delivery with its vector, the roster's headers or a disclosed key: so the sum was not checked here"
        found.append(Finding(Level.MISSING, "step 5", text))
    if average is not None:
        text = f"anyone can check this sum: its tags are right; total weight {average.total_weight}"
        found.append(Finding(Level.HOLDS, "step 5", text))
    delivered = next(iter(case.deliveries.certified.values()), None)
    return SessionAudit(
        sid=session.sid,
        setup=None if session.setup is None else session.setup.id,
        epoch=session.epoch,
        round=session.round,
        outcome=outcome,
        step=step,
        roster=None if delivered is None else tuple(client for client, _ in delivered.roster),
        total_weight=None if average is None else average.total_weight,
        findings=strongest_first(found),
        refusals=tuple((word.client, word.check) for word in session.signed.all_of(Complaint)),
        is_complete=not (outcome.is_certified and gaps),
    )


def _faults(case: Case) -> Iterator[Finding]:
    yield from equivocations(case.session)
    yield from impossible_words(case.manifest, case.session)
    yield from broken_endings(case.session)
    yield from rosters(case)
    yield from copied_commitments(case)
    yield from agreements(case)
    yield from openings(case)
    yield from results(case)
    yield from hub_sum(case)
    yield from hub_sums(case)
    yield from deliveries(case)
    yield from headers(case.manifest, case.session)
    yield from disclosures(case)


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


def _progress(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """What is there and what is missing, step by step up to the last step that the record shows."""
    signed = case.session.signed
    reached = 5 if outcome.is_certified else _reached(case.session)
    yield from _said_by_all(case, case.session.announced_by, 0, "announcements", reached > 0)
    for step, kind, what in (
        (2, Vote, "votes"),
        (3, RosterCommitment, "commitments"),
        (3, Agreement, "signatures on T"),
        (4, OpeningReceipt, "openings"),
        (4, ResultSignature, "result signatures"),
    ):
        if step <= reached:
            yield from _said_by_all(case, signed.of(kind), step, what, True)
    yield from _recomputed(case)
    yield from _small_roster(case)
    if outcome.is_certified and not case.deliveries.certified:
        yield Finding(Level.MISSING, "step 5", "the delivery, which tells what the result signatures stand for")
    if openings_fit(case):
        yield Finding(Level.HOLDS, "step 4", "every opening fits its commitment")
    if signed.of(Disclosure) and not outcome.is_certified:
        text = "n result signatures; so whether the session key was published too early cannot be told"
        yield Finding(Level.MISSING, "step 5", text)


def _said_by_all(case: Case, said: Iterable[int], step: int, what: str, expected: bool) -> Iterator[Finding]:
    heard = set(said)
    absent = [number for number in case.aggregators if number not in heard]
    if not absent:
        yield Finding(Level.HOLDS, f"step {step}", f"all {len(case.aggregators)} {what}")
    elif expected or heard:
        text = f"{len(absent)} of {len(case.aggregators)} {what}"
        yield Finding(Level.MISSING, f"step {step}", text, everyone_of(absent))


def _recomputed(case: Case) -> Iterator[Finding]:
    """Whether the signed rho, T and result follow from what the record holds."""
    signed, known = case.session.signed, case.known
    rosters_signed = {word.rho for word in signed.all_of(RosterCommitment)}
    if len(rosters_signed) == 1 and known.voted in rosters_signed:
        entries = known.rosters[next(iter(rosters_signed))].entries
        yield Finding(Level.HOLDS, "step 2", f"the roster of {len(entries)} is what all voted for")
    elif rosters_signed and known.voted is None:
        text = "votes or headers, without which the signed roster cannot be recomputed"
        yield Finding(Level.MISSING, "step 2", text)
    transcripts = {word.transcript for word in signed.all_of(Agreement)}
    if not transcripts <= known.transcripts.keys():
        text = "what T was signed over: a commitment, or the hub's sum, is not in the record as it was signed"
        yield Finding(Level.MISSING, "step 3", text)
    elif len(transcripts) == 1:
        yield Finding(Level.HOLDS, "step 3", "T holds the signed roster and commitments")
        computed = recomputed_result(case, next(iter(transcripts)))
        if {computed} == {word.result for word in signed.all_of(ResultSignature)}:
            yield Finding(Level.HOLDS, "step 4", "the signed result is the sum of what was opened")


def _small_roster(case: Case) -> Iterator[Finding]:
    """Why no roster was signed, where the votes show it."""
    votes, manifest = case.session.signed.single(Vote), case.manifest
    if len(votes) < len(case.aggregators) or case.session.signed.of(RosterCommitment):
        return
    size = len(intersect([vote.entries for vote in votes.values()]))
    if not manifest.roster_min <= size <= manifest.roster_max:
        voted_for = f"every aggregator voted for {count_of(size, 'client')}"
        text = f"{voted_for}; a roster has {manifest.roster_min}..{manifest.roster_max}"
        yield Finding(Level.NOTED, "step 2", text)
