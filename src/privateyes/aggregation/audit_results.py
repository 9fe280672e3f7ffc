"""What a record proves about a session's sum (protocol, steps 3 to 5): by adding it up again where the vectors are at
hand, and in a public task by checking the tags as any client does.

The record that a run writes holds receipts in the vectors' place, and in a public task the delivery in full. What needs
whole Submissions, Openings or the HubSum (``recomputed_result``, ``hub_sum``) applies where the operators kept them and
add them to the record.

A header's signature pins a share, n signatures on T pin com_0 and every Z_s, so whoever holds the vectors can say what
C and the signed result had to be. The hub signs nothing: it is suspected where n aggregators signed T over a com_0 that
is not the sum of the roster's shares, which it can escape only if all n aggregators are corrupt; and then nothing is
promised anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from privateyes.aggregation import hub
from privateyes.aggregation.audit_aggregators import Preimages, Transcript
from privateyes.aggregation.evidence import SessionEvidence, delivered_result, delivered_transcript, signed_by_all
from privateyes.aggregation.findings import HUB, Finding, Level, aggregator_party, client_party, everyone_of
from privateyes.aggregation.keys import session_key_hash
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    Agreement,
    Complaint,
    DeliveryReceipt,
    Disclosure,
    Header,
    OpeningReceipt,
    ResultSignature,
)
from privateyes.aggregation.result import (
    Average,
    Check,
    require_legal_roster,
    require_result_signatures,
    verify_disclosed,
)
from privateyes.aggregation.roster import result_digest
from privateyes.aggregation.summation import chunks_of_result
from privateyes.crypto.commitment import MerkleTree, commit_to_share, commit_to_sum_root
from privateyes.crypto.field import Elements
from privateyes.errors import DeliveryError, MalformedError, RefusedError

_MEANS: Final = {
    Check.SESSION: "it follows another session",
    Check.GROUP_KEY: "another group key than its own",
    Check.ROSTER: "the roster is illegal, or lists it with a submission that it did not make",
    Check.SIGNATURES: "a result signature is missing or does not verify",
    Check.TAG: "the sum does not carry the clients' tags",
    Check.WEIGHT: "an impossible total weight",
    Check.RANGE: "a coordinate larger than clipped updates can add up to",
    Check.NORM: "a longer sum, in the L2 norm, than clipped updates can add up to",
}


def results(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """Result signatures against each other, against the signers' T and against the sum computed again.

    Alone: the signed result stands for another T than the signer's own, or is not the sum of what its T holds; both
    are pinned by its signatures. Two named: T fixes the sum, so of two that signed different results one did not add up
    what it agreed to, or signed another T.
    """
    signed = session.signed.single(ResultSignature)
    agreed = session.signed.single(Agreement)
    delivered = {delivered_result(receipt): delivered_transcript(receipt)[0] for receipt in session.deliveries}
    sums: dict[bytes, bytes | None] = {}
    for number, word in signed.items():
        agreement = agreed.get(number)
        if agreement is None:
            continue
        own = (aggregator_party(number),)
        if delivered.get(word.result, agreement.transcript) != agreement.transcript:
            yield Finding(Level.PROVEN, "step 4", "signed a result under another T than its own", own)
            continue
        transcript = agreement.transcript
        if transcript not in sums:
            sums[transcript] = recomputed_result(manifest, session, transcript, known)
        if sums[transcript] not in (None, word.result):
            text = "signed a result that is not the sum of what its T holds"
            yield Finding(Level.PROVEN, "step 4", text, own)
    for (one, word), (other, another) in combinations(signed.items(), 2):
        if word.result != another.result:
            text = "signed different results of one session"
            yield Finding(Level.INCONSISTENT, "step 4", text, everyone_of([one, other]))


def recomputed_result(
    manifest: Manifest, session: SessionEvidence, transcript: bytes, known: Preimages
) -> bytes | None:
    """H(T, H(Z), |R|) from C and every Z_s, if the record has all these vectors and each fits T."""
    found = known.transcripts.get(transcript)
    roster = None if found is None else known.rosters.get(found.rho)
    if found is None or roster is None or len(found.commitments) != len(manifest.aggregators) + 1:
        return None
    total = _hub_sum(manifest, session, found.commitments[0])
    shares = [_opened_share(manifest, session, found, number) for number in manifest.aggregator_numbers]
    if total is None or any(share is None for share in shares):
        return None
    tree = MerkleTree()
    for piece in chunks_of_result(manifest.field, total, [share for share in shares if share is not None]):
        tree.update(piece)
    return result_digest(session.sid, transcript, tree.root(), len(roster.entries))


def _hub_sum(manifest: Manifest, session: SessionEvidence, commitment: bytes) -> Elements | None:
    for root, total in session.sums.items():
        if commit_to_sum_root(session.sid, manifest.share_bytes, root) == commitment:
            return total
    return None


def _opened_share(manifest: Manifest, session: SessionEvidence, transcript: Transcript, number: int) -> Elements | None:
    for word in session.signed.of(OpeningReceipt).get(number, ()):
        values = (transcript.rho, number, word.salt, manifest.share_bytes, word.share_root)
        if commit_to_share(session.sid, *values) == transcript.commitments[number]:
            return session.opened.get(word.share_root)
    return None


def hub_sum(manifest: Manifest, session: SessionEvidence, known: Preimages) -> Iterator[Finding]:
    """com_0 under n signatures against the sum of the roster's shares.

    The hub signs nothing, so it is suspected and not proven guilty: whoever could alter its word on the way to the
    honest aggregator would look the same.
    """
    agreed = ((word.aggregator, word.transcript) for word in session.signed.all_of(Agreement))
    for transcript in sorted(signed_by_all(manifest, agreed)):
        found = known.transcripts.get(transcript)
        roster = None if found is None else known.rosters.get(found.rho)
        if found is None or roster is None or not all(value in session.shares for _, value in roster.entries):
            continue
        uploads = {client: session.shares[value].share for client, value in roster.entries}
        _, commitment = hub.add_shares(manifest, session.sid, roster.entries, uploads.__getitem__)
        if commitment.commitment != found.commitments[0]:
            text = (
                "the sum that all aggregators signed T over is not the sum of the shares whose hashes the clients "
                "signed: the hub added wrongly, or its word was altered on the way (or every aggregator is corrupt)"
            )
            yield Finding(Level.SUSPECTED, "step 3", text, (HUB,))
        else:
            yield Finding(Level.HOLDS, "step 3", "the hub's sum is the sum of the roster's shares")


def certified_deliveries(manifest: Manifest, session: SessionEvidence) -> list[DeliveryReceipt]:
    """Those whose roster is legal and that carry n signatures on their result; all others are nobody's word."""
    return [receipt for receipt in session.deliveries if _delivery_fault(manifest, receipt) is None]


