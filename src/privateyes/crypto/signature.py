"""Ed25519 signatures (RFC 8032) over canonical statements."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privateyes.errors import MalformedError

SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 32


class SigningKey:
    """A party's long-lived identity key. Its value appears in no repr and no log.

    Args:
        seed: 32 secret bytes, or None to draw a fresh key.
    """

    __slots__ = ("_private",)

    def __init__(self, seed: bytes | None = None) -> None:
        self._private = Ed25519PrivateKey.generate() if seed is None else Ed25519PrivateKey.from_private_bytes(seed)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public_bytes.hex()[:8]}…)"

    @property
    def public_bytes(self) -> bytes:
        """The 32-byte public key, as a manifest pins it."""
        return self._private.public_key().public_bytes_raw()

    def secret_bytes(self) -> bytes:
        """The 32-byte seed, for the party's own store and nothing else."""
        return self._private.private_bytes_raw()

    def sign(self, statement: bytes) -> bytes:
        """Sign a canonical statement: 64 bytes."""
        return self._private.sign(statement)


def require_signature(public_key: bytes, signature: bytes, statement: bytes, what: str) -> None:
    """Check one signature.

    Raises:
        MalformedError: the signature does not verify. This proves nothing about the named signer: anyone can write a
            wrong one.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        raise MalformedError(f"the signature on {what} does not verify") from None
