"""Damage that knows what bytes mean: flipped, cut, spliced, repeated, and with the integers that break parsers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from privateyes.crypto.field import COMPACT, WIDE

INTEGERS = sorted(
    {0, 1, 2, 3, 127, 128, 255, 256, 1135, 1136, 1168, 65_535, 2**24, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1}
    | {field.prime + change for field in (COMPACT, WIDE) for change in (-1, 0, 1)}
)
# What JSON and TOML parsers stumble over.
TOKENS = (
    b"Infinity", b"-Infinity", b"NaN", b"nan", b"inf", b"1e999", b"-1", b"0.5", b"1e3", b"null", b"true", b"false",
    b"[]", b"{}", b"[",
    b"]", b"{", b"}", b'"', b'""', b",", b":", b"\\u0000", b"\\ud800", b"\\", b"\n", b"\r", b"\0", b"\xff",
    b"\xef\xbb\xbf", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"a." * 3000, b" ", b"00", b"0x", b"1_0", b"#", b"=",
    b"'''", b'"""', b"1979-05-27", b"99999999999999999999", b"[[aggregators]]\n", b"[[clients]]\n",
    b"organisation = 1\n",
)  # fmt: skip


def _overwritten(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _cut(chance: random.Random, data: bytes) -> tuple[int, int]:
    """A piece, more often short than long."""
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((1, 2, 4, 8, 32, 36, 64, chance.randint(0, len(data)))))


def _integer(chance: random.Random, data: bytes) -> bytes:
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice((*INTEGERS, len(data), len(data) - 1, chance.getrandbits(64))) % (1 << 8 * size)
    piece = value.to_bytes(size, chance.choice(("big", "little")))
    at = chance.randint(0, len(data))
    return _overwritten(data, at, piece) if chance.random() < 0.7 else data[:at] + piece + data[at:]


def _flip(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data))
    return _overwritten(data, at, bytes([data[at] ^ (1 << chance.randrange(8))]))


def _damage(chance: random.Random, data: bytes, others: Sequence[bytes], texts: bool) -> bytes:
    if not data:
        return chance.randbytes(chance.randint(0, 40))
    start, end = _cut(chance, data)
    at = chance.randint(0, len(data))
    match chance.randrange(10 if texts else 9):
        case 0:
            return _flip(chance, data)
        case 1:
            return _integer(chance, data)
        case 2:
            return data[:at]
        case 3:
            return data[:start] + data[end:]
        case 4:
            return data[:at] + data[start:end] + data[at:]
        case 5:
            other = chance.choice(others)
            first, last = _cut(chance, other)
            return data[:start] + other[first:last] + data[end:]
        case 6:
            return data + chance.choice((b"\0", chance.randbytes(chance.randint(1, 70)), data))
        case 7:
            return _overwritten(data, at, chance.randbytes(end - start))
        case 8:
            return data[:start] + data[start:end] * chance.randint(2, 5) + data[end:]
    token = chance.choice(TOKENS)
    return data[:start] + token + (data[end:] if chance.random() < 0.5 else data[start:])


@pytest.fixture(scope="session")
def damaged() -> Callable[..., bytes]:
    """One to four damages to a piece of a corpus; sometimes none, so that what is valid is tried too."""

    def make(chance: random.Random, corpus: Sequence[bytes], texts: bool = False) -> bytes:
        data = chance.choice(corpus)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 4))):
            data = _damage(chance, data, corpus, texts)
        return data[: 1 << 16]

    return make
