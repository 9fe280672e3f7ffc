"""Every message of the protocol, on one page; docs/protocol.md numbers the steps.

    step        message           from -> to             signed  says
    set-up      AggregatorKey     aggregator -> clients  yes     its sealing key for this epoch
                ClientKey         client -> leader       yes     its sealing key for this epoch
                SealedStreamKey   client -> aggregator   yes     K[i,s], sealed
                SealedGroupKey    leader -> client       yes     K, sealed
                SealedState       client -> newcomer     yes     the training state, sealed
                Voucher           client -> newcomer     yes     the id of the state that it holds
    0 ANNOUNCE  Announcement      aggregator -> clients  yes     the round and the state's id
                Closing           aggregator -> clients  yes     how an earlier session ended there: opened or void
    1 SUBMIT    Submission        client -> hub          header  header and masked share c_i; the header goes on alone
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
    2 to 4      Abort             aggregator -> all      yes     which session it stopped, and at which step
    record      OpeningReceipt, HubSumReceipt, DeliveryReceipt   the same with a Merkle root in the vector's place

Everything an aggregator or client says is signed and names its session (or epoch), so the untrusted hub relays it all.
A receipt stands for its message in a session's record: what was signed can be checked without the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, ClassVar, Self, TypeAlias, get_args, get_type_hints

from privateyes.aggregation.codec import Codec, Fixed, Listed, Reader, RosterEntries, ShareVector, Text, Unsigned
from privateyes.aggregation.manifest import Manifest
from privateyes.crypto.commitment import SALT_BYTES, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
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
UNSIGNED = bytes(SIGNATURE_BYTES)


class Message:
    """Bytes and back. Subclasses are frozen dataclasses whose annotations are the layout."""

    __slots__ = ()
    kind: ClassVar[int]

    def to_bytes(self) -> bytes:
        """One kind byte, then the fields in order."""
        pieces = [codec.write(getattr(self, name)) for name, codec in _layout(type(self))]
        return b"".join((bytes((self.kind,)), *pieces))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, manifest: Manifest) -> Self:
        """Parse exactly one message of this class.

        Raises:
            MalformedError: another kind, a wrong length, trailing bytes or a non-canonical value.
        """
        reader = Reader(data, manifest, cls.__name__)
        kind = reader.take(1)[0]
        if kind != cls.kind:
            raise MalformedError(f"a message of kind {kind} where {cls.__name__} ({cls.kind}) was expected")
        values = {name: codec.read(reader) for name, codec in _layout(cls)}
        reader.finish()
        return cls(**values)


def _layout(message: type[Message]) -> tuple[tuple[str, Codec], ...]:
    return _cached_layout(message)  # type: ignore[arg-type]  # classes hash by identity, whatever their instances do


@cache
def _cached_layout(message: type[Message]) -> tuple[tuple[str, Codec], ...]:
    hints = get_type_hints(message, include_extras=True)
    return tuple((field.name, get_args(hints[field.name])[1]) for field in fields(message))  # type: ignore[arg-type]


class Signed(Message):
    """A message with a signature over all its other fields; a vector enters the signed statement as its Merkle root."""

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
        body = b""
        for name, codec in _layout(type(self)):
            if name == "signature":
                continue
            value = getattr(self, name)
            body += merkle_root(value) if isinstance(codec, ShareVector) else bytes(codec.write(value))
        return statement(self.label, self.role, context, body)

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
    """An aggregator's sealing key for one epoch, signed with its pinned key."""

    kind, label, role = 1, Label.AGGREGATOR_KEY, Role.AGGREGATOR
    epoch: U64
    aggregator: U16
    public_key: SealingKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class ClientKey(Signed):
    """A client's sealing key for one epoch, to which the leader seals the group key."""

    kind, label, role = 2, Label.CLIENT_KEY, Role.CLIENT
    epoch: U64
    client: U32
    public_key: SealingKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class SealedStreamKey(Signed):
    """K[i,s]: 32 random bytes of client i, sealed to aggregator s."""

    kind, label, role = 3, Label.STREAM_KEY, Role.CLIENT
    epoch: U64
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

    kind, label, role = 4, Label.GROUP_KEY, Role.CLIENT
    signer_field = "leader"
    epoch: U64
    leader: U32
    recipient: U32
    sealed: SealedKey
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class SealedState(Signed):
    """The training state for a client that joins: sealed to its key of this epoch, and signed by who gives it."""

    kind, label, role = 23, Label.SEALED_STATE, Role.CLIENT
    signer_field = "sender"
    epoch: U64
    sender: U32
    recipient: U32
    sealed: SealedText
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Voucher(Signed):
    """A client's word that it holds the training state with this id, under the epoch's group key."""

    kind, label, role = 24, Label.VOUCHER, Role.CLIENT
    epoch: U64
    client: U32
    state_id: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Announcement(Signed):
    """One aggregator's permission for one round. Signing it, the aggregator has closed every earlier session."""

    kind, label, role = 5, Label.ANNOUNCEMENT, Role.AGGREGATOR
    aggregator: U16
    epoch: U64
    round: U64
    state_id: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Closing(Signed):
    """How one earlier session ended at one aggregator, for good: it opened its share, or it never will (VOID)."""

    kind, label, role = 17, Label.CLOSING, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    outcome: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Header(Signed):
    """What a client says about its share: the session, the keys it used and the share's hash."""

    kind, label, role = 6, Label.HEADER, Role.CLIENT
    sid: Digest
    client: U32
    nonce: Digest
    group_check: Digest
    session_key_hash: Digest
    sealed_hashes: Digests
    share_hash: Digest
    signature: Signature = UNSIGNED

    def hash(self) -> bytes:
        """H(header_i), the roster's entry."""
        return digest(Label.HEADER_HASH, self.role, self.sid, self.to_bytes())


