"""What a record proves about the aggregators of a session up to the roster, and about how they say that it ended
(protocol, steps 0 and 2).

Every function says why an honest aggregator is never named alone. What that rests on, here and in commitments.py:

*One word of each kind.* An honest aggregator stores each word before it sends it, and what is stored is what it repeats
to the byte (Ed25519 is deterministic). If it loses its store, at any point, it loses the set-up with it: set-up ids are
fresh, a key that was bound is never bound again, so nothing is ever announced, voted on, committed to, agreed on,
opened or certified in that set-up again, and nothing is said about its sessions. A restart in the middle of a set-up
loses the offer, and no word of a session was said by then. Other set-ups, whatever label they share, and other
manifests have other session ids.

*Hashes do not collide*, so what a signature covers is what was seen when it was made.

A corrupt hub may show honest aggregators different unsigned words, and corrupt aggregators may show them different
signed ones. So a signature that differs from what the record holds is held against its signer only if the signer's own
words, or a preimage of what it signed, contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from privateyes.aggregation.audit.evidence import SessionEvidence
from privateyes.aggregation.audit.findings import Finding, Level, aggregator_party, count_of, everyone_of
from privateyes.aggregation.audit.preimages import Case, Roster, pinned
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Abort,
    Agreement,
    Closing,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)

_MOST_FAULTS: Final = 5  # of one vote or roster that are told

_ONLY_ONE: Final[tuple[tuple[type[Signed], str, str], ...]] = (
    (Vote, "step 2", "votes"),
    (RosterCommitment, "step 3", "rosters or commitments"),
    (Agreement, "step 3", "T"),
    (OpeningReceipt, "step 4", "openings"),
    (ResultSignature, "step 4", "results"),
    (Closing, "step 0", "endings"),
    (Abort, "step 0", "abort notices"),
)


def equivocations(session: SessionEvidence) -> Iterator[Finding]:
    """Two different statements of one class, both with the aggregator's signature: proven.

    An honest aggregator says one of each for a session, whatever it loses (above). It gives a session up once, and the
    step that its notice names follows from what it had stored; whether a session was opened is settled before it says
    how it ended.
    """
    for kind, step, what in _ONLY_ONE:
        for number, messages in session.signed.of(kind).items():
            if len(messages) > 1:
                text = f"signed {len(messages)} different {what} for one session"
                yield Finding(Level.PROVEN, step, text, (aggregator_party(number),))


def impossible_words(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """A vote for what is no valid header, or an ending that does not exist: proven by one signature.

    A vote names a header by its hash, so the header is what the aggregator saw, whoever put it into the record. An
    honest one votes for headers of registered clients that verify and are for this session.
    """
    for number, votes in session.signed.of(Vote).items():
        entries = list(dict.fromkeys(entry for vote in votes for entry in vote.entries))
        for fault in islice(_invalid(manifest, session, entries), _MOST_FAULTS):
            yield Finding(Level.PROVEN, "step 2", f"voted for {fault}", (aggregator_party(number),))
    for number, closings in session.signed.of(Closing).items():
        if any(closing.outcome not in (VOID, OPENED) for closing in closings):
            text = "signed an ending that is neither opened nor void"
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))


def _invalid(manifest: Manifest, session: SessionEvidence, entries: Sequence[tuple[int, bytes]]) -> Iterator[str]:
    for client, value in entries:
        if not 1 <= client <= len(manifest.clients):
            yield f"client {client}, which is not in the manifest"
            continue
        header = session.headers.get(value)
        if header is None:
            continue
        if header.client != client:
            yield f"a header of client {header.client} in place of client {client}'s"
        elif len(header.sealed_hashes) != len(manifest.aggregators):
            yield f"a header in client {client}'s name with a wrong number of stream keys"
        elif not session.signed.has(header, client):
            yield f"a header in client {client}'s name that client {client} did not sign"


def broken_endings(session: SessionEvidence) -> Iterator[Finding]:
    """A session that was given up, or called void, and was opened.

    Alone: the signer's own opening, result or OPENED beside its notice or VOID. Each is stored before it is signed and
    excludes the other; VOID is said only where the set-up is remembered, so an honest aggregator that lost its store
    does not say it. Two named: a result takes every aggregator's opening, so whoever signed one beside another's
    notice or VOID did without, or the other opened.
    """
    closings = session.signed.of(Closing)
    void = {number for number, words in closings.items() if VOID in [word.outcome for word in words]}
    gone = dict.fromkeys(void, "declared the session void")
    gone |= dict.fromkeys(session.signed.of(Abort), "gave the session up")
    opened, certified = session.signed.of(OpeningReceipt), session.signed.of(ResultSignature)
    said = {number for number, words in closings.items() if OPENED in [word.outcome for word in words]}
    for number, what in sorted(gone.items()):
        kinds = ((opened, "its opening"), (certified, "its result"), (said - void, "that it was opened"))
        own = [name for words, name in kinds if number in words]
        if own:
            text = f"{what}, and signed {' and '.join(own)}"
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))
            continue
        for other in sorted(certified.keys() - gone.keys()):
            text = (
                f"aggregator {number} says that it never opened, and aggregator {other} signed a result, which takes "
                "everyone's opening"
            )
            yield Finding(Level.INCONSISTENT, "step 0", text, everyone_of([number, other]))


def rosters(case: Case) -> Iterator[Finding]:
    """Rosters that no honest aggregator signs, and rosters that do not agree.

    Alone: rho has a preimage with an illegal size, an invalid header, two group keys, headers that send different
    sessions again, or an entry that the signer did not vote for; its own signature pins all of it. All named: the
    signers of different rosters, or of one that is not the intersection of the votes in the record. Any of them may be
    honest, having been shown another vote; but then somebody signed two.
    """
    manifest, known = case.manifest, case.known
    commitments = case.session.signed.of(RosterCommitment)
    votes = case.session.signed.single(Vote)
    illegal: dict[bytes, list[str]] = {}
    for number, words in commitments.items():
        voted = set(votes[number].entries) if number in votes else None
        for rho in dict.fromkeys(word.rho for word in words):
            roster = known.rosters.get(rho)
            if roster is None:
                continue
            if rho not in illegal:
                illegal[rho] = list(islice(_illegal(manifest, case.session, roster), _MOST_FAULTS))
            faults = list(illegal[rho])
            if voted is not None and not all(entry in voted for entry in roster.entries):
                faults.append("with a header that it did not vote for")
            for fault in faults:
                yield Finding(Level.PROVEN, "step 2", f"signed a roster {fault}", (aggregator_party(number),))
    signed = {word.rho for words in commitments.values() for word in words}
    everyone = everyone_of(case.aggregators)
    if len(signed) > 1:
        text = "signed different rosters: one of them told the others different votes, or left its own out"
        yield Finding(Level.INCONSISTENT, "step 2", text, everyone)
    elif known.voted is not None and signed and known.voted not in signed:
        who = ", ".join(str(number) for number in commitments)
        text = (
            f"the roster that {who} signed is not the intersection of the votes in the record: a signer lied, or some "
            "aggregator signed another vote than the one shown here"
        )
        yield Finding(Level.INCONSISTENT, "step 2", text, everyone)


def _illegal(manifest: Manifest, session: SessionEvidence, roster: Roster) -> Iterator[str]:
    size = len(roster.entries)
    if not manifest.roster_min <= size <= manifest.roster_max:
        yield f"of {count_of(size, 'client')}, outside {manifest.roster_min}..{manifest.roster_max}"
    headers = pinned(session, roster.entries)
    if len({(header.group_check, header.session_key_hash) for header in headers}) > 1:
        yield "whose clients hold different group keys"
    elif headers and headers[0].group_check != roster.group_check:
        yield "under another group key than its clients'"
    if len({header.origin for header in headers}) > 1:
        yield "that mixes fresh updates with updates that are sent again"
    for fault in _invalid(manifest, session, roster.entries):
        yield f"with {fault}"


def repeats(cases: Mapping[bytes, Case]) -> Iterator[Finding]:
    """An update that is sent again to another roster: proven by the aggregator's signatures on both.

    An honest aggregator commits to headers that name session S only if it opened S, remembers the roster that it
    opened S with, and the clients are the same. If it lost its store it remembers no S, and refuses; except where every
    roster holds every client, and then there is no other.
    """
    signed = {sid: _signers_of_rosters(case) for sid, case in cases.items()}
    for sid, case in cases.items():
        for rho, signers in signed[sid].items():
            roster = case.known.rosters[rho]
            origin = case.origin_of(roster)
            for earlier, others in signed.get(origin, {}).items():
                if _same_clients(cases[origin].known.rosters[earlier], roster):
                    continue
                for number in sorted(signers & others):
                    text = (
                        f"had the updates of the session with the id {origin.hex()[:8]} sent again to other clients, "
                        f"in the one with the id {sid.hex()[:8]}"
                    )
                    yield Finding(Level.PROVEN, "step 3", text, (aggregator_party(number),))


def _signers_of_rosters(case: Case) -> dict[bytes, set[int]]:
    """Who signed which roster, of those that signed one alone and whose roster is known."""
    found: dict[bytes, set[int]] = {}
    for number, words in case.session.signed.of(RosterCommitment).items():
        rosters_signed = {word.rho for word in words}
        if len(rosters_signed) == 1 and rosters_signed <= case.known.rosters.keys():
            found.setdefault(next(iter(rosters_signed)), set()).add(number)
    return found


def _same_clients(one: Roster, other: Roster) -> bool:
    return [client for client, _ in one.entries] == [client for client, _ in other.entries]
