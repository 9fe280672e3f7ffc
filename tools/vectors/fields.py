"""fields.json: parameters, arithmetic, reading of words, and words that must be redrawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from privateyes.crypto import streams
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream
from vectors.values import elements, numbers, refusal, require


def _arithmetic(field: Field) -> dict[str, Any]:
    p = field.prime
    left = [0, 0, 1, p - 1, p - 1, p // 2, p // 2 + 1, *elements(p, f"{field.name}/left", 5)]
    right = [0, p - 1, p - 1, p - 1, 1, p // 2, p // 2 + 1, *elements(p, f"{field.name}/right", 5)]
    a, b = np.array(left, field.dtype), np.array(right, field.dtype)
    return {
        "left": numbers(left),
        "right": numbers(right),
        "sum": numbers(field.add(a, b)),
        "difference": numbers(field.subtract(a, b)),
        "product_sum": str(field.dot(a, b)),
        "left_lifted": numbers(field.lift(a)),
    }


def _reading(field: Field) -> list[dict[str, Any]]:
    p, top = field.prime, 2 ** (8 * field.element_bytes) - 1
    cases: list[tuple[str, list[int], int, int]] = [
        ("nothing", [], 0, 0),
        ("little-endian words", [1, 256, p - 1], 3, 0),
        ("the word p", [0, p], 2, 0),
        ("the word p + 1", [p + 1, 0], 2, 0),
        ("the largest word", [0, 0, top], 3, 0),
        ("one byte too few", [1, 2], 2, -1),
        ("one byte too many", [1, 2], 2, 1),
        ("one word too few", [1], 2, 0),
        ("one word too many", [1, 2, 3], 2, 0),
    ]
    out = []
    for about, words, count, extra in cases:
        data = b"".join(word.to_bytes(field.element_bytes, "little") for word in words) + bytes(max(extra, 0))
        data = data[: len(data) + min(extra, 0)]
        legal = len(words) == count and extra == 0 and all(word < p for word in words)
        case = {"about": about, "bytes": data, "count": count}
        if legal:
            out.append({**case, "elements": numbers(field.from_bytes(data, count))})
        else:
            got = refusal(lambda data=data, count=count: field.from_bytes(data, count))
            out.append({**case, **require({"error": "MalformedError"}, got, about)})
    return out


class _Injected:
    """A key stream whose words are given."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def fill(self, buffer: memoryview) -> None:
        buffer[:] = self._data[: buffer.nbytes]
        self._data = self._data[buffer.nbytes :]


def read_injected(field: Field, main: list[int], tail: list[int]) -> list[int]:
    """The elements that the implementation reads from given main and tail words."""
    size = field.element_bytes
    by_label = {
        label: b"".join(word.to_bytes(size, "little") for word in words)
        for label, words in ((Label.MASK, main), (Label.MASK_TAIL, tail))
    }
    original = streams.KeyStream
    streams.KeyStream = lambda _key, label, *_rest: _Injected(by_label[label])  # type: ignore[assignment,misc]
    try:
        labels = (Label.MASK, Label.MASK_TAIL)
        stream = ElementStream(field, bytes(32), labels, Role.ALL, b"", scratch=field.zeros(4))
        return [int(value) for value in stream.read(len(main))]
    finally:
        streams.KeyStream = original  # type: ignore[misc]


def _redrawn(field: Field) -> list[dict[str, Any]]:
    p, top = field.prime, 2 ** (8 * field.element_bytes) - 1
    high = top - p  # the bits above the field, which are ignored
    cases = [
        ("no word is rejected", [1, 2, p - 1, high + 5], []),
        ("bits above the field are ignored", [high, high + 1, high + p - 1], []),
        ("the second word is rejected", [1, p, 3], [9]),
        ("rejected with its upper bits set", [1, top, 3], [high + 9]),
        ("first and last word", [p, 2, 3, p], [10, 11]),
        ("all words", [p] * 6, [21, 22, 23, 24, 25, 26]),
        ("the tail has rejected words too", [1, p, p, 4], [p, top, 31, p, 32]),
        ("over the border of a chunk of four", [1, 2, 3, p, p, 6, 7, 8, p], [41, p, 42, 43]),
    ]
    return [
        {
            "about": about,
            "main_words": numbers(main),
            "tail_words": numbers(tail),
            "elements": numbers(read_injected(field, main, tail)),
        }
        for about, main, tail in cases
    ]


def make() -> dict[str, Any]:
    """Both fields."""
    fields = [
        {
            "name": field.name,
            "prime": str(field.prime),
            "element_bytes": field.element_bytes,
            "tags": field.tags,
            "arithmetic": _arithmetic(field),
            "reading": _reading(field),
            "redrawn": _redrawn(field),
        }
        for field in (COMPACT, WIDE)
    ]
    return {"about": "the two fields, docs/protocol.md, Parameters and Streams", "fields": fields}
