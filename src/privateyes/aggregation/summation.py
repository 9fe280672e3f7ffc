"""The sums of a round, in chunks: an aggregator's streams, the hub's shares, and the opened result.

Beyond the vectors that go in and out, every sum here needs a fixed amount of memory, whatever the dimension and the
number of clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from privateyes.crypto import kernels
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.lanes import Lanes
from privateyes.crypto.streams import CHUNK_BYTES, ElementStream, scratch_words

OpenStream: TypeAlias = Callable[[Elements], ElementStream]
"""Makes a stream over a scratch buffer that it shares with others of its lane."""

_BLOCK_BYTES: Final = 4 * CHUNK_BYTES  # what a lane does between two meetings: long enough that waiting costs little


def add_streams(prime_field: Field, total: Elements, streams: Sequence[OpenStream], lanes: Lanes) -> None:
    """``total += sum of streams``, in place: each lane adds up its own part of the streams.

    Args:
        total: canonical elements, (c,).
        streams: one for each client.
    """
    count = min(lanes.count, len(streams))
    if count <= 1:
        _add_in_chunks(_opened(prime_field, streams), total)
        return
    opened = list(lanes.run(lambda lane: _opened(prime_field, streams[lane::count]), range(count)))
    block = _BLOCK_BYTES // prime_field.element_bytes
    sums = [prime_field.zeros(min(block, total.size)) for _ in range(count - 1)]
    for start in range(0, total.size, block):
        piece = total[start : start + block]
        parts = [piece, *(own[: piece.size] for own in sums)]
        for part in parts[1:]:
            part.fill(0)
        # The result of a lane is in its part; exhausting the iterator waits for all of them.
        list(lanes.run(lambda lane: _add_in_chunks(opened[lane], parts[lane]), range(count)))  # noqa: B023 - used at once
        kernels.add_vectors(prime_field, piece, parts[1:])


def _opened(prime_field: Field, streams: Sequence[OpenStream]) -> list[ElementStream]:
    scratch = scratch_words(prime_field)
    return [open_stream(scratch) for open_stream in streams]


def _add_in_chunks(streams: Sequence[ElementStream], total: Elements) -> None:
    size = CHUNK_BYTES // total.itemsize
    for start in range(0, total.size, size):
        piece = total[start : start + size]
        for stream in streams:
            stream.add_to(piece)


def add_vectors(prime_field: Field, total: Elements, vectors: Sequence[Elements]) -> None:
    """``total += sum of vectors``, in place, a piece at a time so that it stays in the processor's cache."""
    size = CHUNK_BYTES // total.itemsize
    for start in range(0, total.size, size):
        kernels.add_vectors(
            prime_field, total[start : start + size], [vector[start : start + size] for vector in vectors]
        )


def chunks_of_result(prime_field: Field, total: Elements, shares: Sequence[Elements]) -> Iterator[Elements]:
    """Z = C + sum of Z_s, in chunks that can be hashed one by one."""
    size = CHUNK_BYTES // total.itemsize
    for start in range(0, total.size, size):
        piece = total[start : start + size].copy()
        kernels.add_vectors(prime_field, piece, [share[start : start + size] for share in shares])
        yield piece
