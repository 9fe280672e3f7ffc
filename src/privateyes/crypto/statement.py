"""Canonical statements: the only inputs that are ever hashed, MACed, expanded into keys or signed.

A statement is a tuple that starts with (protocol version, label, role, context), each part written as a type byte, an
eight-byte length and its bytes. Two different tuples therefore never have the same encoding, and no statement of one
kind can be read as another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import cache
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privateyes.crypto.labels import PROTOCOL_VERSION, Label, Role

HASH_BYTES: Final = 32
KEY_BYTES: Final = 32

Part: TypeAlias = bytes | bytearray | memoryview | str | int


def encode_tuple(parts: Iterable[Part]) -> bytes:
    """Encode bytes, text and integers in [0, 2^64) so that no two different tuples collide.

    Raises:
        TypeError: for a part of another type.
        OverflowError: for an integer outside [0, 2^64).
    """
    pieces: list[bytes] = []
    for part in parts:
        # Exact types, and so no bool, which is an int to isinstance.
        if type(part) is bytes:
            tag, body = b"b", part
        elif type(part) is int:
            tag, body = b"i", part.to_bytes(8, "big")
        elif isinstance(part, str):
            tag, body = b"s", str(part).encode()
        elif isinstance(part, bytearray | memoryview):
            tag, body = b"b", bytes(part)
        else:
            raise TypeError(f"a statement holds bytes, text and integers, not {type(part).__name__}")
        pieces += (tag, len(body).to_bytes(8, "big"), body)
    return b"".join(pieces)


@cache
def _prefix(label: Label, role: Role) -> bytes:
    return encode_tuple((PROTOCOL_VERSION, label.value, role.value))


def statement(label: Label, role: Role, context: bytes, *parts: Part) -> bytes:
    """The canonical bytes of one statement.

    Args:
        label: what the statement is for.
        role: who makes it.
        context: session id or set-up id; empty for what has neither: the manifest, the set-up id, a client's rounding.
        parts: the statement's own content.
    """
    return _prefix(label, role) + encode_tuple((context, *parts))


def digest(label: Label, role: Role, context: bytes, *parts: Part) -> bytes:
    """SHA-256 of a statement: 32 bytes."""
    return hashlib.sha256(statement(label, role, context, *parts)).digest()


def mac(key: bytes, label: Label, role: Role, context: bytes, *parts: Part) -> bytes:
    """HMAC-SHA-256 of a statement: 32 bytes."""
    return hmac.digest(key, statement(label, role, context, *parts), "sha256")


def derive_key(key: bytes, length: int, label: Label, role: Role, context: bytes, *parts: Part) -> bytes:
    """HKDF-SHA-256 (RFC 5869) of ``key`` with a statement as info: ``length`` bytes."""
    return HKDF(hashes.SHA256(), length, salt=None, info=statement(label, role, context, *parts)).derive(key)


def equal_in_constant_time(left: bytes, right: bytes) -> bool:
    """Compare secrets or digests without a timing signal."""
    return hmac.compare_digest(left, right)
