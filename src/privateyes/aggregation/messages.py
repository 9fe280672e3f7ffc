"""Every message of the protocol, on one page; docs/protocol.md numbers the steps.

    step        message           from -> to             signed  says
    set-up      AggregatorKey     aggregator -> all      yes     its fresh sealing key, the epoch and the leader
                ClientKey         client -> leader       yes     its sealing key for this set-up
                SealedStreamKey   client -> aggregator   yes     K[i,s], sealed
                SealedGroupKey    leader -> client       yes     K, sealed
                SealedState       client -> newcomer     yes     the training state, sealed
                Voucher           client -> newcomer     yes     the id of the state that it holds
    0 ANNOUNCE  HubRequest        hub -> aggregators     yes     what it asks for: announce, closing, give up, bind
                Announcement      aggregator -> clients  yes     the round and the state's id
                Closing           aggregator -> clients  yes     how an earlier session ended there: opened or void
    1 SUBMIT    Submission        client -> hub          header  header and masked share c_i; the header goes on alone
                Origin            hub -> all             no      kc and roster of a session that is sent again
    2 ROSTER    Vote              aggregator -> others   yes     which headers it holds valid
    3 COMMIT    RosterCommitment  aggregator -> others   yes     rho and com_s
                HubCommitment     hub -> aggregators     no      com_0
                Agreement         aggregator -> others   yes     T
    4 OPEN      Opening           aggregator -> others   yes     salt and Z_s
                HubSum            hub -> aggregators     no      C
                ResultSignature   aggregator -> clients  yes     H(T, H(Z), |R|)
    5 DELIVER   Delivery          hub -> clients         inside  roster, commitments, result signatures, Z
                Complaint         client -> all          yes     which session it refused, and at which check
                Disclosure        client -> all          yes     K_sid of a finished session; public mode only
    2 to 4      Abort             aggregator -> all      yes     which session it gave up, and at which step
    record      OpeningReceipt, HubSumReceipt, DeliveryReceipt   the same with a Merkle root in the vector's place

Everything an aggregator or client says is signed and names its session or set-up, so the untrusted hub relays it all.
A receipt stands for its message in a session's record: what was signed can be checked without the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, ClassVar, Self, TypeAlias, get_args, get_type_hints

from privateyes.aggregation.codec import Codec, Fixed, Listed, Reader, RosterEntries, ShareVector, Text, Unsigned
from privateyes.aggregation.manifest import Manifest
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import SALT_BYTES, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_OVERHEAD_BYTES, SEALING_PUBLIC_KEY_BYTES
from privateyes.crypto.signature import SIGNATURE_BYTES, SigningKey, require_signature
from privateyes.crypto.statement import HASH_BYTES, digest, statement
from privateyes.errors import MalformedError

U8: TypeAlias = Annotated[int, Unsigned(1)]
U16: TypeAlias = Annotated[int, Unsigned(2)]
U32: TypeAlias = Annotated[int, Unsigned(4)]
U64: TypeAlias = Annotated[int, Unsigned(8)]
Digest: TypeAlias = Annotated[bytes, Fixed(HASH_BYTES)]
Salt: TypeAlias = Annotated[bytes, Fixed(SALT_BYTES)]
Signature: TypeAlias = Annotated[bytes, Fixed(SIGNATURE_BYTES)]
SealedKey: TypeAlias = Annotated[bytes, Fixed(SEALED_KEY_BYTES)]
SealedText: TypeAlias = Annotated[bytes, Text(SEALING_OVERHEAD_BYTES)]
SealingKey: TypeAlias = Annotated[bytes, Fixed(SEALING_PUBLIC_KEY_BYTES)]
Digests: TypeAlias = Annotated[tuple[bytes, ...], Listed(Fixed(HASH_BYTES))]
Signatures: TypeAlias = Annotated[tuple[bytes, ...], Listed(Fixed(SIGNATURE_BYTES))]
Roster: TypeAlias = Annotated[tuple[tuple[int, bytes], ...], RosterEntries()]
Share: TypeAlias = Annotated[Elements, ShareVector()]

NO_SESSION = bytes(HASH_BYTES)
VOID, OPENED = 0, 1
ANNOUNCE, CLOSING, GIVE_UP, BIND = 1, 2, 3, 4
UNSIGNED = bytes(SIGNATURE_BYTES)

_KINDS_OF_VERSION_1 = range(1, 25)


class Message:
    """Bytes and back. Subclasses are frozen dataclasses whose annotations are the layout."""

    __slots__ = ()
    kind: ClassVar[int]

    def pieces(self) -> list[bytes | memoryview]:
        """One kind byte, then the fields in order; a vector is not copied."""
        return [bytes((self.kind,)), *(codec.write(getattr(self, name)) for name, codec in _layout(type(self)))]

    def to_bytes(self) -> bytes:
        """``pieces`` in one."""
        return b"".join(self.pieces())

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, manifest: Manifest) -> Self:
        """Parse exactly one message of this class.

        Raises:
            MalformedError: another kind, a wrong length, trailing bytes or a non-canonical value.
        """
        reader = Reader(data, manifest, cls.__name__)
        cls.require_kind(reader.take(1)[0])
        values = {name: codec.read(reader) for name, codec in _layout(cls)}
        reader.finish()
        return cls(**values)

    @classmethod
    def require_kind(cls, kind: int) -> None:
        """Refuse the first byte of another message.

        Raises:
            MalformedError: another kind, or a message of protocol version 1.
        """
        if kind in _KINDS_OF_VERSION_1:
            raise MalformedError(
                f"a message of protocol version 1 where {cls.__name__} of version 2 was expected",
                "update the privateyes of whoever sent it",
            )
        if kind != cls.kind:
            raise MalformedError(f"a message of kind {kind} where {cls.__name__} ({cls.kind}) was expected")


def _layout(message: type[Message]) -> tuple[tuple[str, Codec], ...]:
    return _cached_layout(message)  # type: ignore[arg-type]  # classes hash by identity, whatever their instances do


@cache
def _cached_layout(message: type[Message]) -> tuple[tuple[str, Codec], ...]:
    hints = get_type_hints(message, include_extras=True)
    return tuple((part.name, get_args(hints[part.name])[1]) for part in fields(message))  # type: ignore[arg-type]


class Signed(Message):
    """A message with a signature over all its other fields."""

    __slots__ = ()
    label: ClassVar[Label]
    role: ClassVar[Role]
    signer_field: ClassVar[str] = ""  # where it is not called as the role
    signature: bytes

    @property
    def signer(self) -> int:
        """The number, in its role, of the party that this message says it is from."""
        number: int = getattr(self, self.signer_field or self.role)
        return number

    def signed_statement(self, context: bytes) -> bytes:
        """What the signature covers. ``context`` is the set-up id or the session id that the message belongs to."""
        fields = [codec.write(getattr(self, name)) for name, codec in _layout(type(self)) if name != "signature"]
        return statement(self.label, self.role, context, b"".join(fields))

    def signed_by(self, key: SigningKey, context: bytes) -> Self:
        """This message with its signature filled in."""
        values = {name: getattr(self, name) for name, _ in _layout(type(self))}
        return type(self)(**{**values, "signature": key.sign(self.signed_statement(context))})

    def require_signature_of(self, public_key: bytes, context: bytes) -> None:
        """Check the signature.

        Raises:
            MalformedError: it does not verify.
        """
        require_signature(
            public_key,
            self.signature,
            self.signed_statement(context),
            f"a message of type {type(self).__name__.removesuffix('Receipt')}",
        )


@dataclass(frozen=True, slots=True)
class AggregatorKey(Signed):
    """An aggregator's fresh sealing key, signed with its pinned key; the context is H(manifest)."""

    kind, label, role = 65, Label.AGGREGATOR_KEY, Role.AGGREGATOR
    epoch: U64
    leader: U32
    aggregator: U16
    public_key: SealingKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class ClientKey(Signed):
    """A client's sealing key for one set-up, to which the leader seals the group key."""

    kind, label, role = 66, Label.CLIENT_KEY, Role.CLIENT
    setup: Digest
    client: U32
    public_key: SealingKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class SealedStreamKey(Signed):
    """K[i,s]: 32 random bytes of client i, sealed to aggregator s."""

    kind, label, role = 67, Label.STREAM_KEY, Role.CLIENT
    setup: Digest
    client: U32
    aggregator: U16
    sealed: SealedKey
    signature: Signature = UNSIGNED

    def sealed_hash(self, context: bytes) -> bytes:
        """What a header names, so that both ends know which key its share was made with."""
        return digest(Label.SEALED_KEY_HASH, self.role, context, self.client, self.aggregator, self.sealed)


