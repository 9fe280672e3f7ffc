"""The hash of large vectors, chosen in the manifest: what a leaf of a Merkle tree is hashed with.

BLAKE3 takes about a third of SHA-256's time and comes from its authors' package, used with one thread. Its leaves are
hashed under a context of their own (derive-key mode) and not behind a 0x00 byte, which would shift the data off the
boundaries of BLAKE3's chunks. SHA-256 is for those who may use nothing but a standard's hash.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from blake3 import blake3

from privateyes.errors import ConfigError

LEAF_CONTEXT: Final = "privateyes-aggregation/2 leaf"


class BulkHash(StrEnum):
    """How leaves are hashed, by the name that a manifest gives it."""

    BLAKE3 = "blake3"
    SHA256 = "sha256"

    def leaf(self, piece: memoryview) -> bytes:
        """32 bytes: BLAKE3 in derive-key mode under ``LEAF_CONTEXT``, or SHA-256 of 0x00 and the piece."""
        if self is BulkHash.BLAKE3:
            return blake3(piece, derive_key_context=LEAF_CONTEXT).digest()
        hashing = hashlib.sha256(b"\x00")
        hashing.update(piece)
        return hashing.digest()


def bulk_hash_by_name(name: str) -> BulkHash:
    """The bulk hash that a manifest names.

    Raises:
        ConfigError: for any other name.
    """
    for bulk in BulkHash:
        if bulk == name:
            return bulk
    raise ConfigError(
        f"bulk_hash = {name!r} is not a bulk hash of this protocol",
        'use "blake3" (three times as fast) or "sha256" (a standard\'s hash)',
    )
