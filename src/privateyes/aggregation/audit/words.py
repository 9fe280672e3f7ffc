"""What nobody signs, held against what signatures pin; and what does not verify.

A message that does not verify proves nothing about the party that it names. But who writes down what verifies alone has
none: somebody forged or altered it, on its way or in the record. The same goes for a word of the hub that is not the
one that the aggregators signed T over, for a delivery that every client refuses, and for a roster to be sent again that
is not the one that was committed to. All of these make the recorder suspected, and the hub where the word is its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from privateyes.aggregation.audit.evidence import Evidence
from privateyes.aggregation.audit.findings import HUB, RECORDER, Finding, Level, count_of
from privateyes.aggregation.audit.preimages import Case
from privateyes.aggregation.messages import NO_SESSION, Agreement, Header, ResultSignature, RosterCommitment, Vote
from privateyes.aggregation.result import Check
from privateyes.aggregation.roster import roster_digest


def set_aside(aside: Counter[tuple[str, str]], step: str) -> Iterator[Finding]:
    """What did not verify: said once for each class and party named, and held against the recorder."""
    for (kind, name), count in sorted(aside.items()):
        text = (
            f"set aside: {count} x {kind} in the name of {name}, whose signature or hash does not fit: forged or "
            f"altered by somebody; this proves nothing about {name}"
        )
        yield Finding(Level.SUSPECTED, step, text, (RECORDER,))


def hub_sums(case: Case) -> Iterator[Finding]:
    """The hub's words on its sum against each other and against com_0 under T.

    An honest hub names one sum for a session, and the aggregators sign T over it: the sum follows from the votes and
    from shares that their headers pin. An aggregator that voted twice may have brought another one about, and is named
    for that. Where a signed T is known by its hash alone, nothing is said here; commitments.py says what that comes to.
    """
    votes = case.session.signed.of(Vote)
    if any(len(words) > 1 for words in votes.values()):
        return
    named = case.session.hub_commitments
    signed = {word.transcript for word in case.session.signed.all_of(Agreement)}
    if not signed and len(named) > 1:
        text = f"{len(named)} different sums in the hub's name: it named several, or one of them was altered"
        yield Finding(Level.SUSPECTED, "step 3", text, (HUB, RECORDER))
    if not signed or not signed <= case.known.transcripts.keys():
        return
    agreed = {own[0] for own in (case.known.transcripts[transcript].commitments for transcript in signed) if own}
    if named - agreed:
        text = (
            "a sum in the hub's name is not the one that T was signed over: the hub named another one here, or it was "
            "altered"
        )
        yield Finding(Level.SUSPECTED, "step 3", text, (HUB, RECORDER))


def deliveries(case: Case) -> Iterator[Finding]:
    """Deliveries that no client accepts: the hub made them up, or somebody altered them.

    One that bundles exactly what the aggregators signed is the hub's honest work all the same: they signed different
    results, and are named for it.
    """
    signed = {(word.aggregator, word.signature): word.result for word in case.session.signed.all_of(ResultSignature)}
    for receipt, fault in case.deliveries.faults.items():
        if fault is None:
            continue
        text = f"a delivery that every client refuses at check {fault.check} ({fault.problem})"
        bundled = [signed.get(own) for own in enumerate(receipt.results, start=1)]
        if fault.check == Check.SIGNATURES and None not in bundled and len(set(bundled)) > 1:
            yield Finding(Level.NOTED, "step 5", f"{text}: the aggregators signed different results")
        else:
            yield Finding(Level.SUSPECTED, "step 5", f"set aside: {text}", (HUB, RECORDER))


def origins(evidence: Evidence, whole: bool) -> Iterator[Finding]:
    """Rosters to be sent again: each belongs to a session that a header names, and is the one committed to there.

    The hub lists a roster before anybody answers, and the first session may stand in another file: so what a part of a
    record lacks is noted alone. There a roster is wrong only if every aggregator committed to others: those of some
    may be false ones, but not those of all. In the whole record the first session is there, with all that was signed.
    """
    named = {
        word.origin for session in evidence.sessions.values() for word in session.signed.all_of(Header)
    } - {NO_SESSION}  # fmt: skip
    wrong = unknown = 0
    committed: dict[bytes, tuple[set[int], set[bytes]]] = {}  # who committed in a session, and to which rosters
    for origin in evidence.origins:
        if origin.sid not in committed:
            first = evidence.sessions.get(origin.sid)
            words = {} if first is None else first.signed.of(RosterCommitment)
            committed[origin.sid] = set(words), {word.rho for said in words.values() for word in said}
        who, rosters = committed[origin.sid]
        if roster_digest(origin.sid, origin.group_check, origin.roster) in rosters:
            continue
        if who >= set(evidence.manifest.aggregator_numbers) or origin.sid == NO_SESSION:
            wrong += 1
        elif whole:
            wrong += bool(who) or origin.sid not in named
        else:
            unknown += 1
    if wrong:
        text = f"{count_of(wrong, 'roster')} to be sent again: not what was committed to, or of no session here"
        yield Finding(Level.SUSPECTED, "step 1", text, (HUB, RECORDER))
    if unknown:
        text = f"{count_of(unknown, 'roster')} to be sent again, not judged: not all the commitments are in this part"
        yield Finding(Level.NOTED, "step 1", text)
