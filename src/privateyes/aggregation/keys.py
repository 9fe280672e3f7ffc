"""Identifiers, key chains and the session's shared secrets (protocol, "Setup").

set-up id  = H(H(manifest), epoch, leader, (s, public key of s) for s = 1..n)
state id   = HMAC(K, set-up id, H(state))               sealed mode: a plain hash would be an oracle for Y
           = H(set-up id, H(state))                     public mode: anyone may check it
sid        = H(set-up id, round, state id)
CK_0       = K[i,s];  CK_{r+1} = HKDF(CK_r, "chain");  RK_r = HKDF(CK_r, "round")
K_sid      = HKDF(K, sid);  M, a_l, b_l, v_l come from K_sid alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from privateyes.crypto.field import Elements, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import KEY_BYTES, Part, derive_key, digest, mac
from privateyes.crypto.streams import ElementStream
from privateyes.errors import RefusedError

MAX_JUMP: Final = 64
"""Rounds that a chain may skip at once: for a thousand clients that is well under a second of work."""

MAX_ROUND: Final = (1 << 64) - 1
MAX_EPOCH: Final = (1 << 63) - 1


def setup_id(manifest_digest: bytes, epoch: int, leader: int, public_keys: Sequence[bytes]) -> bytes:
    """The id of one set-up, and the context of everything that is said in it.

    The honest aggregator draws a fresh key for each set-up, so no two have the same id, whatever epoch a hub names: an
    aggregator that lost its store cannot be led back into a set-up that it has forgotten.

    Args:
        epoch: a label for people; no safety rests on its order.
        leader: the client that makes the group key.
        public_keys: the aggregators' sealing keys, in their order. Not their messages: with signatures, one set of keys
            could have two ids.
    """
    parts: list[Part] = [manifest_digest, epoch, leader]
    for number, public_key in enumerate(public_keys, start=1):
        parts += [number, public_key]
    return digest(Label.SETUP_ID, Role.ALL, b"", *parts)


def session_id(setup: bytes, round_number: int, state_id: bytes) -> bytes:
    """sid: one round, from one training state, in one set-up of one task."""
    return digest(Label.SESSION_ID, Role.ALL, setup, round_number, state_id)


@dataclass(frozen=True, slots=True)
class KeyChain:
    """The forward-secret chain between one client and one aggregator: earlier round keys cannot be computed from it.

    Attributes:
        next_round: the first round whose key can still be derived.
        key: CK of that round; secret.
    """

    next_round: int
    key: bytes = field(repr=False)

    def advance_to(self, round_number: int, setup: bytes) -> KeyChain:
        """The chain at a later round; everything before it is gone.

        Raises:
            RefusedError: a round that has passed, or a jump over more than 64 rounds.
        """
        if round_number < self.next_round:
            raise RefusedError(
                f"round {round_number} has passed; its keys are erased", f"announce round {self.next_round} or later"
            )
        if round_number - self.next_round > MAX_JUMP:
            raise RefusedError(
                f"round {round_number} is more than {MAX_JUMP} rounds after {self.next_round}",
                "make a new set-up with fresh keys",
            )
        key = self.key
        for _ in range(round_number - self.next_round):
            key = derive_key(key, KEY_BYTES, Label.CHAIN, Role.ALL, setup)
        return KeyChain(round_number, key)

    def round_key(self, setup: bytes) -> bytes:
        """RK of ``next_round``. Advance the chain before the key is used for anything that leaves the party."""
        return derive_key(self.key, KEY_BYTES, Label.ROUND, Role.ALL, setup)


def share_stream(
    prime_field: Field, round_key: bytes, sid: bytes, client: int, aggregator: int, nonce: bytes, scratch: Elements
) -> ElementStream:
    """stream_{i,s}: what client i subtracts and aggregator s adds back (protocol, steps 1 and 3)."""
    labels = (Label.SHARE_STREAM, Label.SHARE_STREAM_TAIL)
    return ElementStream(prime_field, round_key, labels, Role.CLIENT, sid, client, aggregator, nonce, scratch=scratch)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """K, known to the clients and to no aggregator, and what is derived from it in one set-up.

    K is not forward secret: its leak exposes past averages, never an input.

    Attributes:
        setup: the set-up's id.
        key: K; secret.
        sealed: whether the task's averages are for the clients alone; then the state's id is keyed with K.
    """

    setup: bytes
    key: bytes = field(repr=False)
    sealed: bool = True

    def check_value(self) -> bytes:
        """kc, which stands in every header: two parties with different group keys find out before anything else."""
        return mac(self.key, Label.GROUP_KEY_CHECK, Role.ALL, self.setup)

    def state_id(self, state_digest: bytes) -> bytes:
        """The training state's id; in sealed mode, whoever lacks K cannot test a guess of the state against it."""
        if not self.sealed:
            return digest(Label.PUBLIC_STATE_ID, Role.ALL, self.setup, state_digest)
        return mac(self.key, Label.STATE_ID, Role.ALL, self.setup, state_digest)

    def session_key(self, sid: bytes) -> bytes:
        """K_sid."""
        return derive_key(self.key, KEY_BYTES, Label.SESSION_KEY, Role.ALL, sid)


def session_key_hash(sid: bytes, session_key: bytes) -> bytes:
    """H("ksid", K_sid), which stands in every header."""
    return digest(Label.SESSION_KEY_HASH, Role.ALL, sid, session_key)
