"""Key streams of field elements: those of AES-256-GCM, masked to the field, rejected words redrawn.

Element t of a stream is word t of the main key stream AND p. The mask leaves one word too many, p itself; such a word
is replaced by the next accepted word of a separately keyed tail stream, in index order, so that every element is
exactly uniform on [0, p). (A bias of 2^-31 for each word is not negligible at 10^9 words; protocol, "Parameters".)
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from privateyes.crypto import kernels
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import KEY_BYTES, Part, derive_key
from privateyes.errors import ParameterError

CHUNK_BYTES: Final = 1 << 19
"""Vectors are processed in pieces of this size: large enough to amortise a call, small enough for the cache."""

_BLOCK_BYTES: Final = 16
_NONCE_BYTES: Final = 12
MAX_STREAM_BYTES: Final = _BLOCK_BYTES << 30
_ZEROS: Final = memoryview(bytes(CHUNK_BYTES))


class KeyStream:
    """Pseudo-random bytes: what AES-256-GCM encrypts with [NIST SP 800-38D], under a key and a nonce, both from HKDF.

    That is counter mode from block ``nonce || 2`` on. OpenSSL computes it a quarter faster as GCM than as counter mode,
    the tag that nobody reads included.

    Args:
        key: 32 secret bytes.
        label, role, context, parts: the statement that separates this stream from every other under the same key.

    Raises:
        ParameterError: on a read past 2^30 blocks.
    """

    __slots__ = ("_bytes_left", "_encryptor")

    def __init__(self, key: bytes, label: Label, role: Role, context: bytes, *parts: Part) -> None:
        material = derive_key(key, KEY_BYTES + _NONCE_BYTES, label, role, context, *parts)
        self._encryptor = Cipher(AES(material[:KEY_BYTES]), GCM(material[KEY_BYTES:])).encryptor()
        self._bytes_left = MAX_STREAM_BYTES

    def __repr__(self) -> str:
        return "KeyStream(<secret>)"

    def fill(self, buffer: memoryview) -> None:
        """Overwrite a buffer with the next bytes of the stream."""
        if buffer.nbytes > self._bytes_left:
            raise ParameterError("a key stream ends after 2^30 blocks", "aggregate a smaller vector")
        self._bytes_left -= buffer.nbytes
        for start in range(0, buffer.nbytes, CHUNK_BYTES):
            piece = buffer[start : start + CHUNK_BYTES]
            self._encryptor.update_into(_ZEROS[: piece.nbytes], piece)


def scratch_words(field: Field) -> Elements:
    """A chunk of words that streams used by one thread may share, so that a thousand streams need one buffer."""
    words: Elements = np.empty(CHUNK_BYTES // field.element_bytes, dtype=field.dtype)
    return words


class ElementStream:
    """A key stream read as field elements; see the module's docstring for the rule.

    Args:
        field: the field.
        key: 32 secret bytes.
        labels: what separates the main and the tail stream.
        role, context, parts: the rest of the statement.
        scratch: from ``scratch_words``; overwritten by every call.
    """

    __slots__ = ("_field", "_main", "_open_tail", "_scratch", "_tail")

    def __init__(
        self,
        field: Field,
        key: bytes,
        labels: tuple[Label, Label],
        role: Role,
        context: bytes,
        *parts: Part,
        scratch: Elements,
    ) -> None:
        self._field = field
        self._main = KeyStream(key, labels[0], role, context, *parts)
        # Derived at the first rejection, which most streams never see.
        self._tail: KeyStream | None = None
        self._open_tail = partial(KeyStream, key, labels[1], role, context, *parts)
        self._scratch = scratch

    def __repr__(self) -> str:
        return "ElementStream(<secret>)"

    def add_to(self, elements: Elements) -> None:
        """Add the next ``elements.size`` elements of the stream, in place."""
        for start in range(0, elements.size, self._scratch.size):
            piece = elements[start : start + self._scratch.size]
            words = self._next_words(piece.size)
            if kernels.add_words(self._field, piece, words):
                self._refill(piece, words, 1)

    def subtract_from(self, elements: Elements, factor: int = 1) -> None:
        """Subtract ``factor`` times the next ``elements.size`` elements of the stream, in place."""
        for start in range(0, elements.size, self._scratch.size):
            piece = elements[start : start + self._scratch.size]
            words = self._next_words(piece.size)
            if factor == 1:
                rejected = kernels.subtract_words(self._field, piece, words)
            else:
                rejected = kernels.subtract_scaled_words(self._field, piece, words, factor)
            if rejected:
                self._refill(piece, words, -factor)

    def read(self, count: int) -> Elements:
        """The next ``count`` elements."""
        elements = self._field.zeros(count)
        self.add_to(elements)
        return elements

    def _next_words(self, count: int) -> Elements:
        words = self._scratch[:count]
        self._main.fill(words.data.cast("B"))
        return words

    def _refill(self, piece: Elements, words: Elements, factor: int) -> None:
        prime = self._field.prime
        for position in np.flatnonzero((words & self._field.dtype.type(prime)) == prime):
            piece[position] = (int(piece[position]) + factor * self._next_of_tail()) % prime

    def _next_of_tail(self) -> int:
        if self._tail is None:
            self._tail = self._open_tail()
        word = np.empty(1, dtype=self._field.dtype)
        while True:
            self._tail.fill(word.data.cast("B"))
            value = int(word[0]) & self._field.prime
            if value != self._field.prime:
                return value
