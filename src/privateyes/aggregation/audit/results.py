"""What a record proves about a session's sum (protocol, steps 3 to 5): by adding it up again where the vectors are at
hand, and in a public task by checking the tags as any client does.

The record that a run writes holds receipts in the vectors' place, and in a public task the delivery in full. What needs
whole Submissions, Openings or the HubSum (``recomputed_result``, ``hub_sum``) applies where the operators kept them and
add them to the record.

A header's signature pins a share, n signatures on T pin com_0 and every Z_s, so whoever holds the vectors can say what
C and the signed result had to be. No word of the hub about its sum is signed: it is suspected where n aggregators
signed T over a com_0 that is not the sum of the roster's shares, which it can escape only if all n aggregators are
corrupt; and then nothing is promised anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from privateyes.aggregation import hub
from privateyes.aggregation.audit.evidence import delivered_result, delivered_transcript, signed_by_all
from privateyes.aggregation.audit.findings import HUB, Finding, Level, aggregator_party, everyone_of
from privateyes.aggregation.audit.preimages import Case, Transcript, pinned
from privateyes.aggregation.keys import session_key_hash
from privateyes.aggregation.messages import (
    Agreement,
    Delivery,
    DeliveryReceipt,
    Disclosure,
    Header,
    OpeningReceipt,
    ResultSignature,
)
from privateyes.aggregation.result import Average, Check, verify_disclosed
from privateyes.aggregation.roster import result_digest
from privateyes.aggregation.summation import chunks_of_result
from privateyes.crypto.commitment import MerkleTree, commit_to_share, commit_to_sum_root
from privateyes.crypto.field import Elements
from privateyes.errors import DeliveryError, MalformedError, RefusedError

_MOST_MISMATCHES: Final = 5  # published keys that do not fit, that are told


def results(case: Case) -> Iterator[Finding]:
    """Result signatures against each other, against the signers' T and against the sum computed again.

    Alone: the signed result stands for another T than the signer's own, or is not the sum of what its T holds; both
    are pinned by its signatures. An honest aggregator signs one T and one result for a session, whatever it loses
    (aggregators.py), and the result is the sum of openings that fit its T. Two named: T fixes the sum, so of two that
    signed different results one did not add up what it agreed to, or signed another T.
    """
    signed = case.session.signed.single(ResultSignature)
    agreed = case.session.signed.single(Agreement)
    delivered = {delivered_result(receipt): delivered_transcript(receipt)[0] for receipt in case.session.deliveries}
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
            sums[transcript] = recomputed_result(case, transcript)
        if sums[transcript] not in (None, word.result):
            text = "signed a result that is not the sum of what its T holds"
            yield Finding(Level.PROVEN, "step 4", text, own)
    for (one, word), (other, another) in combinations(signed.items(), 2):
        if word.result != another.result:
            text = "signed different results of one session"
            yield Finding(Level.INCONSISTENT, "step 4", text, everyone_of([one, other]))


def recomputed_result(case: Case, transcript: bytes) -> bytes | None:
    """H(T, H(Z), |R|) from C and every Z_s, if the record has all these vectors and each fits T."""
    found, manifest = case.agreed_under(transcript), case.manifest
    if found is None:
        return None
    agreed, roster = found
    total = _hub_sum(case, agreed.commitments[0])
    shares = [_opened_share(case, agreed, number) for number in case.aggregators]
    if total is None or any(share is None for share in shares):
        return None
    tree = MerkleTree(manifest.bulk_hash)
    for piece in chunks_of_result(manifest.field, total, [share for share in shares if share is not None]):
        tree.update(piece)
    return result_digest(case.session.sid, transcript, tree.root(), len(roster.entries))


def _hub_sum(case: Case, commitment: bytes) -> Elements | None:
    for root, total in case.session.sums.items():
        if commit_to_sum_root(case.session.sid, case.manifest.share_bytes, root) == commitment:
            return total
    return None


def _opened_share(case: Case, transcript: Transcript, number: int) -> Elements | None:
    for word in case.session.signed.of(OpeningReceipt).get(number, ()):
        values = (transcript.rho, number, word.salt, case.manifest.share_bytes, word.share_root)
        if commit_to_share(case.session.sid, *values) == transcript.commitments[number]:
            return case.session.opened.get(word.share_root)
    return None


def hub_sum(case: Case) -> Iterator[Finding]:
    """com_0 under n signatures against the sum of the roster's shares.

    Nobody signs com_0, so the hub is suspected and not proven guilty: whoever could alter its word on the way to the
    honest aggregator would look the same. Where n aggregators signed two T, each of them is named for that.
    """
    session = case.session
    agreed = signed_by_all(
        case.manifest, ((word.aggregator, word.transcript) for word in session.signed.all_of(Agreement))
    )
    found = case.agreed_under(next(iter(agreed))) if len(agreed) == 1 else None
    if found is None or not all(value in session.shares for _, value in found[1].entries):
        return
    entries = found[1].entries
    uploads = {client: session.shares[value].share for client, value in entries}
    _, commitment = hub.add_shares(case.manifest, session.sid, entries, uploads.__getitem__)
    if commitment.commitment != found[0].commitments[0]:
        text = (
            "the sum that all aggregators signed T over is not the sum of the shares whose hashes the clients "
            "signed: the hub added wrongly, or its word was altered on the way (or every aggregator is corrupt)"
        )
        yield Finding(Level.SUSPECTED, "step 3", text, (HUB,))
    else:
        yield Finding(Level.HOLDS, "step 3", "the hub's sum is the sum of the roster's shares")


@dataclass(slots=True)
class PublicCheck:
    """What the certified sums of a public session say to whoever holds a disclosed key.

    Attributes:
        average: the sum, decoded, if it passes.
        failed: by delivery, the check that its sum does not pass.
        findings: whom that names.
    """

    average: Average | None = None
    failed: dict[DeliveryReceipt, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def check_public_sum(case: Case) -> PublicCheck:
    """Check a public task's certified sum with the disclosed key (protocol, step 5, checks 5 on).

    Every header of a roster names the hash of K_sid, so one key fits, whoever discloses it, and each result is checked
    once. Nobody is named alone: a sum without its tags was altered by the hub or an aggregator, or a client of the
    roster submitted wrong tags.
    """
    checked = PublicCheck()
    for result, receipt in case.deliveries.certified.items():
        headers = pinned(case.session, receipt.roster)
        delivery = case.session.full.get(receipt)
        if delivery is None or case.manifest.sealed or len(headers) < len(receipt.roster):
            continue
        disclosed = [word for word in case.session.signed.all_of(Disclosure) if word.result == result]
        fitting, mismatches = _held_against(case, receipt, headers, disclosed)
        checked.findings += mismatches
        if fitting is not None:
            _check_once(case, delivery, headers, fitting, checked)
    return checked


def _held_against(
    case: Case, receipt: DeliveryReceipt, headers: Sequence[Header], disclosed: Sequence[Disclosure]
) -> tuple[Disclosure | None, list[Finding]]:
    """A disclosure of the key that every header of the roster names, and the others.

    The result pins kc, so whoever disclosed for it has the K of everyone honest in the roster, and their K_sid: the
    one that published another key, or all whose headers name another, made it up.
    """
    by_hash: dict[bytes, set[int]] = {}
    for header in headers:
        if header.group_check == receipt.group_check and case.session.signed.has(header, header.client):
            by_hash.setdefault(header.session_key_hash, set()).add(header.client)
    everyone = set().union(*by_hash.values())
    fitting: Disclosure | None = None
    mismatches: list[Finding] = []
    for word in {word.session_key: word for word in reversed(disclosed)}.values():
        key_hash = session_key_hash(word.sid, word.session_key)
        if by_hash.keys() == {key_hash}:
            fitting = word
            continue
        others = everyone - by_hash.get(key_hash, set()) if len(mismatches) < _MOST_MISMATCHES else set()
        if others - {word.client}:
            text = "the published session key is not the one that the roster's headers name"
            mismatches.append(Finding(Level.INCONSISTENT, "step 5", text, everyone_of(clients=[word.client, *others])))
    return fitting, mismatches


def _check_once(
    case: Case, delivery: Delivery, headers: Sequence[Header], disclosure: Disclosure, checked: PublicCheck
) -> None:
    try:
        checked.average = verify_disclosed(case.manifest, delivery, headers, disclosure)
    except DeliveryError as error:
        checked.failed[delivery.receipt(case.manifest.bulk_hash)] = error.check
        if error.check >= Check.TAG:
            everyone = everyone_of(case.aggregators, [client for client, _ in delivery.roster], others=(HUB,))
            text = f"the signed sum is wrong, as anyone can check: {error.problem} (check {error.check})"
            checked.findings.append(Finding(Level.INCONSISTENT, "step 5", text, everyone))
    except (MalformedError, RefusedError):
        return  # a header in the roster is forged: the aggregators that signed the roster are named for it
