"""The checks of a delivered result, shared by the clients and by whoever audits a public task (protocol, step 5).

Whoever holds K_sid, the clients or, once it is disclosed, everyone, can check the tags and read the sum. Everything
here works chunk by chunk: beyond the delivered vector and the average, memory is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.keys import session_key_hash
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Delivery, DeliveryReceipt, Disclosure, Header, ResultSignature
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto import kernels
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import require_signature
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.crypto.streams import CHUNK_BYTES, ElementStream, scratch_words
from privateyes.encoding.clips import ClipPlan, Segment, segments, within
from privateyes.encoding.norm import NormLimit, SquaredNorm
from privateyes.errors import DeliveryError, MalformedError, RefusedError


class Check(IntEnum):
    """What a client checks in a delivery, in this order; a complaint names one of them."""

    SESSION = 1
    GROUP_KEY = 2
    ROSTER = 3
    SIGNATURES = 4
    TAG = 5
    WEIGHT = 6
    RANGE = 7
    NORM = 8


@dataclass(frozen=True, slots=True)
class Average:
    """The sum of a session, decoded.

    Attributes:
        mean: the weighted average, float64 (d,).
        total_weight: W.
    """

    mean: NDArray[np.float64] = field(repr=False)
    total_weight: int


def require_legal_roster(manifest: Manifest, roster: Sequence[tuple[int, bytes]]) -> None:
    """Check 3, as far as it does not concern one client.

    Raises:
        DeliveryError: a size outside the manifest's bounds, or a client that is not in it.
    """
    if not manifest.roster_min <= len(roster) <= manifest.roster_max:
        raise DeliveryError(Check.ROSTER, f"a roster of {len(roster)} clients is outside the manifest's bounds")
    clients = [client for client, _ in roster]
    if min(clients) < 1 or max(clients) > len(manifest.clients):
        raise DeliveryError(Check.ROSTER, "the roster names a client that is not in the manifest")


def require_result_signatures(manifest: Manifest, receipt: DeliveryReceipt) -> bytes:
    """Check 4: rho and T, recomputed, and all n aggregators' signatures on the result, whose digest is returned.

    Raises:
        DeliveryError: not n commitments and signatures, or one that does not verify.
    """
    parties = manifest.aggregators
    if len(receipt.commitments) != len(parties) + 1 or len(receipt.results) != len(parties):
        raise DeliveryError(Check.SIGNATURES, f"not {len(parties)} aggregators' commitments and signatures")
    rho = roster_digest(receipt.sid, receipt.group_check, receipt.roster)
    transcript = transcript_digest(receipt.sid, rho, receipt.commitments)
    result = result_digest(receipt.sid, transcript, receipt.share_root, len(receipt.roster))
    for number, (party, signature) in enumerate(zip(parties, receipt.results, strict=True), start=1):
        message = ResultSignature(receipt.sid, number, result, signature)
        try:
            require_signature(party.public_key, signature, message.signed_statement(receipt.sid), "the result")
        except MalformedError:
            raise DeliveryError(Check.SIGNATURES, f"aggregator {number} did not sign this result") from None
    return result


def open_result(manifest: Manifest, session_key: bytes, delivery: Delivery, clips: ClipPlan | None = None) -> Average:
    """Checks 5 to 8: the tags, the total weight, the size of every coordinate, the L2 norm; then the average.

    Args:
        session_key: K_sid.
        clips: the training state's, if it has any.

    Raises:
        DeliveryError: a check failed.
    """
    dimension, roster_size = manifest.dimension, len(delivery.roster)
    sums, tags_match = _unmask(manifest, session_key, delivery)
    if not tags_match:
        raise DeliveryError(
            Check.TAG, "the sum does not carry the clients' tags: somebody altered it", "keep the last model"
        )
    total_weight = int(sums[dimension])
    if not roster_size <= total_weight <= roster_size * manifest.encoding.weight_max:
        raise DeliveryError(Check.WEIGHT, f"a total weight of {total_weight} is impossible for {roster_size} clients")
    parts = segments(manifest.encoding, dimension, clips)
    _require_possible(parts, sums, roster_size, total_weight)
    if manifest.privacy is not None:
        _require_short(parts, manifest.privacy.limit(manifest.encoding), sums[:dimension], total_weight)
    return Average(_decode_in_place(parts, sums, total_weight), total_weight)


def _unmask(manifest: Manifest, session_key: bytes, delivery: Delivery) -> tuple[NDArray[np.int64], bool]:
    """Y and W as integers in (-p/2, p/2), (d + 1,), and whether every tag fits."""
    prime_field, coordinates, size = manifest.field, manifest.dimension + 1, len(delivery.roster)
    scratch = scratch_words(prime_field)
    mask = result_mask(manifest, session_key, delivery.sid, scratch)
    accumulator = TensorChallenge(prime_field, coordinates, session_key, delivery.sid, scratch).accumulator()
    sums = np.empty(coordinates, dtype=np.int64)
    step = CHUNK_BYTES // prime_field.element_bytes
    for start in range(0, coordinates, step):
        piece = delivery.share[start : min(start + step, coordinates)].copy()
        accumulator.update(piece)
        if mask is not None:
            mask.subtract_from(piece, size)
        kernels.lift(prime_field, piece, sums[start : start + piece.size])
    expected, received = accumulator.tags(pads=size), delivery.share[coordinates:]
    return sums, equal_in_constant_time(expected.tobytes(), received.tobytes())


def _require_possible(parts: Sequence[Segment], sums: NDArray[np.int64], roster_size: int, total_weight: int) -> None:
    for part in parts:
        bound = part.encoding.sum_bound(roster_size, total_weight)
        values = sums[part.span]
        if int(values.max()) > bound or int(values.min()) < -bound:
            raise DeliveryError(Check.RANGE, "a coordinate of the sum is larger than clipped updates can add up to")


def _require_short(parts: tuple[Segment, ...], limit: NormLimit, sums: NDArray[np.int64], total_weight: int) -> None:
    """||Y||_2 <= W c, which a sum of updates that passed the clients' own test cannot miss."""
    squared, step = SquaredNorm(parts), CHUNK_BYTES // sums.itemsize
    for start in range(0, sums.size, step):
        squared.add(start, sums[start : start + step])
    if squared.exceeds(limit, total_weight):
        raise DeliveryError(Check.NORM, "the L2 norm of the sum is larger than clipped updates can add up to")


