"""A session whose updates may be sent again, as the hub keeps it from the moment that it passes n agreements on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from privateyes.aggregation.codec import Reader
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Origin, RosterCommitment

_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Again:
    """A session whose updates may be sent again: its roster, and every aggregator's commitment to it."""

    origin: Origin
    commitments: tuple[RosterCommitment, ...]

    def to_bytes(self) -> bytes:
        """For the hub's store."""
        return b"".join(
            len(body).to_bytes(_LENGTH_BYTES, "big") + body
            for body in (message.to_bytes() for message in (self.origin, *self.commitments))
        )

    @classmethod
    def from_bytes(cls, data: bytes, manifest: Manifest) -> Again:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: the store is damaged.
        """
        reader = Reader(data, manifest, "a stored roster")
        messages = [
            reader.take(int.from_bytes(reader.take(_LENGTH_BYTES), "big")) for _ in range(len(manifest.aggregators) + 1)
        ]
        reader.finish()
        origin, *commitments = messages
        return cls(
            Origin.from_bytes(origin, manifest),
            tuple(RosterCommitment.from_bytes(body, manifest) for body in commitments),
        )
