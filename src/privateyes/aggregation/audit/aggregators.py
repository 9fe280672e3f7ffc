"""What a record proves about the aggregators of a session (protocol, steps 2 to 4).

Every function says why an honest aggregator is never named alone. What that rests on: an honest aggregator keeps its
key, stores each word before it sends it, and says at most one vote, rho, commitment, T, opening and result for a
session (docs/protocol.md, "Restarts"); hashes do not collide. A corrupt hub may show honest aggregators different
unsigned words, and corrupt aggregators may show them different signed ones. So a signature that differs from what the
record holds is held against its signer only if the signer's own words, or a preimage of what it signed, contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from typing import Final

from privateyes.aggregation.evidence import SessionEvidence, delivered_transcript, is_signed
from privateyes.aggregation.findings import Finding, Level, aggregator_party, everyone_of
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Abort,
    Agreement,
    Closing,
    Header,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.aggregation.roster import Entries, intersect, roster_digest, transcript_digest
from privateyes.crypto.commitment import commit_to_share

_MOST_COMBINATIONS: Final = 4096  # of equivocating parties' words; a record with more is not searched further

_ONLY_ONE: Final[tuple[tuple[type[Signed], str, str], ...]] = (
    (Vote, "step 2", "votes"),
    (RosterCommitment, "step 3", "rosters or commitments"),
    (Agreement, "step 3", "T"),
    (OpeningReceipt, "step 4", "openings"),
    (ResultSignature, "step 4", "results"),
    (Closing, "step 0", "endings"),
)


@dataclass(frozen=True, slots=True)
class Roster:
    """What a rho stands for."""

    group_check: bytes
    entries: Entries


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a T stands for: rho and com_0..com_n."""

    rho: bytes
    commitments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Preimages:
    """Rosters by rho and transcripts by T, as far as the record allows to find them.

    A preimage is what was signed, wherever it comes from: nobody finds a second one.

    Attributes:
        voted: rho of the votes in the record, if it has exactly one of every aggregator and the headers.
    """

    rosters: dict[bytes, Roster] = field(default_factory=dict)
    transcripts: dict[bytes, Transcript] = field(default_factory=dict)
    voted: bytes | None = None


def find_preimages(manifest: Manifest, session: SessionEvidence) -> Preimages:
    """Look for what the signed hashes stand for: in the deliveries, and in combinations of the signed words."""
    found = Preimages(voted=_voted(manifest, session))
    for receipt in session.deliveries:
        transcript, rho = delivered_transcript(receipt)
        found.rosters[rho] = Roster(receipt.group_check, receipt.roster)
        found.transcripts[transcript] = Transcript(rho, receipt.commitments)
    votes = session.signed.of(Vote)
    if len(votes) == len(manifest.aggregators):
        for combination in islice(product(*votes.values()), _MOST_COMBINATIONS):
            entries = intersect([vote.entries for vote in combination])
            for group_check in sorted({header.group_check for header in _pinned(session, entries)}):
                found.rosters[roster_digest(session.sid, group_check, entries)] = Roster(group_check, entries)
    _find_transcripts(manifest, session, found)
    return found


def _voted(manifest: Manifest, session: SessionEvidence) -> bytes | None:
    votes = session.signed.single(Vote)
    if len(votes) < len(manifest.aggregators):
        return None
    entries = intersect([vote.entries for vote in votes.values()])
    headers = _pinned(session, entries)
    if not headers or len(headers) < len(entries) or len({header.group_check for header in headers}) != 1:
        return None
    return roster_digest(session.sid, headers[0].group_check, entries)


def _pinned(session: SessionEvidence, entries: Entries) -> list[Header]:
    """The headers that a roster names, as far as the record has them."""
    return [session.headers[value] for _, value in entries if value in session.headers]


def _find_transcripts(manifest: Manifest, session: SessionEvidence, found: Preimages) -> None:
    commitments = session.signed.of(RosterCommitment)
    if len(commitments) < len(manifest.aggregators):
        return
    choices = product(sorted(session.hub_commitments), product(*commitments.values()))
    for hub_commitment, words in islice(choices, _MOST_COMBINATIONS):
        digests = (hub_commitment, *(word.commitment for word in words))
        for rho in {word.rho for word in words}:
            found.transcripts[transcript_digest(session.sid, rho, digests)] = Transcript(rho, digests)


