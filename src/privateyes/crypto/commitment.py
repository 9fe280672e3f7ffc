"""Merkle roots of vectors and salted commitments to them.

The tree is that of RFC 6962, section 2.1: leaves are hashed with a 0x00 prefix, inner nodes with 0x01, an uneven tree
splits at the largest power of two. The commitment binds the vector's length beside its root. Salts are 32 fresh secret
bytes: without one, whoever guesses a vector could confirm the guess before it is opened.
"""

from __future__ import annotations

import hashlib
from typing import Final

from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest

LEAF_BYTES: Final = 1 << 16
SALT_BYTES: Final = 32


def merkle_root(vector: Elements) -> bytes:
    """The 32-byte root over a vector's bytes, in leaves of 64 KiB."""
    view = vector.data.cast("B")
    leaves = [
        hashlib.sha256(b"\x00" + view[start : start + LEAF_BYTES]).digest()
        for start in range(0, view.nbytes, LEAF_BYTES)
    ]
    return _root(leaves) if leaves else hashlib.sha256(b"").digest()


def _root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()


def commit_to_vector(sid: bytes, rho: bytes, aggregator: int, salt: bytes, vector: Elements) -> bytes:
    """com_s = H(sid, rho, s, salt, length, Merkle(Z_s)) (protocol, step 3).

    Args:
        sid: the session id.
        rho: the roster's digest.
        aggregator: s, from 1.
        salt: 32 fresh secret bytes.
        vector: Z_s, canonical elements.
    """
    return digest(Label.COMMITMENT, Role.AGGREGATOR, sid, rho, aggregator, salt, vector.nbytes, merkle_root(vector))


def commit_to_sum(sid: bytes, total: Elements) -> bytes:
    """com_0 = H(C): the hub's commitment to the sum of the uploads, which is no secret and has no salt."""
    return digest(Label.HUB_COMMITMENT, Role.HUB, sid, total.nbytes, merkle_root(total))
