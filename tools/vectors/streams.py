"""streams.json: key streams and element streams, their beginnings, across chunks, and the hash of a long run."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import derive_key
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from vectors.values import numbers, secret

LONG_BYTES = 600_000
AROUND = 1 << 19
"""Far into the run, where this implementation begins another chunk at the time of writing."""
PAIRS = (
    (Label.SHARE_STREAM, Label.SHARE_STREAM_TAIL),
    (Label.MASK, Label.MASK_TAIL),
    (Label.CHALLENGE_A, Label.CHALLENGE_A_TAIL),
    (Label.CHALLENGE_B, Label.CHALLENGE_B_TAIL),
    (Label.PAD, Label.PAD_TAIL),
)


def _key_streams(key: bytes, context: bytes) -> list[dict[str, Any]]:
    out = []
    for label in (*(label for pair in PAIRS for label in pair), Label.ROUNDING):
        material = derive_key(key, 44, label, Role.ALL, context, 5)
        data = bytearray(LONG_BYTES)
        KeyStream(key, label, Role.ALL, context, 5).fill(memoryview(data))
        out.append(
            {
                "label": label.value,
                "aes_key": material[:32],
                "nonce": material[32:],
                "first_bytes": bytes(data[:48]),
                "bytes_around": bytes(data[AROUND - 16 : AROUND + 16]),
                "sha256": hashlib.sha256(data).digest(),
            }
        )
    return out


def _element_streams(field: Field, key: bytes, context: bytes) -> dict[str, Any]:
    around = AROUND // field.element_bytes
    count = LONG_BYTES // field.element_bytes
    streams = []
    for pair in PAIRS:
        stream = ElementStream(field, key, pair, Role.ALL, context, 5, scratch=scratch_words(field))
        values = stream.read(count)
        streams.append(
            {
                "labels": [label.value for label in pair],
                "first": numbers(values[:6]),
                "around": numbers(values[around - 2 : around + 2]),
                "sha256": hashlib.sha256(values.tobytes()).digest(),
            }
        )
    stream = ElementStream(field, key, PAIRS[1], Role.ALL, context, 5, scratch=scratch_words(field))
    scaled = np.array([0, 1, field.prime - 1, 5, 0, 0], dtype=field.dtype)
    before = numbers(scaled)
    stream.subtract_from(scaled, 3)
    return {
        "field": field.name,
        "elements": count,
        "around_element": around,
        "streams": streams,
        "three_masks_subtracted": {"before": before, "after": numbers(scaled)},
    }


def make() -> dict[str, Any]:
    """One key and context, every label."""
    key, context = secret("streams/key"), secret("streams/context")
    return {
        "about": "streams, docs/protocol.md, Parameters, Streams; the statement has role all and the one part 5",
        "key": key,
        "role": Role.ALL.value,
        "context": context,
        "part": 5,
        "long_run_bytes": LONG_BYTES,
        "around_byte": AROUND,
        "key_streams": _key_streams(key, context),
        "element_streams": [_element_streams(field, key, context) for field in (COMPACT, WIDE)],
    }
