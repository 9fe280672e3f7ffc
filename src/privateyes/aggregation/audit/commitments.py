"""What a record proves about commitments, T and openings (protocol, steps 3 and 4).

Why an honest aggregator is never named alone rests on what aggregators.py says: one word of each kind, whatever it
loses, and hashes that do not collide.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from privateyes.aggregation.audit.evidence import SessionEvidence
from privateyes.aggregation.audit.findings import HUB, RECORDER, Finding, Level, aggregator_party, everyone_of
from privateyes.aggregation.audit.preimages import Case, Preimages, Transcript
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Agreement, OpeningReceipt, RosterCommitment
from privateyes.crypto.commitment import commit_to_share


def copied_commitments(case: Case) -> Iterator[Finding]:
    """Two aggregators with one commitment. Its number is hashed into a commitment, so one of the two copied.

    Alone: the one that is not it, once the other has opened that commitment; nobody can open it twice.
    """
    signers: dict[bytes, dict[int, RosterCommitment]] = {}
    for word in case.session.signed.all_of(RosterCommitment):
        signers.setdefault(word.commitment, {}).setdefault(word.aggregator, word)
    openings = case.session.signed.single(OpeningReceipt)
    for commitment, words in signers.items():
        owner = next(
            (
                number
                for number, word in words.items()
                if number in openings and _commitment_of(case.manifest, openings[number], word.rho) == commitment
            ),
            None,
        )
        for one, other in combinations(words, 2):
            if owner in (one, other):
                thief = other if owner == one else one
                text = f"signed the commitment that aggregator {owner} opened, and so none of its own"
                yield Finding(Level.PROVEN, "step 3", text, (aggregator_party(thief),))
            else:
                text = "signed the same commitment: one of the two copied the other's"
                yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of([one, other]))


def _commitment_of(manifest: Manifest, opening: OpeningReceipt, rho: bytes) -> bytes:
    length, root = manifest.share_bytes, opening.share_root
    return commit_to_share(opening.sid, rho, opening.aggregator, opening.salt, length, root)


def agreements(case: Case) -> Iterator[Finding]:
    """T against its preimage and against the signers' other words.

    Alone: T has a preimage in which the signer's own roster or commitment is not the one that it signed, or two
    commitments are equal. Two named: the signer, and one whose commitment under T is not the one in the record; the
    first took it unsigned, or the second signed two. With the hub and the recorder: different T, or a T that does not
    follow from the commitments here. com_0 carries no signature, so the hub may have told it differently to honest
    aggregators, or whoever wrote the record may have altered it; if it is the same, some aggregator signed another
    commitment than the one here, or a T that it did not compute.
    """
    commitments = case.session.signed.single(RosterCommitment)
    signed = case.session.signed.of(Agreement)
    for number, words in signed.items():
        for word in words:
            transcript = case.known.transcripts.get(word.transcript)
            if transcript is not None:
                yield from _transcript_faults(case.manifest, transcript, number, commitments)
    transcripts = {word.transcript for words in signed.values() for word in words}
    if len(transcripts) > 1:
        text = "signed different T: the hub named different sums to them, or one of them different commitments"
        yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of(case.aggregators, others=(HUB,)))
    elif transcripts - case.known.transcripts.keys() and _follows(case, commitments):
        text = (
            "the signed T does not follow from the commitments and the hub's sum in the record: one of them was "
            "altered, or an aggregator signed two commitments, or a T that it did not compute"
        )
        yield Finding(Level.INCONSISTENT, "step 3", text, everyone_of(case.aggregators, others=(HUB, RECORDER)))


def _follows(case: Case, commitments: dict[int, RosterCommitment]) -> bool:
    """Whether the record has all that T is computed from, and one of each."""
    rosters = {word.rho for word in commitments.values()}
    whole = len(commitments) == len(case.aggregators) and len(rosters) == 1
    return whole and bool(case.session.hub_commitments)


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


def openings(case: Case) -> Iterator[Finding]:
    """Openings against commitments and against the others' T.

    Alone: the opening does not fit the commitment that the same aggregator signed, by itself or in its T. Two named:
    the one that opened, and one whose only T in the record is another. An honest one opens against n signatures on its
    own T, so the second signed two, or the first did not wait for it.
    """
    session, known = case.session, case.known
    agreed = session.signed.single(Agreement)
    for number, words in session.signed.of(OpeningReceipt).items():
        own = _own_commitments(session, known, number)
        # Who opened twice and committed twice is named for either; what fits what adds nothing.
        if min(len(words), len(own)) == 1 and any(
            _commitment_of(case.manifest, word, rho) != commitment for word in words for rho, commitment in own
        ):
            text = "opened something other than it committed to"
            yield Finding(Level.PROVEN, "step 4", text, (aggregator_party(number),))
        for other, agreement in agreed.items():
            if number in agreed and agreement.transcript != agreed[number].transcript:
                text = (
                    f"aggregator {number} opened, and aggregator {other} signed another T: aggregator {number} did not "
                    f"wait for it, or aggregator {other} signed two"
                )
                yield Finding(Level.INCONSISTENT, "step 4", text, everyone_of([number, other]))


def openings_fit(case: Case) -> bool:
    """Whether there is one opening of every aggregator, each held against a commitment and fitting it."""
    words = case.session.signed.single(OpeningReceipt)
    for number, word in words.items():
        own = _own_commitments(case.session, case.known, number)
        if not own or any(_commitment_of(case.manifest, word, rho) != commitment for rho, commitment in own):
            return False
    return len(words) == len(case.aggregators)


def _own_commitments(session: SessionEvidence, known: Preimages, number: int) -> set[tuple[bytes, bytes]]:
    """(rho, com_s) under aggregator s's own signature."""
    own = {(word.rho, word.commitment) for word in session.signed.of(RosterCommitment).get(number, ())}
    for agreement in session.signed.of(Agreement).get(number, ()):
        transcript = known.transcripts.get(agreement.transcript)
        if transcript is not None and number < len(transcript.commitments):
            own.add((transcript.rho, transcript.commitments[number]))
    return own
