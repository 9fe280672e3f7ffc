"""What a client keeps of a submission, so that it can send the same bytes, or the same update, again.

The share itself is not kept: it follows from the encoded update and the keys of this one session. Keeping those beside
the update tells a thief of the client's store nothing that the update does not. All of it is erased once every session
from the weights is void, or another result was accepted after the one that moved them: until then a hub that lost the
sum may need it for the clients that have no result yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from privateyes.aggregation.codec import Reader
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Header
from privateyes.crypto.field import Elements
from privateyes.crypto.statement import KEY_BYTES
from privateyes.crypto.streams import CHUNK_BYTES
from privateyes.errors import MalformedError

Pieces: TypeAlias = Callable[[Elements], Iterator[Elements]]
"""Writes an encoded update q into a vector, (d,), and hands it out piece by piece, in order; the caller may change what
it got.
"""

_WEIGHT_BYTES = 8


@dataclass(frozen=True, slots=True)
class KeptSubmission:
    """The small part; the encoded update q stands beside it.

    Attributes:
        header: as it was sent.
        weight: w.
        session_key: K_sid; secret.
        round_keys: RK of the session's round, one for each aggregator; secret.
    """

    header: Header
    weight: int = field(repr=False)
    session_key: bytes = field(repr=False)
    round_keys: tuple[bytes, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """For the client's own store."""
        weight = int(self.weight).to_bytes(_WEIGHT_BYTES, "big")
        return b"".join((weight, self.session_key, *self.round_keys, self.header.to_bytes()))

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> Self:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: the store is damaged.
        """
        reader = Reader(data, manifest, "a kept submission")
        weight = int.from_bytes(reader.take(_WEIGHT_BYTES), "big")
        session_key, *round_keys = (bytes(reader.take(KEY_BYTES)) for _ in range(len(manifest.aggregators) + 1))
        header = Header.from_bytes(reader.rest(), manifest)
        return cls(header, weight, session_key, tuple(round_keys))

    def with_update(self, encoded: Elements) -> Kept:
        """The whole of it.

        Args:
            encoded: q, (d,) elements, as it was kept.
        """
        return Kept(self.header, self.weight, self.session_key, self.round_keys, encoded)


@dataclass(frozen=True, slots=True, eq=False)
class Kept(KeptSubmission):
    """A kept submission with its encoded update q, (d,) elements."""

    encoded: Elements = field(repr=False)

    def pieces(self, out: Elements) -> Iterator[Elements]:
        """Copy q into ``out``, (d,), piece by piece.

        Raises:
            MalformedError: what was kept has another length.
        """
        if self.encoded.size != out.size:
            raise MalformedError("the kept update has another length than the model", "treat this store as lost")
        step = CHUNK_BYTES // out.itemsize
        for start in range(0, out.size, step):
            piece = out[start : start + step]
            piece[:] = self.encoded[start : start + step]
            yield piece
