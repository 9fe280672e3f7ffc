"""commitments.json: Merkle roots of vectors, and everything that commits to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.bulk import LEAF_CONTEXT, BulkHash
from privateyes.crypto.commitment import LEAF_BYTES, commit_to_share, commit_to_sum_root, merkle_root, share_hash
from vectors.values import secret

SIZES = (0, 4, 65_532, LEAF_BYTES, LEAF_BYTES + 4, 2 * LEAF_BYTES, 3 * LEAF_BYTES, 3 * LEAF_BYTES + 8,
         5 * LEAF_BYTES - 4, 6 * LEAF_BYTES, 7 * LEAF_BYTES + 12, 8 * LEAF_BYTES, 9 * LEAF_BYTES + 400)  # fmt: skip


def repeated(pattern: bytes, length: int) -> bytes:
    """A pattern again and again, cut to a length."""
    return (pattern * (length // len(pattern) + 1))[:length]


def make() -> dict[str, Any]:
    """Trees of up to ten leaves, under both bulk hashes; commitments to a root."""
    pattern = secret("commitments/pattern", 100)
    roots = [
        {
            "length_bytes": size,
            **{bulk.value: merkle_root(np.frombuffer(repeated(pattern, size), dtype="<u4"), bulk) for bulk in BulkHash},
        }
        for size in SIZES
    ]
    sid, rho, salt, root, kc = (secret(f"commitments/{name}") for name in ("sid", "rho", "salt", "root", "kc"))
    entries = [(client, secret(f"commitments/header {client}")) for client in (1, 2, 7, 4_000_000_000)]
    commitments = [secret(f"commitments/commitment {s}") for s in range(4)]
    return {
        "about": "Merkle roots and commitments, docs/protocol.md, Encoding of statements and steps 2 to 4",
        "leaf_bytes": LEAF_BYTES,
        "blake3_leaf_context": LEAF_CONTEXT,
        "pattern": pattern,
        "merkle_roots": roots,
        "sid": sid,
        "share_hash": {"client": 3, "length_bytes": 48, "root": root, "hash": share_hash(sid, 3, 48, root)},
        "roster": {"group_check": kc, "entries": [list(entry) for entry in entries],
                   "rho": roster_digest(sid, kc, tuple(entries))},
        "commitment": {"rho": rho, "aggregator": 2, "salt": salt, "length_bytes": 48, "root": root,
                       "commitment": commit_to_share(sid, rho, 2, salt, 48, root)},
        "hub_commitment": {"length_bytes": 48, "root": root, "commitment": commit_to_sum_root(sid, 48, root)},
        "transcript": {"rho": rho, "commitments": commitments, "transcript": transcript_digest(sid, rho, commitments)},
        "result": {"transcript": rho, "root": root, "roster_size": 4, "result": result_digest(sid, rho, root, 4)},
    }  # fmt: skip
