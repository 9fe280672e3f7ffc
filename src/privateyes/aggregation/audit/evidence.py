"""The messages of a record, sorted by what they can prove.

A record comes from anybody, so whatever is in it may be forged, left out, repeated or shuffled. What a party signed
counts; what nobody signed counts only where a signature pins it: a header by the hash in a signed roster, the hub's
sum by com_0 under T. All the rest is set aside and proves nothing about the party that it names.

A set-up is judged only if the record has the sealing keys that its id was made from: the id holds the pinned manifest.
A session is judged only if an announcement or a request of the hub shows that its id was made from such a set-up. A
party may use one key in several tasks, and what it rightly signs under another manifest could look wrong under this
one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from math import prod
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from privateyes.aggregation.audit.statements import Statements, is_signed, signer_of
from privateyes.aggregation.keys import MAX_EPOCH, session_id, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    BIND,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    DeliveryReceipt,
    Disclosure,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    HubSumReceipt,
    Message,
    Opening,
    OpeningReceipt,
    Origin,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Signed,
    Submission,
    Vote,
    Voucher,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import commit_to_sum_root, merkle_root, share_hash
from privateyes.crypto.field import Elements
from privateyes.errors import MalformedError

OfSetup: TypeAlias = ClientKey | SealedStreamKey | SealedGroupKey | SealedState | Voucher | HubRequest | Announcement
OfSession: TypeAlias = (
    Closing | Header | Vote | RosterCommitment | HubCommitment | Agreement | OpeningReceipt | HubSumReceipt
    | ResultSignature | DeliveryReceipt | Complaint | Abort | Disclosure
)  # fmt: skip

MESSAGE_TYPES: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            AggregatorKey, ClientKey, SealedStreamKey, SealedGroupKey, SealedState, Voucher, HubRequest, Announcement,
            Closing, Header, Vote, Submission, Origin, RosterCommitment, HubCommitment, Agreement, Opening,
            OpeningReceipt, HubSum, HubSumReceipt, ResultSignature, Delivery, DeliveryReceipt, Complaint, Abort,
            Disclosure,
        )
    }
)  # fmt: skip

_MOST_SETUPS: Final = 4096  # combinations of sealing keys that are tried


def read_message(kind: str, data: bytes, manifest: Manifest) -> Message:
    """One message of a record, parsed as strictly as a receiver does.

    Raises:
        MalformedError: no message of the protocol, or not one that fits the manifest.
    """
    if kind not in MESSAGE_TYPES:
        raise MalformedError(f"{kind!r} is no message of the protocol")
    return MESSAGE_TYPES[kind].from_bytes(data, manifest)


class Place(NamedTuple):
    """What a session's id is made from."""

    setup: bytes
    round: int
    state_id: bytes


@dataclass(slots=True)
class SetupEvidence:
    """What a record has of one set-up.

    Attributes:
        id: the set-up's id, the context of its messages.
        epoch: its label, and the leader, from the sealing keys that its id was made from; None if the record lacks
            them, and then nothing shows that the set-up is of the pinned manifest.
        signed: the verified statements.
        set_aside: how many messages did not verify, by class and the party named.
    """

    id: bytes
    epoch: int | None = None
    leader: int | None = None
    signed: Statements = field(default_factory=Statements)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def is_placed(self) -> bool:
        """Whether it is of the pinned manifest for certain."""
        return self.epoch is not None

    @property
    def name(self) -> str:
        """For people."""
        return f"set-up {self.id.hex()[:8]}" + (f" (epoch {self.epoch})" if self.is_placed else "")


@dataclass(slots=True)
class SessionEvidence:
    """What a record has of one session.

    Attributes:
        sid: the session.
        setup: its set-up, and round and state id, whose hash is the sid; None if nothing in the record tells.
        announced_by: the aggregators whose announcement the record has.
        signed: the verified statements.
        headers: every header by its hash, verified or not: a signed roster pins them.
        shares: uploads that fit their header, by the header's hash.
        hub_commitments: values that may be com_0, of the hub's commitments and sums; T says which one is.
        sums: C by its root. Z_s likewise in ``opened``.
        deliveries: unsigned; the result signatures inside are what counts.
        full: deliveries with their vector, by receipt.
        set_aside: how many messages did not verify, by class and the party named.
    """

    sid: bytes
    setup: SetupEvidence | None = None
    place: Place | None = None
    announced_by: set[int] = field(default_factory=set)
    signed: Statements = field(default_factory=Statements)
    headers: dict[bytes, Header] = field(default_factory=dict)
    shares: dict[bytes, Submission] = field(default_factory=dict)
    hub_commitments: set[bytes] = field(default_factory=set)
    sums: dict[bytes, Elements] = field(default_factory=dict, repr=False)
    opened: dict[bytes, Elements] = field(default_factory=dict, repr=False)
    deliveries: dict[DeliveryReceipt, None] = field(default_factory=dict)
    full: dict[DeliveryReceipt, Delivery] = field(default_factory=dict)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def is_judged(self) -> bool:
        """Whether it is of the pinned manifest for certain."""
        return self.setup is not None

    @property
    def epoch(self) -> int | None:
        """The label of its set-up."""
        return None if self.setup is None else self.setup.epoch

    @property
    def round(self) -> int | None:
        """The number that it was announced by."""
        return None if self.place is None else self.place.round

    @property
    def is_empty(self) -> bool:
        """Whether others speak of it and nobody speaks in it: no announcement, header or word of any step."""
        spoken = self.signed.kinds - {Closing, Complaint}
        return not (spoken or self.announced_by or self.headers or self.deliveries or self.hub_commitments)


