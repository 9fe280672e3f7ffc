"""Sealing keys from seeds; the implementation itself only draws fresh ones."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from privateyes.crypto.sealing import UnsealingKey
from vectors.values import secret


def seeds_of(name: str) -> tuple[bytes, bytes]:
    """64 bytes for ML-KEM-768 (d, then z) and 32 for X25519, from a name."""
    return secret(f"{name}/mlkem", 64), secret(f"{name}/x25519")


def unsealing_key(mlkem_seed: bytes, x25519_key: bytes) -> UnsealingKey:
    """A party's sealing key."""
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed), X25519PrivateKey.from_private_bytes(x25519_key)
    key = UnsealingKey.__new__(UnsealingKey)
    key._private = MLKEM768X25519PrivateKey(mlkem, x25519)
    key.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return key