@dataclass(frozen=True, slots=True)
class SealedGroupKey(Signed):
    """K: the leader's 32 random bytes, sealed to one client and signed, else the hub could seal a key of its own."""

    kind, label, role = 68, Label.GROUP_KEY, Role.CLIENT
    signer_field = "leader"
    setup: Digest
    leader: U32
    recipient: U32
    sealed: SealedKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class SealedState(Signed):
    """The training state for a client that joins: sealed to its key of this set-up, and signed by who gives it."""

    kind, label, role = 87, Label.SEALED_STATE, Role.CLIENT
    signer_field = "sender"
    setup: Digest
    sender: U32
    recipient: U32
    sealed: SealedText
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Voucher(Signed):
    """A client's word that it reached the training state with this id by passing all checks."""

    kind, label, role = 88, Label.VOUCHER, Role.CLIENT
    setup: Digest
    client: U32
    state_id: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class HubRequest(Signed):
    """What the hub asks aggregators for. Nothing about safety rests on it: it keeps strangers from stopping a task.

    A request to bind names the set-up alone: round 0 and 32 zero bytes.
    """

    kind, label, role = 89, Label.HUB_REQUEST, Role.HUB
    action: U8
    setup: Digest
    round: U64
    state_id: Digest
    signature: Signature = UNSIGNED

    @property
    def signer(self) -> int:
        """There is one hub."""
        return 0