@dataclass(slots=True)
class Evidence:
    """What a record has.

    Attributes:
        manifest: the pinned copy.
        offers: the aggregators' verified sealing keys, of all set-ups.
        setups: by id, of every set-up that a message names.
        sessions: by sid.
        spoken_of: the ids of sessions that a verified announcement or request names.
        origins: rosters of sessions that are sent again; unsigned.
        set_aside: how many sealing keys did not verify.
        messages: how many distinct messages were looked at.
        unsearched: whether there were more combinations of sealing keys than are tried.
    """

    manifest: Manifest
    offers: Statements = field(default_factory=Statements)
    setups: dict[bytes, SetupEvidence] = field(default_factory=dict)
    sessions: dict[bytes, SessionEvidence] = field(default_factory=dict)
    spoken_of: set[bytes] = field(default_factory=set)
    origins: list[Origin] = field(default_factory=list)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: int = 0
    unsearched: bool = False

    @property
    def placed(self) -> list[SetupEvidence]:
        """The set-ups that are of this manifest's task for certain, by label."""
        found = [setup for setup in self.setups.values() if setup.is_placed]
        return sorted(found, key=lambda setup: (setup.epoch, setup.id))

    @property
    def judged(self) -> list[SessionEvidence]:
        """The sessions that are of this manifest's task for certain."""
        return [session for session in self.sessions.values() if session.is_judged]

    @property
    def verified(self) -> int:
        """How many signed messages verify, of this manifest's set-ups and sessions."""
        parts = [self.offers, *(setup.signed for setup in self.placed), *(session.signed for session in self.judged)]
        return sum(statements.count for statements in parts)


def collect(manifest: Manifest, messages: Iterable[Message]) -> Evidence:
    """Sort a record's messages, in whatever order they come."""
    evidence = Evidence(manifest)
    known: set[bytes] = set()
    places: dict[bytes, Place] = {}
    for message in messages:
        compact = _compact(manifest, message)
        root = merkle_root(message.share, manifest.bulk_hash) if isinstance(message, Submission) else b""
        data = hashlib.sha256(bytes((message.kind,)) + compact.to_bytes() + root).digest()
        if data in known:
            continue
        known.add(data)
        evidence.messages += 1
        if isinstance(compact, AggregatorKey):
            _file(manifest, compact, manifest.digest(), evidence.offers, evidence.set_aside)
        elif isinstance(compact, OfSetup):
            _add_of_setup(evidence, compact, places)
        elif isinstance(compact, Origin):
            evidence.origins.append(compact)
        elif isinstance(compact, OfSession):
            _add_of_session(evidence, message, compact, root)
    _place_setups(evidence)
    for session in evidence.sessions.values():
        place = places.get(session.sid)
        if place is not None and evidence.setups[place.setup].is_placed:
            session.setup, session.place = evidence.setups[place.setup], place
    return evidence


def _compact(manifest: Manifest, message: Message) -> Message:
    """The message without its vector."""
    if isinstance(message, Opening | HubSum | Delivery):
        return message.receipt(manifest.bulk_hash)
    return message.header if isinstance(message, Submission) else message


def _file(
    manifest: Manifest, message: Signed, context: bytes, into: Statements, aside: Counter[tuple[str, str]]
) -> bool:
    number, name, _ = signer_of(manifest, message)
    if is_signed(manifest, message, context):
        into.add(message, number, context)
        return True
    aside[type(message).__name__.removesuffix("Receipt"), name] += 1
    return False


