"""commitments.json: Merkle roots of vectors, and everything that commits to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import LEAF_BYTES, commit_to_share, commit_to_sum_root, merkle_root
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from vectors.values import secret

SIZES = (0, 4, 65_532, LEAF_BYTES, LEAF_BYTES + 4, 2 * LEAF_BYTES, 3 * LEAF_BYTES, 3 * LEAF_BYTES + 8,
         5 * LEAF_BYTES - 4, 6 * LEAF_BYTES, 7 * LEAF_BYTES + 12, 8 * LEAF_BYTES, 9 * LEAF_BYTES + 400)  # fmt: skip


def repeated(pattern: bytes, length: int) -> bytes:
    """A pattern again and again, cut to a length."""
    return (pattern * (length // len(pattern) + 1))[:length]


def make() -> dict[str, Any]:
    """Trees of up to ten leaves; commitments to short vectors."""
    pattern = secret("commitments/pattern", 100)
    roots = [
        {"length_bytes": size, "root": merkle_root(np.frombuffer(repeated(pattern, size), dtype="<u4"))}
        for size in SIZES
    ]
    sid, rho, salt, root, kc = (secret(f"commitments/{name}") for name in ("sid", "rho", "salt", "root", "kc"))
    entries = [(client, secret(f"commitments/header {client}")) for client in (1, 2, 7, 4_000_000_000)]
    commitments = [secret(f"commitments/commitment {s}") for s in range(4)]
    share = secret("commitments/share", 48)
    return {
        "about": "Merkle roots and commitments, docs/protocol.md, Encoding of statements and steps 2 to 4",
        "leaf_bytes": LEAF_BYTES,
        "pattern": pattern,
        "merkle_roots": roots,
        "sid": sid,
        "share_hash": {"client": 3, "share": share,
                       "hash": digest(Label.SHARE_HASH, Role.CLIENT, sid, 3, share)},
        "roster": {"group_check": kc, "entries": [list(entry) for entry in entries],
                   "rho": roster_digest(sid, kc, tuple(entries))},
        "commitment": {"rho": rho, "aggregator": 2, "salt": salt, "length_bytes": 48, "root": root,
                       "commitment": commit_to_share(sid, rho, 2, salt, 48, root)},
        "hub_commitment": {"length_bytes": 48, "root": root, "commitment": commit_to_sum_root(sid, 48, root)},
        "transcript": {"rho": rho, "commitments": commitments, "transcript": transcript_digest(sid, rho, commitments)},
        "result": {"transcript": rho, "root": root, "roster_size": 4, "result": result_digest(sid, rho, root, 4)},
    }  # fmt: skip
