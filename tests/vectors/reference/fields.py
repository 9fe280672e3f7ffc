"""Fields, streams of their elements, and tags."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from .statements import derive


@dataclass(frozen=True)
class Field:
    """p = 2^bits - 1, bytes of an element, number of tags."""

    bits: int
    size: int
    tags: int

    @property
    def prime(self) -> int:
        """p."""
        return (1 << self.bits) - 1

    def to_bytes(self, values: list[int]) -> bytes:
        """Little-endian words."""
        return b"".join(value.to_bytes(self.size, "little") for value in values)

    def words(self, data: bytes) -> list[int]:
        """Little-endian words, whatever their size."""
        return [int.from_bytes(data[t : t + self.size], "little") for t in range(0, len(data), self.size)]


FIELDS = {"compact": Field(31, 4, 4), "wide": Field(61, 8, 2)}


def key_stream(count: int, key: bytes, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """AES-256-CTR: HKDF gives 32 bytes of key, then a nonce of 12 bytes; the counter begins at 2, as in GCM."""
    material = derive(key, 44, label, role, context, *parts)
    encryptor = Cipher(AES(material[:32]), CTR(material[32:] + (2).to_bytes(4, "big"))).encryptor()
    return encryptor.update(bytes(count))


def redraw(field: Field, main: list[int], tail: list[int]) -> list[int]:
    """Masked words; the value p is replaced by the next word of the tail that is not p itself."""
    spare = (word & field.prime for word in tail)
    accepted = (word for word in spare if word != field.prime)
    masked = [word & field.prime for word in main]
    return [word if word != field.prime else next(accepted) for word in masked]


def elements(field: Field, count: int, key: bytes, label: str, role: str, context: bytes, *parts: Any) -> list[int]:
    """The first elements of a stream; sixty-four words of the tail are more than enough here."""
    main = key_stream(count * field.size, key, label, role, context, *parts)
    tail = key_stream(64 * field.size, key, f"{label}-tail", role, context, *parts)
    return redraw(field, field.words(main), field.words(tail))


def tags(field: Field, session_key: bytes, sid: bytes, vector: list[int], pads: int) -> list[int]:
    """<a_l (x) b_l, vector> + pads * v_l, for every l; one stream holds a_1, then a_2, and so on."""
    count = len(vector)
    width = math.isqrt(count - 1) + 1
    height = -(-count // width)
    a = elements(field, field.tags * height, session_key, "challenge-a", "all", sid)
    b = elements(field, field.tags * width, session_key, "challenge-b", "all", sid)
    v = elements(field, field.tags, session_key, "pad", "all", sid)
    out = []
    for tag in range(field.tags):
        rows, columns = a[tag * height : (tag + 1) * height], b[tag * width : (tag + 1) * width]
        product = sum(rows[t // width] * columns[t % width] * value for t, value in enumerate(vector))
        out.append((product + pads * v[tag]) % field.prime)
    return out
