"""The hub's side of a round: collect shares, add them, relay. It is trusted with nothing but delivery.

What it adds is uniformly random to it; what it alters is found out by the tag at every client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from privateyes.aggregation.aggregator import require_committed
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    Delivery,
    Header,
    HubCommitment,
    HubSum,
    Opening,
    ResultSignature,
    RosterCommitment,
    Submission,
    Vote,
)
from privateyes.aggregation.roster import Entries, intersect, require_size
from privateyes.aggregation.summation import add_vectors
from privateyes.crypto.commitment import commit_to_sum_root, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.statement import BulkDigest
from privateyes.errors import AbortError, BlamedError, MalformedError

_TOGETHER = 8  # shares that are added in one pass over the sum


def require_intact(submission: Submission) -> Header:
    """Refuse a share that does not fit its header, so that a damaged upload does not spoil the round.

    Raises:
        MalformedError: the hashes differ.
    """
    header = submission.header
    hashing = BulkDigest(Label.SHARE_HASH, Role.CLIENT, header.sid, header.client, length_bytes=submission.share.nbytes)
    hashing.update(submission.share.data.cast("B"))
    if hashing.finish() != header.share_hash:
        raise MalformedError(f"the share of client {header.client} does not fit its header", "send it again")
    return header


def choose_roster(manifest: Manifest, votes: Sequence[Vote]) -> Entries:
    """The roster that the aggregators will compute from their votes.

    Raises:
        AbortError: outside the manifest's bounds.
    """
    entries = intersect([vote.entries for vote in votes])
    require_size(entries, manifest)
    return entries


def add_shares(
    manifest: Manifest,
    sid: bytes,
    entries: Entries,
    share_of: Callable[[int], Elements],
    lanes: Lanes = ONE_LANE,
) -> tuple[HubSum, HubCommitment]:
    """C = sum of the roster's shares, and com_0.

    Args:
        share_of: gives a client's share, from memory or a spool on disk; a few at a time are asked for.
    """
    total = manifest.field.zeros(manifest.share_elements)
    for start in range(0, len(entries), _TOGETHER):
        shares = [share_of(client) for client, _ in entries[start : start + _TOGETHER]]
        add_vectors(manifest.field, total, shares)
    root = merkle_root(total, lanes)
    return HubSum(sid, total), HubCommitment(sid, commit_to_sum_root(sid, total.nbytes, root))


def _require_committed(
    manifest: Manifest, opening: Opening, commitment: RosterCommitment, digests: Sequence[bytes]
) -> None:
    receipt = opening.receipt()
    try:
        require_committed(receipt, commitment.rho, opening.share.nbytes, digests)
    except BlamedError:
        # Without both signatures a misfit would prove nothing about the aggregator that it names.
        for message in (commitment, receipt):
            message.require_signature_of(manifest.aggregators[opening.aggregator - 1].public_key, opening.sid)
        raise


def deliver(
    manifest: Manifest,
    group_check: bytes,
    entries: Entries,
    commitments: tuple[HubCommitment, Sequence[RosterCommitment]],
    opened: tuple[HubSum, Sequence[Opening]],
    results: Sequence[ResultSignature],
) -> Delivery:
    """Bundle what every client checks.

    Raises:
        AbortError: not one commitment, opening and result of every aggregator.
        BlamedError: an aggregator's signed opening does not fit its signed commitment.
        MalformedError: they do not fit, and one of them is not signed by the aggregator that it names.
    """
    hub, others = commitments
    ordered = sorted(others, key=lambda message: message.aggregator)
    digests = (hub.commitment, *(message.commitment for message in ordered))
    total, openings = opened
    everyone = list(range(1, len(manifest.aggregators) + 1))
    for messages in (ordered, openings, results):
        if sorted(message.aggregator for message in messages) != everyone:
            raise AbortError("not exactly one message of every aggregator", "ask the missing one again")
    for opening in openings:
        _require_committed(manifest, opening, ordered[opening.aggregator - 1], digests)
    share = np.array(total.share)
    add_vectors(manifest.field, share, [opening.share for opening in openings])
    signatures = tuple(message.signature for message in sorted(results, key=lambda message: message.aggregator))
    return Delivery(hub.sid, group_check, entries, digests, signatures, share)