def _add_of_setup(evidence: Evidence, message: OfSetup, places: dict[bytes, Place]) -> None:
    setup = evidence.setups.setdefault(message.setup, SetupEvidence(message.setup))
    verified = _file(evidence.manifest, message, setup.id, setup.signed, setup.set_aside)
    if isinstance(message, Announcement | HubRequest) and getattr(message, "action", None) != BIND:
        # Signed or not: the hash alone shows where a session belongs.
        place = Place(setup.id, message.round, message.state_id)
        sid = session_id(*place)
        places[sid] = place
        if verified:
            evidence.spoken_of.add(sid)
        if verified and isinstance(message, Announcement):
            evidence.sessions.setdefault(sid, SessionEvidence(sid)).announced_by.add(message.aggregator)


def _add_of_session(evidence: Evidence, message: Message, compact: OfSession, root: bytes) -> None:
    sid, manifest = compact.sid, evidence.manifest
    session = evidence.sessions.setdefault(sid, SessionEvidence(sid))
    if isinstance(compact, Signed):
        _file(manifest, compact, sid, session.signed, session.set_aside)
    if isinstance(compact, Header):
        session.headers[compact.hash()] = compact
    if isinstance(message, Submission):
        header = message.header
        if share_hash(sid, header.client, message.share.nbytes, root) == header.share_hash:
            session.shares[header.hash()] = message
        else:
            session.set_aside["Submission", signer_of(manifest, header)[1]] += 1
    elif isinstance(message, Opening) and isinstance(compact, OpeningReceipt):
        session.opened[compact.share_root] = message.share
    elif isinstance(compact, HubCommitment):
        session.hub_commitments.add(compact.commitment)
    elif isinstance(compact, HubSumReceipt):
        session.hub_commitments.add(commit_to_sum_root(sid, manifest.share_bytes, compact.share_root))
        if isinstance(message, HubSum):
            session.sums[compact.share_root] = message.share
    elif isinstance(compact, DeliveryReceipt):
        _add_delivery(manifest, session, message, compact)


def _add_delivery(manifest: Manifest, session: SessionEvidence, message: Message, receipt: DeliveryReceipt) -> None:
    """Keep a delivery, and the result signatures that it carries as the messages that they were."""
    session.deliveries[receipt] = None
    if isinstance(message, Delivery):
        session.full[receipt] = message
    result = delivered_result(receipt)
    for number, signature in enumerate(receipt.results, start=1):
        inside = ResultSignature(receipt.sid, number, result, signature)
        if is_signed(manifest, inside, receipt.sid):
            session.signed.add(inside, number, receipt.sid)


def _place_setups(evidence: Evidence) -> None:
    """Find the sealing keys that the set-ups' ids were made from, labels with the fewest combinations first.

    An aggregator may have offered several keys under one label, which orders nothing: after a restart, for example.
    """
    manifest, digest = evidence.manifest, evidence.manifest.digest()
    by_label: dict[tuple[int, int], dict[int, list[AggregatorKey]]] = {}
    for offer in evidence.offers.all_of(AggregatorKey):
        if is_possible(manifest, offer):
            by_label.setdefault((offer.epoch, offer.leader), {}).setdefault(offer.aggregator, []).append(offer)
    whole = [
        [offers[number] for number in manifest.aggregator_numbers]
        for offers in by_label.values()
        if len(offers) == len(manifest.aggregators)
    ]
    whole.sort(key=lambda offers: prod(len(own) for own in offers))
    evidence.unsearched = sum(prod(len(own) for own in offers) for offers in whole) > _MOST_SETUPS
    for keys in islice((keys for offers in whole for keys in product(*offers)), _MOST_SETUPS):
        epoch, leader = keys[0].epoch, keys[0].leader
        setup = evidence.setups.get(setup_id(digest, epoch, leader, [key.public_key for key in keys]))
        if setup is not None:
            setup.epoch, setup.leader = epoch, leader


def is_possible(manifest: Manifest, offer: AggregatorKey) -> bool:
    """Whether an honest aggregator offers a key under such a label, for such a leader."""
    return offer.epoch <= MAX_EPOCH and offer.leader in manifest.leaders


def signed_by_all(manifest: Manifest, said: Iterable[tuple[int, bytes]]) -> set[bytes]:
    """The values that every aggregator signed, of (aggregator, value) pairs."""
    signers: dict[bytes, set[int]] = {}
    for number, value in said:
        signers.setdefault(value, set()).add(number)
    return {value for value, who in signers.items() if who >= set(manifest.aggregator_numbers)}


def delivered_result(receipt: DeliveryReceipt) -> bytes:
    """H(T, H(Z), |R|) of what a delivery holds."""
    transcript = delivered_transcript(receipt)[0]
    return result_digest(receipt.sid, transcript, receipt.share_root, len(receipt.roster))


def delivered_transcript(receipt: DeliveryReceipt) -> tuple[bytes, bytes]:
    """T and rho of what a delivery holds."""
    rho = roster_digest(receipt.sid, receipt.group_check, receipt.roster)
    return transcript_digest(receipt.sid, rho, receipt.commitments), rho
