"""Sealing of keys, and of a newcomer's training state, to a party's epoch key: HPKE (RFC 9180) in base mode with the
MLKEM768-X25519 hybrid.

The hybrid is the default because traffic recorded today must stay closed to tomorrow's machines: the images behind it
are biometric. Base mode authenticates nobody, so whoever seals also signs (aggregation/messages.py).
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from privateyes.crypto.statement import KEY_BYTES
from privateyes.errors import MalformedError

_AEAD_TAG_BYTES: Final = 16
_ENCAPSULATION_BYTES: Final = 1120  # ML-KEM-768 ciphertext (1088) and X25519 share (32)
SEALING_OVERHEAD_BYTES: Final = _ENCAPSULATION_BYTES + _AEAD_TAG_BYTES
SEALED_KEY_BYTES: Final = SEALING_OVERHEAD_BYTES + KEY_BYTES
_MLKEM_PUBLIC_BYTES: Final = 1184
SEALING_PUBLIC_KEY_BYTES: Final = _MLKEM_PUBLIC_BYTES + 32  # ML-KEM-768, then X25519


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class UnsealingKey:
    """The private half of a party's sealing key for one epoch, dropped as soon as the epoch's keys are unsealed."""

    __slots__ = ("_private", "public_bytes")

    def __init__(self) -> None:
        mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return "UnsealingKey(<secret>)"

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Open a sealed 32-byte key.

        Raises:
            MalformedError: not sealed to this key under this info, or altered.
        """
        key = self.unseal_text(sealed, info)
        if len(key) != KEY_BYTES:
            raise MalformedError(f"a sealed key holds {len(key)} bytes, not {KEY_BYTES}")
        return key

    def unseal_text(self, sealed: bytes, info: bytes) -> bytes:
        """Open something sealed, of any length.

        Raises:
            MalformedError: not sealed to this key under this info, or altered.
        """
        try:
            return _suite().decrypt(sealed, self._private, info=info)
        except (InvalidTag, ValueError):
            raise MalformedError("what was sealed does not open under this epoch's key") from None


def seal(text: bytes, recipient: bytes, info: bytes) -> bytes:
    """Seal a key, or a text of any length, to a recipient's public key; ``info`` binds the context.

    Raises:
        MalformedError: ``recipient`` is no public key.
    """
    try:
        public = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(recipient[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(recipient[_MLKEM_PUBLIC_BYTES:]),
        )
        return _suite().encrypt(text, public, info=info)
    except ValueError:  # from the second call for a point of small order
        raise MalformedError("a sealing key is not a valid MLKEM768-X25519 public key") from None
