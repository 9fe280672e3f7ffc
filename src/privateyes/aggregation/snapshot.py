"""An aggregator's session on disk, from its commitment on.

Before COMMIT a restarted aggregator has said nothing binding, and the session becomes void. From COMMIT on it must be
able to go on: if one aggregator opened and another forgot its share, the session could be neither finished nor void,
and the clients would stand still.
"""

from __future__ import annotations

import numpy as np

from privateyes.aggregation.codec import Reader, RosterEntries
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.states import Agreed, Committed
from privateyes.crypto.commitment import merkle_root
from privateyes.crypto.statement import HASH_BYTES, equal_in_constant_time
from privateyes.errors import MalformedError


def committed_pieces(state: Committed) -> tuple[bytes, memoryview]:
    """Everything that opening will need, secret until then: what is small, and the share, not copied."""
    digests = (state.sid, state.rho, state.commitment, state.salt)
    return b"".join((RosterEntries().write(state.entries), *digests)), state.share.data.cast("B")


def dump_committed(state: Committed) -> bytes:
    """``committed_pieces`` in one."""
    return b"".join(committed_pieces(state))


def load_committed(data: bytes | memoryview, aggregator: int, manifest: Manifest) -> Committed:
    """Read what aggregator ``aggregator`` wrote with ``dump_committed``.

    Raises:
        MalformedError: the store is damaged: what it holds is not what the aggregator committed to.
    """
    reader = Reader(data, manifest, "a stored commitment")
    entries = RosterEntries().read(reader)
    sid, rho, commitment, salt = (bytes(reader.take(HASH_BYTES)) for _ in range(4))
    share = np.array(manifest.field.from_bytes(reader.take(manifest.share_bytes), manifest.share_elements))
    reader.finish()
    state = Committed(sid, entries, rho, salt, aggregator, share, merkle_root(share))
    if not equal_in_constant_time(state.commitment, commitment):
        raise MalformedError(
            f"the stored share of aggregator {aggregator} is not the one that it committed to",
            "the store is damaged: announce a new round",
        )
    return state


def dump_agreed(state: Agreed) -> bytes:
    """T and the commitments under it; the share is stored with the commitment."""
    return state.transcript + b"".join(state.commitments)


def load_agreed(data: bytes, committed: Committed, manifest: Manifest) -> Agreed:
    """Read what ``dump_agreed`` wrote.

    Raises:
        MalformedError: the store is damaged.
    """
    reader = Reader(data, manifest, "a stored agreement")
    transcript = bytes(reader.take(HASH_BYTES))
    commitments = tuple(bytes(reader.take(HASH_BYTES)) for _ in range(len(manifest.aggregators) + 1))
    reader.finish()
    return Agreed(committed, commitments, transcript)