@dataclass(frozen=True, slots=True, eq=False)
class Submission(Message):
    """A header and the share that it describes. The share is uniformly random to anyone without every stream."""

    kind = 7
    header: Header
    share: Share

    def to_bytes(self) -> bytes:
        """The kind byte, the header and the share."""
        return b"".join((bytes((self.kind,)), self.header.to_bytes(), self.share.data.cast("B")))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, manifest: Manifest) -> Self:
        """Parse a submission; the share's size fixes where the header ends.

        Raises:
            MalformedError: as for every message.
        """
        view = memoryview(data).toreadonly()
        split = view.nbytes - manifest.share_bytes
        if split < 1 or view[0] != cls.kind:
            raise MalformedError("a submission is too short or of another kind")
        header = Header.from_bytes(view[1:split], manifest)
        return cls(header, manifest.field.from_bytes(view[split:], manifest.share_elements))


@dataclass(frozen=True, slots=True)
class Vote(Signed):
    """The headers that one aggregator holds valid, each client at most once."""

    kind, label, role = 8, Label.VOTE, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    entries: Roster
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class RosterCommitment(Signed):
    """One aggregator's only roster and only commitment for a session."""

    kind, label, role = 9, Label.ROSTER_COMMITMENT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    rho: Digest
    commitment: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class HubCommitment(Message):
    """com_0, the hub's commitment to C. Unsigned: T pins it."""

    kind = 10
    sid: Digest
    commitment: Digest


@dataclass(frozen=True, slots=True)
class Agreement(Signed):
    """An aggregator's signature on T: the roster and all commitments, its own and the others'."""

    kind, label, role = 11, Label.AGREEMENT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    transcript: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class Opening(Signed):
    """Z_s and the salt of its commitment."""

    kind, label, role = 12, Label.OPENING, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    salt: Salt
    share: Share
    signature: Signature = UNSIGNED

    def receipt(self) -> OpeningReceipt:
        """What the record keeps; the signature holds for it too."""
        return OpeningReceipt(self.sid, self.aggregator, self.salt, merkle_root(self.share), self.signature)


@dataclass(frozen=True, slots=True)
class OpeningReceipt(Signed):
    """An opening with the root of Z_s in place of Z_s: the signed statement is the opening's own."""

    kind, label, role = 19, Label.OPENING, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    salt: Salt
    share_root: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class HubSum(Message):
    """C, the sum of the roster's shares."""

    kind = 13
    sid: Digest
    share: Share

    def receipt(self) -> HubSumReceipt:
        """What the record keeps."""
        return HubSumReceipt(self.sid, merkle_root(self.share))


@dataclass(frozen=True, slots=True)
class HubSumReceipt(Message):
    """The root of C."""

    kind = 20
    sid: Digest
    share_root: Digest


@dataclass(frozen=True, slots=True)
class ResultSignature(Signed):
    """An aggregator's signature on H(T, H(Z), |R|)."""

    kind, label, role = 14, Label.RESULT_SIGNATURE, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    result: Digest
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True, eq=False)
class Delivery(Message):
    """All that a client needs to check and decode a round: kc, roster, com_0..com_n, n result signatures, Z."""

    kind = 15
    sid: Digest
    group_check: Digest
    roster: Roster
    commitments: Digests
    results: Signatures
    share: Share

    def receipt(self) -> DeliveryReceipt:
        """What the record keeps; the result signatures can be checked against it."""
        values = (self.group_check, self.roster, self.commitments, self.results)
        return DeliveryReceipt(self.sid, *values, merkle_root(self.share))


@dataclass(frozen=True, slots=True)
class DeliveryReceipt(Message):
    """A delivery with the root of Z in place of Z."""

    kind = 21
    sid: Digest
    group_check: Digest
    roster: Roster
    commitments: Digests
    results: Signatures
    share_root: Digest


@dataclass(frozen=True, slots=True)
class Complaint(Signed):
    """A client's refusal: the session and the check that failed, and nothing derived from its data."""

    kind, label, role = 16, Label.COMPLAINT, Role.CLIENT
    sid: Digest
    client: U32
    check: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Abort(Signed):
    """An aggregator's word that it stopped a session for good, and at which step of the protocol (2, 3 or 4)."""

    kind, label, role = 22, Label.ABORT, Role.AGGREGATOR
    sid: Digest
    aggregator: U16
    step: U8
    signature: Signature = UNSIGNED


@dataclass(frozen=True, slots=True)
class Disclosure(Signed):
    """K_sid of a session that n signatures on ``result`` closed: with it anyone can check the tags (public mode)."""

    kind, label, role = 18, Label.DISCLOSURE, Role.CLIENT
    sid: Digest
    client: U32
    result: Digest
    session_key: Digest
    signature: Signature = UNSIGNED