def equivocations(session: SessionEvidence) -> Iterator[Finding]:
    """Two different statements of one class, both with the aggregator's signature: proven.

    An honest aggregator makes one of each for a session, after a restart too: from COMMIT on it repeats what it stored,
    before that the session is void.
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
        for fault in _invalid(manifest, session, [entry for vote in votes for entry in vote.entries]):
            yield Finding(Level.PROVEN, "step 2", f"voted for {fault}", (aggregator_party(number),))
    for number, closings in session.signed.of(Closing).items():
        if any(closing.outcome not in (VOID, OPENED) for closing in closings):
            text = "signed an ending that is neither opened nor void"
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))


def _invalid(manifest: Manifest, session: SessionEvidence, entries: Sequence[tuple[int, bytes]]) -> Iterator[str]:
    for client, value in dict.fromkeys(entries):
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
        elif not is_signed(manifest, header, session.sid):
            yield f"a header in client {client}'s name that client {client} did not sign"


def broken_endings(session: SessionEvidence) -> Iterator[Finding]:
    """VOID for a session that was opened.

    Alone: the signer's own opening or result beside its VOID. An honest aggregator that opened remembers it, and one
    that said VOID never opens. Two named: a result needs every aggregator's opening, so whoever signed one beside
    another's VOID did without, or the other opened.
    """
    void = {number for number, words in session.signed.of(Closing).items() if VOID in [word.outcome for word in words]}
    opened, certified = session.signed.of(OpeningReceipt), session.signed.of(ResultSignature)
    for number in sorted(void):
        own = [what for words, what in ((opened, "opening"), (certified, "result")) if number in words]
        if own:
            text = f"declared the session void, and signed its {' and '.join(own)}"
            yield Finding(Level.PROVEN, "step 0", text, (aggregator_party(number),))
            continue
        for other in sorted(certified.keys() - void):
            text = (
                f"aggregator {number} says that it never opened, and aggregator {other} signed a result, which takes "
                "everyone's opening"
            )
            yield Finding(Level.INCONSISTENT, "step 0", text, everyone_of([number, other]))


def rosters(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """Rosters that no honest aggregator signs, and rosters that do not agree.

    Alone: rho has a preimage with an illegal size, an invalid header, two group keys, or an entry that the signer did
    not vote for; its own signature pins all of it. All named: the signers of different rosters, or of one that is not
    the intersection of the votes in the record. Any of them may be honest, having been shown another vote; but then
    somebody signed two.
    """
    commitments = session.signed.of(RosterCommitment)
    votes = session.signed.single(Vote)
    for number, words in commitments.items():
        for word in words:
            roster = known.rosters.get(word.rho)
            if roster is None:
                continue
            own = votes.get(number)
            for fault in _illegal(manifest, session, roster, None if own is None else own.entries):
                yield Finding(Level.PROVEN, "step 2", f"signed a roster {fault}", (aggregator_party(number),))
    signed = {word.rho for words in commitments.values() for word in words}
    everyone = everyone_of(manifest.aggregator_numbers)
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


def _illegal(manifest: Manifest, session: SessionEvidence, roster: Roster, voted: Entries | None) -> Iterator[str]:
    size = len(roster.entries)
    if not manifest.roster_min <= size <= manifest.roster_max:
        yield f"of {size} clients, outside {manifest.roster_min}..{manifest.roster_max}"
    for fault in _invalid(manifest, session, roster.entries):
        yield f"with {fault}"
    headers = _pinned(session, roster.entries)
    if len({(header.group_check, header.session_key_hash) for header in headers}) > 1:
        yield "whose clients hold different group keys"
    elif headers and headers[0].group_check != roster.group_check:
        yield "under another group key than its clients'"
    if voted is not None and not set(roster.entries) <= set(voted):
        yield "with a header that it did not vote for"


def copied_commitments(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """Two aggregators with one commitment. Its number is hashed into a commitment, so one of the two copied.

    Alone: the one that is not it, once the other has opened that commitment; nobody can open it twice.
    """
    for (one, words), (other, others) in combinations(session.signed.of(RosterCommitment).items(), 2):
        shared = [(a, b) for a in words for b in others if a.commitment == b.commitment]
        for a, b in shared[:1]:
            openings = session.signed.of(OpeningReceipt)
            owners = [
                word.aggregator
                for word in (a, b)
                for opening in openings.get(word.aggregator, ())
                if _commitment_of(manifest, opening, word.rho) == word.commitment
            ]
            if owners:
                thief = other if owners[0] == one else one
                text = f"signed the commitment that aggregator {owners[0]} opened, and so none of its own"
                yield Finding(Level.PROVEN, "step 3", text, (aggregator_party(thief),))
            else:
                text = "signed the same commitment: one of the two copied the other's"
                yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of([one, other]))


def _commitment_of(manifest: Manifest, opening: OpeningReceipt, rho: bytes) -> bytes:
    length, root = manifest.share_bytes, opening.share_root
    return commit_to_share(opening.sid, rho, opening.aggregator, opening.salt, length, root)


def agreements(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """T against its preimage and against the signers' other words.

    Alone: T has a preimage in which the signer's own roster or commitment is not the one that it signed, or two
    commitments are equal. Two named: the signer, and one whose commitment under T is not the one in the record; the
    first took it unsigned, or the second signed two. With the hub: two different T. com_0 carries no signature, so the
    hub may have told it differently to honest aggregators.
    """
    commitments = session.signed.single(RosterCommitment)
    for number, words in session.signed.of(Agreement).items():
        for transcript in [
            known.transcripts[word.transcript] for word in words if word.transcript in known.transcripts
        ]:
            yield from _transcript_faults(manifest, transcript, number, commitments)
    if len({word.transcript for word in session.signed.all_of(Agreement)}) > 1:
        text = "signed different T: the hub named different sums to them, or one of them different commitments"
        yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of(manifest.aggregator_numbers, hub=True))


def _transcript_faults(
    manifest: Manifest, transcript: Transcript, number: int, commitments: dict[int, RosterCommitment]
) -> Iterator[Finding]:
    own = (aggregator_party(number),)
    digests = transcript.commitments
    if len(digests) != len(manifest.aggregators) + 1:
        yield Finding(Level.PROVEN, "step 3", "signed a T over a wrong number of commitments", own)
        return
    if len(set(digests[1:])) < len(digests) - 1:
        yield Finding(Level.PROVEN, "step 3", "signed a T with two equal commitments", own)
    for other, word in commitments.items():
        if (word.rho, word.commitment) == (transcript.rho, digests[other]):
            continue
        if other == number:
            text = "signed a T that holds another roster or commitment than the ones that it signed itself"
            yield Finding(Level.PROVEN, "step 3", text, own)
        else:
            text = (
                f"T as aggregator {number} signed it holds another roster or commitment of aggregator {other} than "
                f"aggregator {other} signed here: it signed two, or aggregator {number} took one that was not signed"
            )
            yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of([number, other]))


def openings(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """Openings against commitments and against the others' T.

    Alone: the opening does not fit the commitment that the same aggregator signed, by itself or in its T. Two named:
    the one that opened, and one whose only T in the record is another. An honest one opens against n signatures on its
    own T, so the second signed two, or the first did not wait for it.
    """
    agreed = session.signed.single(Agreement)
    for number, words in session.signed.of(OpeningReceipt).items():
        own = _own_commitments(session, known, number)
        for word in words:
            if any(_commitment_of(manifest, word, rho) != commitment for rho, commitment in own):
                text = "opened something other than it committed to"
                yield Finding(Level.PROVEN, "step 4", text, (aggregator_party(number),))
        for other, agreement in agreed.items():
            if number in agreed and agreement.transcript != agreed[number].transcript:
                text = (
                    f"aggregator {number} opened, and aggregator {other} signed another T: aggregator {number} did not "
                    f"wait for it, or aggregator {other} signed two"
                )
                yield Finding(Level.INCONSISTENT, "step 4", text, everyone_of([number, other]))


def openings_fit(manifest: Manifest, session: SessionEvidence, known: Preimages) -> bool:
    """Whether there is one opening of every aggregator, each held against a commitment and fitting it."""
    words = session.signed.single(OpeningReceipt)
    for number, word in words.items():
        own = _own_commitments(session, known, number)
        if not own or any(_commitment_of(manifest, word, rho) != commitment for rho, commitment in own):
            return False
    return len(words) == len(manifest.aggregators)


def _own_commitments(session: SessionEvidence, known: Preimages, number: int) -> set[tuple[bytes, bytes]]:
    """(rho, com_s) under aggregator s's own signature."""
    own = {(word.rho, word.commitment) for word in session.signed.of(RosterCommitment).get(number, ())}
    for agreement in session.signed.of(Agreement).get(number, ()):
        transcript = known.transcripts.get(agreement.transcript)
        if transcript is not None and number < len(transcript.commitments):
            own.add((transcript.rho, transcript.commitments[number]))
    return own


def aborts(session: SessionEvidence) -> Iterator[Finding]:
    """An aggregator's word that it stopped. It proves nothing; what it saw may stand among the faults."""
    for number, words in session.signed.of(Abort).items():
        for word in words:
            text = f"says that it stopped the session at step {word.step}; alone this proves nothing about anyone"
            yield Finding(Level.REFUSED, f"step {word.step}", text, (aggregator_party(number),))