def _decode_in_place(parts: tuple[Segment, ...], sums: NDArray[np.int64], total_weight: int) -> NDArray[np.float64]:
    """The average, written over the sums: both have eight bytes for a coordinate."""
    mean: NDArray[Any] = sums.view(np.float64)
    step = CHUNK_BYTES // sums.itemsize
    dimension = parts[-1].stop
    for start in range(0, dimension, step):
        stop = min(start + step, dimension)
        for part in within(parts, start, stop):
            span = slice(start + part.start, start + part.stop)
            mean[span] = part.encoding.decode(sums[span], total_weight)
    return mean[:dimension]


def result_mask(manifest: Manifest, session_key: bytes, sid: bytes, scratch: Elements) -> ElementStream | None:
    """M, which hides the sum from every aggregator; None in public mode, where it is zero."""
    if not manifest.sealed:
        return None
    labels = (Label.MASK, Label.MASK_TAIL)
    return ElementStream(manifest.field, session_key, labels, Role.ALL, sid, scratch=scratch)


def verify_disclosed(
    manifest: Manifest,
    delivery: Delivery,
    headers: Sequence[Header],
    disclosure: Disclosure,
) -> Average:
    """Check a public task's result with nothing but what is public.

    The disclosure names the one result that its client saw signed. Whoever knows K_sid can forge tags, and since the
    disclosure everyone does; but for another result all n aggregators would have to sign again, and a client to vouch
    for it.

    Args:
        headers: of the roster's clients.
        disclosure: K_sid and the result, published by a client after the result was signed.

    Raises:
        RefusedError: the task is sealed, or the disclosure is for another session.
        MalformedError: a signature of a header or of the disclosure does not verify.
        DeliveryError: a check of the delivery failed; the number says which.
    """
    if manifest.sealed:
        raise RefusedError("the task is sealed: only its clients can read the average", "ask a client")
    sid = delivery.sid
    if disclosure.sid != sid or not 1 <= disclosure.client <= len(manifest.clients):
        raise RefusedError("the disclosed key is for another session, or not from a client of the task")
    disclosure.require_signature_of(manifest.clients[disclosure.client - 1].public_key, sid)
    require_legal_roster(manifest, delivery.roster)
    _require_headers(manifest, delivery, headers, session_key_hash(sid, disclosure.session_key))
    if require_result_signatures(manifest, delivery.receipt(manifest.bulk_hash)) != disclosure.result:
        raise DeliveryError(Check.SIGNATURES, f"client {disclosure.client} disclosed its key for another result")
    return open_result(manifest, disclosure.session_key, delivery)


def _require_headers(manifest: Manifest, delivery: Delivery, headers: Sequence[Header], key_hash: bytes) -> None:
    """The roster's headers, each signed, under this delivery's kc and under the disclosed K_sid."""
    held = {(header.client, header.hash()): header for header in headers}
    for client, entry in delivery.roster:
        header = held.get((client, entry))
        if header is None:
            raise DeliveryError(Check.ROSTER, f"the header of client {client} is missing or not the roster's")
        header.require_signature_of(manifest.clients[client - 1].public_key, delivery.sid)
        if header.group_check != delivery.group_check:
            raise DeliveryError(Check.GROUP_KEY, f"client {client} submitted under another group key")
        if not equal_in_constant_time(header.session_key_hash, key_hash):
            raise DeliveryError(Check.GROUP_KEY, f"the disclosed key is not the one that client {client} used")
