"""challenges.json: the tensor challenge and tags around dimensions that are squares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, scratch_words
from vectors.values import elements, numbers, secret

COORDINATES = (2, 3, 4, 5, 15, 16, 17)


KINDS = (
    (Label.CHALLENGE_A, Label.CHALLENGE_A_TAIL),
    (Label.CHALLENGE_B, Label.CHALLENGE_B_TAIL),
    (Label.PAD, Label.PAD_TAIL),
)


def drawn(field: Field, labels: tuple[Label, Label], count: int, key: bytes, sid: bytes) -> list[list[int]]:
    """One kind of secret, ``count`` for each tag, straight from the one stream that all tags share."""
    stream = ElementStream(field, key, labels, Role.ALL, sid, scratch=scratch_words(field))
    return [[int(value) for value in stream.read(count)] for _ in range(field.tags)]


def _case(field: Field, coordinates: int) -> dict[str, Any]:
    key, sid = secret("challenges/session key"), secret("challenges/sid")
    width = math.ceil(math.sqrt(coordinates))
    height = math.ceil(coordinates / width)
    vector = elements(field.prime, f"challenges/{field.name}/{coordinates}", coordinates)
    accumulator = TensorChallenge(field, coordinates, key, sid).accumulator()
    accumulator.update(np.array(vector, dtype=field.dtype))
    a, b, v = (drawn(field, labels, count, key, sid) for labels, count in zip(KINDS, (height, width, 1), strict=True))
    for pads in (1, 3):
        written_out = [
            (sum(a[tag][t // width] * b[tag][t % width] * value for t, value in enumerate(vector)) + pads * v[tag][0])
            % field.prime
            for tag in range(field.tags)
        ]
        if written_out != accumulator.tags(pads).tolist():
            raise RuntimeError("the implementation draws its challenge in another way")
    return {
        "field": field.name,
        "coordinates": coordinates,
        "rows": height,
        "columns": width,
        "a": [numbers(row) for row in a],
        "b": [numbers(row) for row in b],
        "v": numbers(pad[0] for pad in v),
        "vector": numbers(vector),
        "tags_with_one_pad": numbers(accumulator.tags(pads=1)),
        "tags_with_three_pads": numbers(accumulator.tags(pads=3)),
    }


def make() -> dict[str, Any]:
    """d + 1 a square, one more and one less, in both fields."""
    return {
        "about": "tags, docs/protocol.md, Parameters, Challenge; coordinates is d + 1",
        "session_key": secret("challenges/session key"),
        "sid": secret("challenges/sid"),
        "cases": [_case(field, coordinates) for field in (COMPACT, WIDE) for coordinates in COORDINATES],
    }
