"""The tag: a homomorphic MAC over the upload, with a tensor-product challenge (Agrawal and Boneh, ACNS 2009; protocol,
"Parameters").

Coordinates t = 0..d (the values, then the weight) form a grid of width B = ceil(sqrt(d + 1)); coordinate t has
coefficient a_l[t div B] * b_l[t mod B]. Tags add up as the vectors do, so whoever changes the sum without knowing a and
b is found out except with probability (2/p)^k.
"""

from __future__ import annotations

import math

import numpy as np

from privateyes.crypto import kernels
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, scratch_words


class TensorChallenge:
    """The secrets a_l, b_l and v_l of one session.

    Args:
        prime_field: the field; it also gives k.
        coordinates: d + 1.
        session_key: K_sid.
        sid: the session.
        scratch: from ``scratch_words``, where the caller has one at hand.
    """

    __slots__ = ("_columns", "_field", "_pads", "_rows")

    def __init__(
        self, prime_field: Field, coordinates: int, session_key: bytes, sid: bytes, scratch: Elements | None = None
    ) -> None:
        width = math.isqrt(coordinates - 1) + 1
        height = -(-coordinates // width)
        words = scratch_words(prime_field) if scratch is None else scratch
        self._field = prime_field

        def draw(labels: tuple[Label, Label], count: int) -> Elements:
            # One stream for all k vectors of a kind, one after the other: what the label separates is the kind.
            stream = ElementStream(prime_field, session_key, labels, Role.ALL, sid, scratch=words)
            return stream.read(prime_field.tags * count).reshape(prime_field.tags, count)

        self._rows = draw((Label.CHALLENGE_A, Label.CHALLENGE_A_TAIL), height)
        self._columns = draw((Label.CHALLENGE_B, Label.CHALLENGE_B_TAIL), width)
        self._pads = draw((Label.PAD, Label.PAD_TAIL), 1)[:, 0]

    def __repr__(self) -> str:
        return "TensorChallenge(<secret>)"

    def accumulator(self) -> TagAccumulator:
        """Start computing the tags of one vector."""
        return TagAccumulator(self._field, self._rows, self._columns, self._pads)


class TagAccumulator:
    """Tags of a vector that arrives in chunks, in order."""

    __slots__ = ("_columns", "_field", "_next", "_pads", "_rows", "_sums")

    def __init__(self, prime_field: Field, rows: Elements, columns: Elements, pads: Elements) -> None:
        self._field = prime_field
        self._rows, self._columns, self._pads = rows, columns, pads
        self._sums = np.zeros(prime_field.tags, dtype=np.uint64)
        self._next = 0

    def update(self, chunk: Elements) -> None:
        """Add the next coordinates."""
        kernels.tensor_dot(self._field, self._next, chunk, self._rows, self._columns, self._sums)
        self._next += chunk.size

    def tags(self, pads: int) -> Elements:
        """tag_l = <a_l (x) b_l, y> + pads * v_l for all l: ``pads`` is 1 for one client's tag and |R| for the sum's."""
        prime = self._field.prime
        values = [(int(total) + pads * int(pad)) % prime for total, pad in zip(self._sums, self._pads, strict=True)]
        return np.array(values, dtype=self._field.dtype)
