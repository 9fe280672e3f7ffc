"""statements.json: tuples, and for every label its statement, hash, MAC and derived key."""

from __future__ import annotations

from typing import Any

from privateyes.crypto.labels import PROTOCOL_VERSION, Label, Role
from privateyes.crypto.statement import derive_key, digest, encode_tuple, mac, statement
from vectors.values import refusal, require, secret

TUPLES: list[list[Any]] = [
    [], [""], [b""], [0], [1], [255], [256], [2**53], [2**64 - 1], ["1"], [b"1"], [49],
    ["", ""], [b"", b"1"], [b"1", b""],
    ["ä", "é", "眼", "\U0001f441"], ["a\x00b"], [bytes(32), "x", 7, b"\xff" * 5],
]  # fmt: skip
REFUSED = [
    (True, "TypeError"),
    (1.5, "TypeError"),
    (None, "TypeError"),
    (-1, "OverflowError"),
    (2**64, "OverflowError"),
]


def _typed(part: Any) -> dict[str, Any]:
    if isinstance(part, bytes):
        return {"bytes": part}
    return {"text": part} if isinstance(part, str) else {"integer": str(part)}


def make() -> dict[str, Any]:
    """Every label with the same key, context and parts."""
    key, context = secret("statements/key"), secret("statements/context")
    parts: list[Any] = [7, "text", b"\x00\xff"]
    labels = []
    for position, label in enumerate(Label):
        role = list(Role)[position % len(Role)]
        labels.append(
            {
                "label": label.value,
                "role": role.value,
                "statement": statement(label, role, context, *parts),
                "digest": digest(label, role, context, *parts),
                "mac": mac(key, label, role, context, *parts),
                "key_32": derive_key(key, 32, label, role, context, *parts),
                "key_48": derive_key(key, 48, label, role, context, *parts),
            }
        )
    return {
        "about": "tuples and statements, docs/protocol.md, Encoding of statements",
        "version": PROTOCOL_VERSION,
        "tuples": [{"parts": [_typed(part) for part in parts], "bytes": encode_tuple(parts)} for parts in TUPLES],
        "refused_parts": [
            {"part": part if not isinstance(part, int) or isinstance(part, bool) else {"integer": str(part)},
             **require({"error": error}, refusal(lambda part=part: encode_tuple([part])), repr(part))}
            for part, error in REFUSED
        ],
        "key": key,
        "context": context,
        "parts": [_typed(part) for part in parts],
        "labels": labels,
    }  # fmt: skip