@dataclass(frozen=True, slots=True)
class Announcement(Signed):
    """One aggregator's permission for one round. Signing it, the aggregator has closed every earlier session."""

    kind, label, role = 69, Label.ANNOUNCEMENT, Role.AGGREGATOR
    setup: Digest
    aggregator: U16
    round: U64
    state_id: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Closing(Signed):
    """How one earlier session ended at one aggregator, for good: it opened its share, or it never will (VOID)."""

    kind, label, role = 81, Label.CLOSING, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    outcome: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Header(Signed):
    """What a client says about its share: the session, the keys it used, the share's hash, and the session whose update
    it sends again, if it does.
    """

    kind, label, role = 70, Label.HEADER, Role.CLIENT
    sid: Digest
    client: U32
    nonce: Digest
    group_check: Digest
    session_key_hash: Digest
    sealed_hashes: Digests
    share_hash: Digest
    origin: Digest = NO_SESSION
    signature: Signature = UNSIGNED

    def hash(self) -> bytes:
        """H(header_i), the roster's entry."""
        return digest(Label.HEADER_HASH, self.role, self.sid, self.to_bytes())


@dataclass(frozen=True, slots=True, eq=False)
class Submission(Message):
    """A header and the share that it describes. The share is uniformly random to anyone without every stream."""

    kind = 71
    header: Header
    share: Share = field(repr=False)

    def pieces(self) -> list[bytes | memoryview]:
        """The kind byte, the header and the share."""
        return [bytes((self.kind,)), self.header.to_bytes(), self.share.data.cast("B")]

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, manifest: Manifest) -> Self:
        """Parse a submission; the share's size fixes where the header ends.

        Raises:
            MalformedError: as for every message.
        """
        view = memoryview(data).toreadonly()
        split = view.nbytes - manifest.share_bytes
        if not view.nbytes:
            raise MalformedError("a submission is empty")
        cls.require_kind(view[0])
        if split < 1:
            raise MalformedError("a submission is too short")
        header = Header.from_bytes(view[1:split], manifest)
        return cls(header, manifest.field.from_bytes(view[split:], manifest.share_elements))


@dataclass(frozen=True, slots=True)
class Origin(Message):
    """The roster of an earlier session whose clients send the same updates again. Unsigned: its rho pins it."""

    kind = 90
    sid: Digest
    group_check: Digest
    roster: Roster


