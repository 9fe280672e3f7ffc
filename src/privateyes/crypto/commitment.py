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
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.statement import digest

LEAF_BYTES: Final = 1 << 16
SALT_BYTES: Final = 32


class MerkleTree:
    """The tree of a vector that arrives in pieces; a piece that is not the last has a multiple of 64 KiB bytes."""

    __slots__ = ("_leaves",)

    def __init__(self) -> None:
        self._leaves: list[bytes] = []

    def update(self, piece: Elements, lanes: Lanes = ONE_LANE) -> None:
        """Add the next elements."""
        view = piece.data.cast("B")
        starts = range(0, view.nbytes, LEAF_BYTES)
        self._leaves += lanes.run(lambda start: _leaf(view[start : start + LEAF_BYTES]), starts)

    def root(self) -> bytes:
        """The 32-byte root of everything so far."""
        return _root(self._leaves) if self._leaves else hashlib.sha256(b"").digest()


def merkle_root(vector: Elements, lanes: Lanes = ONE_LANE) -> bytes:
    """The 32-byte root over a vector's bytes, in leaves of 64 KiB."""
    tree = MerkleTree()
    tree.update(vector, lanes)
    return tree.root()


def _leaf(piece: memoryview) -> bytes:
    hashing = hashlib.sha256(b"\x00")
    hashing.update(piece)
    return hashing.digest()


def _root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()


def commit_to_share(sid: bytes, rho: bytes, aggregator: int, salt: bytes, length_bytes: int, root: bytes) -> bytes:
    """com_s = H(sid, rho, s, salt, length, Merkle(Z_s)) (protocol, step 3).

    Args:
        sid: the session id.
        rho: the roster's digest.
        aggregator: s, from 1.
        salt: 32 fresh secret bytes.
        length_bytes: of Z_s.
        root: ``merkle_root`` of Z_s.
    """
    return digest(Label.COMMITMENT, Role.AGGREGATOR, sid, rho, aggregator, salt, length_bytes, root)


def commit_to_vector(sid: bytes, rho: bytes, aggregator: int, salt: bytes, vector: Elements) -> bytes:
    """``commit_to_share`` of a vector at hand."""
    return commit_to_share(sid, rho, aggregator, salt, vector.nbytes, merkle_root(vector))


def commit_to_sum_root(sid: bytes, length_bytes: int, root: bytes) -> bytes:
    """com_0 = H(length, Merkle(C)): the hub's commitment to the sum of the uploads, which is no secret: no salt."""
    return digest(Label.HUB_COMMITMENT, Role.HUB, sid, length_bytes, root)


def commit_to_sum(sid: bytes, total: Elements) -> bytes:
    """``commit_to_sum_root`` of a vector at hand."""
    return commit_to_sum_root(sid, total.nbytes, merkle_root(total))