def _delivery_fault(manifest: Manifest, receipt: DeliveryReceipt) -> DeliveryError | None:
    try:
        require_legal_roster(manifest, receipt.roster)
        require_result_signatures(manifest, receipt)
    except DeliveryError as error:
        return error
    return None


def uncertified_deliveries(manifest: Manifest, session: SessionEvidence) -> Iterator[Finding]:
    """Deliveries that no client accepts. Unsigned as they are, they prove nothing about the hub."""
    for receipt in session.deliveries:
        fault = _delivery_fault(manifest, receipt)
        if fault is not None:
            text = f"set aside: a delivery that every client refuses at check {fault.check} ({fault.problem})"
            yield Finding(Level.NOTED, "step 5", text)


def public_average(manifest: Manifest, session: SessionEvidence) -> tuple[Average | None, list[Finding]]:
    """Check the sum of a public task with the disclosed key (protocol, step 5, checks 5 to 8).

    Nobody is named alone: a sum without its tags was altered by the hub or an aggregator, or a client of the roster
    submitted wrong tags.
    """
    findings: list[Finding] = []
    for receipt in certified_deliveries(manifest, session):
        for disclosure, outcome in _checked_with_keys(manifest, session, receipt):
            if isinstance(outcome, Average):
                return outcome, findings
            findings += _of_refused_sum(manifest, session, receipt, disclosure, outcome)
    return None, findings


