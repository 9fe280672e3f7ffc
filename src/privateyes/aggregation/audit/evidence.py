"""The messages of a record, sorted by what they can prove.

A record comes from anybody, so whatever is in it may be forged, left out, repeated or shuffled. What a party signed
counts; what nobody signed counts only where a signature pins it: a header by the hash in a signed roster, the hub's
sum by com_0 under T. All the rest is set aside and proves nothing about the party that it names.

A session is judged only if an announcement shows that its id was made from the pinned manifest. A party may use one key
in several tasks, and what it rightly signs under another manifest could look wrong under this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar, cast

from privateyes.aggregation import hub
from privateyes.aggregation.findings import Finding, Level, aggregator_party, client_party
from privateyes.aggregation.keys import session_id, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
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
    HubSum,
    HubSumReceipt,
    Message,
    Opening,
    OpeningReceipt,
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
from privateyes.crypto.commitment import commit_to_sum_root, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Role
from privateyes.errors import MalformedError

S = TypeVar("S", bound=Signed)
OfEpoch: TypeAlias = AggregatorKey | ClientKey | SealedStreamKey | SealedGroupKey | SealedState | Voucher | Announcement
OfSession: TypeAlias = (
    Closing | Header | Vote | RosterCommitment | HubCommitment | Agreement | OpeningReceipt | HubSumReceipt
    | ResultSignature | DeliveryReceipt | Complaint | Abort | Disclosure
)  # fmt: skip

MESSAGE_TYPES: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            AggregatorKey, ClientKey, SealedStreamKey, SealedGroupKey, SealedState, Voucher, Announcement, Closing,
            Header, Vote, Submission, RosterCommitment, HubCommitment, Agreement, Opening, OpeningReceipt, HubSum,
            HubSumReceipt, ResultSignature, Delivery, DeliveryReceipt, Complaint, Abort, Disclosure,
        )
    }
)  # fmt: skip


def read_message(kind: str, data: bytes, manifest: Manifest) -> Message:
    """One message of a record, parsed as strictly as a receiver does.

    Raises:
        MalformedError: no message of the protocol, or not one that fits the manifest.
    """
    if kind not in MESSAGE_TYPES:
        raise MalformedError(f"{kind!r} is no message of the protocol")
    return MESSAGE_TYPES[kind].from_bytes(data, manifest)


@dataclass(slots=True)
class Statements:
    """Verified statements by class and signer; equal ones once.

    Headers count as equal only with their signatures, because rosters name the hash of both.
    """

    _found: dict[type[Signed], dict[int, dict[bytes, Signed]]] = field(default_factory=dict)

    def add(self, message: Signed, signer: int, context: bytes) -> None:
        """Keep a message whose signature was checked."""
        own = self._found.setdefault(type(message), {}).setdefault(signer, {})
        own.setdefault(
            message.to_bytes() if isinstance(message, Header) else message.signed_statement(context), message
        )

    def of(self, kind: type[S]) -> dict[int, tuple[S, ...]]:
        """What each signer said in messages of one class, ascending by signer."""
        found = self._found.get(kind, {})
        return {signer: tuple(cast(S, message) for message in found[signer].values()) for signer in sorted(found)}

    def all_of(self, kind: type[S]) -> tuple[S, ...]:
        """All statements of one class."""
        return tuple(message for messages in self.of(kind).values() for message in messages)

    def single(self, kind: type[S]) -> dict[int, S]:
        """By signer, for those that made exactly one statement of that class."""
        return {signer: messages[0] for signer, messages in self.of(kind).items() if len(messages) == 1}

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(own) for by_signer in self._found.values() for own in by_signer.values())


@dataclass(slots=True)
class SessionEvidence:
    """What a record has of one session.

    Attributes:
        sid: the session.
        epoch: and round, whose hash with the manifest's is the sid; None if no announcement in the record tells.
        signed: the verified statements.
        headers: every header by its hash, verified or not: a signed roster pins them.
        shares: uploads that fit their header, by the header's hash.
        hub_commitments: values that may be com_0; T says which one is.
        sums: C by its root. Z_s likewise in ``opened``.
        deliveries: unsigned; the result signatures inside are what counts.
        full: deliveries with their vector, by receipt.
        set_aside: how many messages did not verify, by class and the party named.
    """

    sid: bytes
    epoch: int | None = None
    round: int | None = None
    signed: Statements = field(default_factory=Statements)
    headers: dict[bytes, Header] = field(default_factory=dict)
    shares: dict[bytes, Submission] = field(default_factory=dict)
    hub_commitments: set[bytes] = field(default_factory=set)
    sums: dict[bytes, Elements] = field(default_factory=dict)
    opened: dict[bytes, Elements] = field(default_factory=dict)
    deliveries: dict[DeliveryReceipt, None] = field(default_factory=dict)
    full: dict[DeliveryReceipt, Delivery] = field(default_factory=dict)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(slots=True)
class Evidence:
    """What a record has.

    Attributes:
        manifest: the pinned copy.
        sessions: by sid.
        epochs: verified statements of the set-ups and announcements, by epoch.
        set_aside: how many set-up messages and announcements did not verify.
        announced: epoch and round by sid, of every announcement, signed or not: the hash alone shows that they belong.
        messages: how many distinct messages were looked at.
    """

    manifest: Manifest
    sessions: dict[bytes, SessionEvidence] = field(default_factory=dict)
    epochs: dict[int, Statements] = field(default_factory=dict)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    announced: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    messages: int = 0

    @property
    def verified(self) -> int:
        """How many signed messages verify, of this manifest's set-ups and sessions."""
        everywhere = (*self.epochs.values(), *(session.signed for session in self.judged))
        return sum(statements.count for statements in everywhere)

    @property
    def judged(self) -> list[SessionEvidence]:
        """The sessions that are of this manifest's task for certain."""
        return [session for session in self.sessions.values() if session.epoch is not None]


