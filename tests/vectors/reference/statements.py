"""Statements, and what is made of them; the trees under which vectors are hashed."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import blake3

VERSION = "privateyes-aggregation/2"
LEAF_BYTES = 65_536
NO_SESSION = bytes(32)


def encode(*parts: Any) -> bytes:
    """A type byte (i, s or b), the length in eight bytes, the body; integers are eight bytes themselves."""
    out = b""
    for part in parts:
        if isinstance(part, int):
            kind, body = b"i", part.to_bytes(8, "big")
        elif isinstance(part, str):
            kind, body = b"s", part.encode("utf-8")
        else:
            kind, body = b"b", bytes(part)
        out += kind + len(body).to_bytes(8, "big") + body
    return out


def statement(label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """Version, label, role, context, then the parts."""
    return encode(VERSION, label, role, context, *parts)


def digest(label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """SHA-256."""
    return hashlib.sha256(statement(label, role, context, *parts)).digest()


def mac(key: bytes, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, statement(label, role, context, *parts), hashlib.sha256).digest()


def derive(key: bytes, length: int, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """HKDF-SHA-256 (RFC 5869) with 32 zero bytes as salt and the statement as info."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    info, out, block = statement(label, role, context, *parts), b"", b""
    while len(out) < length:
        block = hmac.new(extracted, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:length]


def _leaf(bulk_hash: str, data: bytes) -> bytes:
    if bulk_hash == "blake3":
        return blake3.blake3(data, derive_key_context="privateyes-aggregation/2 leaf").digest()
    if bulk_hash == "sha256":
        return hashlib.sha256(b"\x00" + data).digest()
    raise ValueError(bulk_hash)


def merkle_root(data: bytes, bulk_hash: str) -> bytes:
    """RFC 6962, section 2.1, over leaves of 64 KiB; the bulk hash takes the leaves alone."""
    leaves = [_leaf(bulk_hash, data[start : start + LEAF_BYTES]) for start in range(0, len(data), LEAF_BYTES)]

    def tree(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1
        while 2 * split < len(part):
            split *= 2
        return hashlib.sha256(b"\x01" + tree(part[:split]) + tree(part[split:])).digest()

    return tree(leaves) if leaves else hashlib.sha256(b"").digest()


def share_hash(sid: bytes, client: int, data: bytes, bulk_hash: str) -> bytes:
    """H(c_i)."""
    return digest("share-hash", "client", sid, client, len(data), merkle_root(data, bulk_hash))