def _checked_with_keys(
    manifest: Manifest, session: SessionEvidence, receipt: DeliveryReceipt
) -> Iterator[tuple[Disclosure, Average | DeliveryError]]:
    """A public task's delivery, checked with every disclosed key; nothing if the record lacks what that takes."""
    delivery = session.full.get(receipt)
    headers = [session.headers[value] for _, value in receipt.roster if value in session.headers]
    if delivery is None or manifest.sealed or len(headers) < len(receipt.roster):
        return
    for disclosure in session.signed.all_of(Disclosure):
        try:
            yield disclosure, verify_disclosed(manifest, delivery, headers, disclosure)
        except DeliveryError as error:
            yield disclosure, error
        except (MalformedError, RefusedError):
            continue  # a header in the roster is forged: the aggregators that signed the roster are named for it


def _of_refused_sum(
    manifest: Manifest, session: SessionEvidence, receipt: DeliveryReceipt, disclosure: Disclosure, error: DeliveryError
) -> Iterator[Finding]:
    roster = [client for client, _ in receipt.roster]
    if error.check >= Check.TAG:
        everyone = everyone_of(manifest.aggregator_numbers, roster, hub=True)
        text = f"the signed sum is wrong, as anyone can check: {error.problem} (check {error.check})"
        yield Finding(Level.INCONSISTENT, "step 5", text, everyone)
    if error.check == Check.GROUP_KEY:
        # Who disclosed under this delivery's kc has the K of everyone honest in the roster, and so their K_sid.
        key_hash = session_key_hash(disclosure.sid, disclosure.session_key)
        others = [
            client
            for client, words in session.signed.of(Header).items()
            for word in words
            if (client, word.hash()) in receipt.roster
            and word.group_check == receipt.group_check
            and word.session_key_hash != key_hash
        ]
        if set(others) - {disclosure.client}:
            text = "the published session key is not the one that the roster's headers name"
            yield Finding(Level.INCONSISTENT, "step 5", text, everyone_of(clients=[disclosure.client, *others]))


def complaints(manifest: Manifest, session: SessionEvidence, average: Average | None) -> Iterator[Finding]:
    """A client's refusal, and whether the record shows why. It proves nothing: a client may complain without reason."""
    for client, words in session.signed.of(Complaint).items():
        for word in words:
            means = _MEANS[Check(word.check)] if word.check in list(Check) else "no such check"
            shown = _shown(manifest, session, client, word.check, average)
            text = f"refused the result at check {word.check}: {means}. {shown}"
            yield Finding(Level.REFUSED, f"check {word.check}", text, (client_party(client),))


def _shown(manifest: Manifest, session: SessionEvidence, client: int, check: int, average: Average | None) -> str:
    if not session.deliveries:
        return "The record has no delivery, so this cannot be compared"
    if all(_shows(manifest, session, receipt, client, check) for receipt in session.deliveries):
        return "The delivery in the record has that fault"
    if check >= Check.TAG and average is None:
        return (
            "Only clients can check this in a sealed task: the sum was altered before T was signed, by the hub, an "
            "aggregator or a client of the roster, or the client complains without reason"
            if manifest.sealed
            else "The record lacks what it takes to check this"
        )
    shown = "passes" if check >= Check.TAG else "does not show that"
    # The training state may hold smaller clips than the manifest's; no record has them.
    clips = ", or holds other clips" if check in (Check.RANGE, Check.NORM) else ""
    return f"The delivery in the record {shown}: the client was sent another one{clips}, or complains without reason"


def _shows(manifest: Manifest, session: SessionEvidence, receipt: DeliveryReceipt, client: int, check: int) -> bool:
    """Whether a delivery has the fault that a client complains of, as far as that can be seen from outside."""
    fault = _delivery_fault(manifest, receipt)
    own = session.signed.single(Header).get(client)
    if check == Check.GROUP_KEY:
        return own is not None and own.group_check != receipt.group_check
    if check == Check.ROSTER:
        listed = dict(receipt.roster).get(client)
        return (fault is not None and fault.check == check) or (
            listed is not None and own is not None and listed != own.hash()
        )
    if check == Check.SIGNATURES:
        return fault is not None and fault.check == check
    outcomes = (outcome for _, outcome in _checked_with_keys(manifest, session, receipt))
    return check >= Check.TAG and any(isinstance(found, DeliveryError) and found.check == check for found in outcomes)
