"""The hub's side of a round: collect shares, add them, relay. It is trusted with nothing but delivery.

What it adds is uniformly random to it; what it alters is found out by the tag at every client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from privateyes.aggregation.aggregator import add_openings
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
from privateyes.crypto import kernels
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import BulkDigest
from privateyes.errors import MalformedError


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
    manifest: Manifest, sid: bytes, entries: Entries, share_of: Callable[[int], Elements]
) -> tuple[HubSum, HubCommitment]:
    """C = sum of the roster's shares, and com_0.

    Args:
        share_of: gives a client's share, from memory or a spool on disk; one at a time is held.
    """
    total = manifest.field.zeros(manifest.share_elements)
    for client, _ in entries:
        kernels.add_words(manifest.field, total, share_of(client))
    return HubSum(sid, total), HubCommitment(sid, commit_to_sum(sid, total))


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
        BlamedError: an aggregator's opening does not fit its commitment.
    """
    hub, others = commitments
    ordered = sorted(others, key=lambda message: message.aggregator)
    digests = (hub.commitment, *(message.commitment for message in ordered))
    share = add_openings(manifest, ordered[0].rho, opened[1], digests, opened[0])
    signatures = tuple(message.signature for message in sorted(results, key=lambda message: message.aggregator))
    return Delivery(hub.sid, group_check, entries, digests, signatures, share)
