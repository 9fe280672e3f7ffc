"""Merkle roots of vectors, and the commitments and hashes of shares that are made of them.

The tree is that of RFC 6962, section 2.1, with leaves of 64 KiB that the bulk hash takes (bulk.py): inner nodes are
SHA-256 of 0x01 and two hashes, an uneven tree splits at the largest power of two. With SHA-256 as bulk hash it is that
tree exactly. The commitment binds the vector's length beside its root. Salts are 32 fresh secret bytes: without one,
whoever guesses a vector could confirm the guess before it is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import chain
from typing import Final

from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.statement import digest

LEAF_BYTES: Final = 1 << 16
SALT_BYTES: Final = 32
_STRETCH_LEAVES: Final = 8  # half of what a core keeps in its second-level cache


class MerkleTree:
    """The tree of a vector that arrives in pieces of any size, in order; whole leaves are hashed where they lie.

    Args:
        bulk: hashes the leaves.
    """

    __slots__ = ("_bulk", "_leaves", "_rest")

    def __init__(self, bulk: BulkHash) -> None:
        self._bulk = bulk
        self._leaves: list[bytes] = []
        self._rest = bytearray()  # the beginning of a leaf that is not complete

    def update(self, piece: Elements, lanes: Lanes = ONE_LANE) -> None:
        """Add the next elements."""
        view = piece.data.cast("B")
        if self._rest:
            missing = LEAF_BYTES - len(self._rest)
            self._rest += view[:missing]
            view = view[missing:]
            if len(self._rest) < LEAF_BYTES:
                return
            self._leaves.append(self._bulk.leaf(memoryview(self._rest)))
            self._rest = bytearray()
        whole = view.nbytes - view.nbytes % LEAF_BYTES
        starts = range(0, whole, LEAF_BYTES)
        self._leaves += lanes.run(lambda start: self._bulk.leaf(view[start : start + LEAF_BYTES]), starts)
        self._rest += view[whole:]

    def root(self) -> bytes:
        """The 32-byte root of everything so far; of nothing, with either bulk hash, SHA-256 of no bytes."""
        return _root([*self._leaves, self._bulk.leaf(memoryview(self._rest))] if self._rest else self._leaves)


def merkle_root(
    vector: Elements, bulk: BulkHash, lanes: Lanes = ONE_LANE, finish: Callable[[slice], None] | None = None
) -> bytes:
    """The 32-byte root over a vector's bytes, in leaves of 64 KiB.

    Args:
        finish: brings a stretch of the vector to its final values. It is called once for each, right before the stretch
            is hashed, which then comes from the processor's cache and not from memory; lanes call it side by side.
    """
    step = _STRETCH_LEAVES * LEAF_BYTES // vector.itemsize

    def hash_stretch(start: int) -> list[bytes]:
        stretch = slice(start, start + step)
        if finish is not None:
            finish(stretch)
        view = vector[stretch].data.cast("B")
        return [bulk.leaf(view[at : at + LEAF_BYTES]) for at in range(0, view.nbytes, LEAF_BYTES)]

    return _root(list(chain.from_iterable(lanes.run(hash_stretch, range(0, vector.size, step)))))


def _root(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
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


def commit_to_vector(sid: bytes, rho: bytes, aggregator: int, salt: bytes, vector: Elements, bulk: BulkHash) -> bytes:
    """``commit_to_share`` of a vector at hand."""
    return commit_to_share(sid, rho, aggregator, salt, vector.nbytes, merkle_root(vector, bulk))


def commit_to_sum_root(sid: bytes, length_bytes: int, root: bytes) -> bytes:
    """com_0 = H(length, Merkle(C)): the hub's commitment to the sum of the uploads, which is no secret: no salt."""
    return digest(Label.HUB_COMMITMENT, Role.HUB, sid, length_bytes, root)


def commit_to_sum(sid: bytes, total: Elements, bulk: BulkHash) -> bytes:
    """``commit_to_sum_root`` of a vector at hand."""
    return commit_to_sum_root(sid, total.nbytes, merkle_root(total, bulk))


def share_hash(sid: bytes, client: int, length_bytes: int, root: bytes) -> bytes:
    """H(c_i) = H(sid, i, length, Merkle(c_i)), which a header names (protocol, step 1): a share is no secret, no salt.

    Args:
        sid: the session id.
        client: i, from 1.
        length_bytes: of c_i.
        root: ``merkle_root`` of c_i.
    """
    return digest(Label.SHARE_HASH, Role.CLIENT, sid, client, length_bytes, root)