@dataclass(frozen=True, slots=True)
class Vote(Signed):
    """The headers that one aggregator holds valid, each client at most once."""

    kind, label, role = 72, Label.VOTE, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    entries: Roster
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class RosterCommitment(Signed):
    """One aggregator's only roster and only commitment for a session."""

    kind, label, role = 73, Label.ROSTER_COMMITMENT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    rho: Digest
    commitment: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class HubCommitment(Message):
    """com_0, the hub's commitment to C. Unsigned: T pins it."""

    kind = 74
    sid: Digest
    commitment: Digest


@dataclass(frozen=True, slots=True)
class Agreement(Signed):
    """An aggregator's signature on T: the roster and all commitments, its own and the others'."""

    kind, label, role = 75, Label.AGREEMENT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    transcript: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class OpeningReceipt(Signed):
    """An opening with the root of Z_s in place of Z_s: what the aggregator signs."""

    kind, label, role = 83, Label.OPENING, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    salt: Salt = field(repr=False)
    share_root: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class Opening(Message):
    """Z_s and the salt of its commitment; the signature is its receipt's."""

    kind = 76
    sid: Digest
    aggregator: U16
    salt: Salt = field(repr=False)
    share: Share = field(repr=False)
    signature: Signature = UNSIGNED

    def receipt(self, bulk: BulkHash, lanes: Lanes = ONE_LANE) -> OpeningReceipt:
        """What is signed, and what the record keeps."""
        root = merkle_root(self.share, bulk, lanes)
        return OpeningReceipt(self.sid, self.aggregator, self.salt, root, self.signature)


@dataclass(frozen=True, slots=True, eq=False)
class HubSum(Message):
    """C, the sum of the roster's shares."""

    kind = 77
    sid: Digest
    share: Share = field(repr=False)

    def receipt(self, bulk: BulkHash, lanes: Lanes = ONE_LANE) -> HubSumReceipt:
        """What the record keeps."""
        return HubSumReceipt(self.sid, merkle_root(self.share, bulk, lanes))


@dataclass(frozen=True, slots=True)
class HubSumReceipt(Message):
    """The root of C."""

    kind = 84
    sid: Digest
    share_root: Digest


@dataclass(frozen=True, slots=True)
class ResultSignature(Signed):
    """An aggregator's signature on H(T, H(Z), |R|)."""

    kind, label, role = 78, Label.RESULT_SIGNATURE, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    result: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class Delivery(Message):
    """All that a client needs to check and decode a round: kc, roster, com_0..com_n, n result signatures, Z."""

    kind = 79
    sid: Digest
    group_check: Digest
    roster: Roster
    commitments: Digests
    results: Signatures
    share: Share = field(repr=False)

    def receipt(self, bulk: BulkHash, lanes: Lanes = ONE_LANE) -> DeliveryReceipt:
        """What the record keeps; the result signatures can be checked against it."""
        values = (self.group_check, self.roster, self.commitments, self.results)
        return DeliveryReceipt(self.sid, *values, merkle_root(self.share, bulk, lanes))


@dataclass(frozen=True, slots=True)
class DeliveryReceipt(Message):
    """A delivery with the root of Z in place of Z."""

    kind = 85
    sid: Digest
    group_check: Digest
    roster: Roster
    commitments: Digests
    results: Signatures
    share_root: Digest


@dataclass(frozen=True, slots=True)
class Complaint(Signed):
    """A client's refusal: the session and the check that failed, and nothing derived from its data."""

    kind, label, role = 80, Label.COMPLAINT, Role.CLIENT
    sid: Digest
    client: U32
    check: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Abort(Signed):
    """An aggregator's word that it gave a session up for good, and which step of the protocol it had reached."""

    kind, label, role = 86, Label.ABORT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    step: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Disclosure(Signed):
    """K_sid of a session that n signatures on ``result`` closed: with it anyone can check the tags (public mode)."""

    kind, label, role = 82, Label.DISCLOSURE, Role.CLIENT
    sid: Digest
    client: U32
    result: Digest
    session_key: Digest = field(repr=False)
    signature: Signature = UNSIGNED