def collect(manifest: Manifest, messages: Iterable[Message]) -> Evidence:
    """Sort a record's messages, in whatever order they come."""
    evidence = Evidence(manifest)
    known: set[bytes] = set()
    for message in messages:
        compact = _compact(message)
        data = bytes((message.kind,)) + compact.to_bytes()
        if isinstance(message, Submission):
            data += merkle_root(message.share)
        if data in known:
            continue
        known.add(data)
        evidence.messages += 1
        if isinstance(compact, OfEpoch):
            _add_of_epoch(evidence, compact)
        elif isinstance(compact, OfSession):
            _add_of_session(evidence, message, compact)
    for session in evidence.sessions.values():
        session.epoch, session.round = evidence.announced.get(session.sid, (None, None))
    return evidence


def _compact(message: Message) -> Message:
    """The message without its vector."""
    if isinstance(message, Opening | HubSum | Delivery):
        return message.receipt()
    return message.header if isinstance(message, Submission) else message


def signer_of(manifest: Manifest, message: Signed) -> tuple[int, str, bytes | None]:
    """Who a message says it is from: number, name, and the pinned key unless the manifest knows no such party."""
    number = message.signer
    if message.role is Role.AGGREGATOR:
        parties, name = manifest.aggregators, aggregator_party(number)
    else:
        parties, name = manifest.clients, client_party(number)
    return number, name, parties[number - 1].public_key if 1 <= number <= len(parties) else None


def is_signed(manifest: Manifest, message: Signed, context: bytes) -> bool:
    """Whether the party that a message names signed it."""
    _, _, key = signer_of(manifest, message)
    if key is None:
        return False
    try:
        message.require_signature_of(key, context)
    except MalformedError:
        return False
    return True


def _file(
    manifest: Manifest, message: Signed, context: bytes, into: Statements, aside: Counter[tuple[str, str]]
) -> bool:
    number, name, _ = signer_of(manifest, message)
    if is_signed(manifest, message, context):
        into.add(message, number, context)
        return True
    aside[type(message).__name__.removesuffix("Receipt"), name] += 1
    return False


def _add_of_epoch(evidence: Evidence, message: OfEpoch) -> None:
    context = setup_id(evidence.manifest.digest(), message.epoch)
    statements = evidence.epochs.get(message.epoch, Statements())
    verified = _file(evidence.manifest, message, context, statements, evidence.set_aside)
    if verified:
        evidence.epochs[message.epoch] = statements
    if isinstance(message, Announcement):
        sid = session_id(context, message.round, message.state_id)
        evidence.announced[sid] = (message.epoch, message.round)
        if verified:
            evidence.sessions.setdefault(sid, SessionEvidence(sid))


def _add_of_session(evidence: Evidence, message: Message, compact: OfSession) -> None:
    sid = compact.sid
    session = evidence.sessions.setdefault(sid, SessionEvidence(sid))
    if isinstance(compact, Signed):
        _file(evidence.manifest, compact, sid, session.signed, session.set_aside)
    if isinstance(compact, Header):
        session.headers[compact.hash()] = compact
    if isinstance(message, Submission):
        _add_share(session, message)
    elif isinstance(message, Opening) and isinstance(compact, OpeningReceipt):
        session.opened[compact.share_root] = message.share
    elif isinstance(compact, HubCommitment):
        session.hub_commitments.add(compact.commitment)
    elif isinstance(compact, HubSumReceipt):
        session.hub_commitments.add(commit_to_sum_root(sid, evidence.manifest.share_bytes, compact.share_root))
        if isinstance(message, HubSum):
            session.sums[compact.share_root] = message.share
    elif isinstance(compact, DeliveryReceipt):
        _add_delivery(evidence.manifest, session, message, compact)


def _add_share(session: SessionEvidence, submission: Submission) -> None:
    try:
        session.shares[hub.require_intact(submission).hash()] = submission
    except MalformedError:
        session.set_aside["Submission", client_party(submission.header.client)] += 1


def _add_delivery(manifest: Manifest, session: SessionEvidence, message: Message, receipt: DeliveryReceipt) -> None:
    """Keep a delivery, and the result signatures that it carries as the messages that they were."""
    session.deliveries[receipt] = None
    if isinstance(message, Delivery):
        session.full[receipt] = message
    result = delivered_result(receipt)
    for number, signature in enumerate(receipt.results[: len(manifest.aggregators)], start=1):
        inside = ResultSignature(receipt.sid, number, result, signature)
        if is_signed(manifest, inside, receipt.sid):
            session.signed.add(inside, number, receipt.sid)


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


def set_aside_findings(aside: Counter[tuple[str, str]], step: str) -> list[Finding]:
    """What did not verify: said once for each class and party named, and held against nobody."""
    return [
        Finding(
            Level.NOTED,
            step,
            f"set aside: {count} x {kind} in the name of {name}, whose signature or hash does not fit; this proves "
            f"nothing about {name}",
        )
        for (kind, name), count in sorted(aside.items())
    ]
