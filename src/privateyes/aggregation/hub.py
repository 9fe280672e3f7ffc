"""The hub's side of a round: collect shares, add them, relay. It is trusted with nothing but delivery.

What it adds is uniformly random to it; what it alters is found out by the tag at every client. So that no honest party
is kept waiting, it forms rosters of headers that fit together, never gives a session up whose agreements it has passed
on, and can add up the shares of a session again when it has lost its sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    Agreement,
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
from privateyes.aggregation.roster import Entries, intersect, require_size, transcript_digest
from privateyes.aggregation.session_rules import require_committed
from privateyes.aggregation.summation import add_vectors
from privateyes.crypto.commitment import commit_to_sum_root, merkle_root, share_hash
from privateyes.crypto.field import Elements
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.errors import AbortError, BlamedError, MalformedError

_TOGETHER = 8  # shares that are added in one pass over the sum


def require_intact(manifest: Manifest, submission: Submission, lanes: Lanes = ONE_LANE) -> Header:
    """Refuse a submission that every aggregator would refuse, so that it does not spoil the round for the others.

    Raises:
        MalformedError: the header is not signed by the client that it names, or the share does not fit it.
    """
    header, share = submission.header, submission.share
    if not 1 <= header.client <= len(manifest.clients):
        raise MalformedError(f"a header names client {header.client}, which the task does not have", "send it again")
    header.require_signature_of(manifest.clients[header.client - 1].public_key, header.sid)
    root = merkle_root(share, manifest.bulk_hash, lanes)
    if share_hash(header.sid, header.client, share.nbytes, root) != header.share_hash:
        raise MalformedError(f"the share of client {header.client} does not fit its header", "send it again")
    return header


def one_kind(headers: Iterable[Header]) -> list[Header]:
    """The headers to pass on: the largest group that a roster could hold together.

    Clients with another group key, a made-up hash of K_sid or another origin would make every aggregator refuse the
    whole roster. Of groups of one size the one with the smaller client numbers is taken.
    """
    groups: dict[tuple[bytes, bytes, bytes], list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.group_check, header.session_key_hash, header.origin].append(header)
    if not groups:
        return []
    return min(groups.values(), key=lambda group: (-len(group), sorted(header.client for header in group)))


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
    shares: list[Elements] = []
    for client, _ in entries:
        if len(shares) == _TOGETHER:
            add_vectors(manifest.field, total, shares)
            shares.clear()
        shares.append(share_of(client))

    def add_the_last(stretch: slice) -> None:
        add_vectors(manifest.field, total[stretch], [share[stretch] for share in shares])

    root = merkle_root(total, manifest.bulk_hash, lanes, add_the_last)
    return HubSum(sid, total), HubCommitment(sid, commit_to_sum_root(sid, total.nbytes, root))


def agreed_transcript(manifest: Manifest, agreements: Sequence[Agreement]) -> bytes | None:
    """T, if every aggregator signed the same: then the session can be opened, and must not be given up."""
    signers: dict[bytes, set[int]] = defaultdict(set)
    for message in agreements:
        if message.aggregator in manifest.aggregator_numbers:
            message.require_signature_of(manifest.aggregators[message.aggregator - 1].public_key, message.sid)
            signers[message.transcript].add(message.aggregator)
    everyone = set(manifest.aggregator_numbers)
    return next((transcript for transcript, who in signers.items() if who == everyone), None)


def require_agreed_sum(
    total: HubCommitment, rho: bytes, commitments: Sequence[RosterCommitment], transcript: bytes
) -> None:
    """Whether a sum that was added up again is the one that T holds.

    Raises:
        AbortError: it is not; a share that a client sent again differs, or a commitment.
    """
    ordered = sorted(commitments, key=lambda message: message.aggregator)
    digests = [total.commitment, *(message.commitment for message in ordered)]
    if transcript_digest(total.sid, rho, digests) != transcript:
        raise AbortError(
            "the sum of the shares that were sent again is not the one that all aggregators agreed on",
            "ask the clients for the bytes that they sent first",
        )


def _require_committed(
    manifest: Manifest, opening: Opening, commitment: RosterCommitment, digests: Sequence[bytes]
) -> None:
    receipt = opening.receipt(manifest.bulk_hash)
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
        AbortError: not one commitment, opening and result of every aggregator, or they signed different results.
        BlamedError: an aggregator's signed opening does not fit its signed commitment.
        MalformedError: they do not fit, and one of them is not signed by the aggregator that it names; or a result is
            not.
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
    for result in results:
        result.require_signature_of(manifest.aggregators[result.aggregator - 1].public_key, hub.sid)
    if len({result.result for result in results}) > 1:
        raise AbortError("the aggregators signed different results", "show all of them the same sum and openings")
    share = np.array(total.share)
    add_vectors(manifest.field, share, [opening.share for opening in openings])
    signatures = tuple(message.signature for message in sorted(results, key=lambda message: message.aggregator))
    return Delivery(hub.sid, group_check, entries, digests, signatures, share)
