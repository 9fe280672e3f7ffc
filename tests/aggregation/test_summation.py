"""The sums of a round equal plain integers, whatever the chunks and lanes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation import summation
from privateyes.aggregation.summation import add_streams, add_vectors, chunks_of_result
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.streams import CHUNK_BYTES, ElementStream, scratch_words

FIELDS = st.sampled_from([COMPACT, WIDE])
QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 bytes, and lanes that meet every 320 bytes, so that a short vector has many of both."""
    monkeypatch.setattr(summation, "CHUNK_BYTES", 64)
    monkeypatch.setattr(summation, "_BLOCK_BYTES", 320)


def _open(field: Field, number: int, scratch) -> ElementStream:
    key = number.to_bytes(32, "big")
    return ElementStream(field, key, (Label.MASK, Label.MASK_TAIL), Role.ALL, b"", scratch=scratch)


def _streams(field: Field, count: int) -> list[summation.OpenStream]:
    return [partial(_open, field, number) for number in range(count)]


def _vectors(field: Field, count: int, size: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    vectors = [generator.integers(0, field.prime, size, dtype=np.uint64).astype(field.dtype) for _ in range(count)]
    for vector in vectors:  # the largest element is where a sum would wrap
        vector[generator.integers(0, 3, size) == 0] = field.prime - 1
    return vectors


def _plain_sum(field: Field, vectors: Sequence[np.ndarray]) -> list[int]:
    return [sum(map(int, column)) % field.prime for column in zip(*vectors, strict=True)]


@QUICK
@given(FIELDS, st.integers(0, 7), st.integers(0, 400), st.integers(1, 9), st.integers(0, 2**32))
def test_streams_on_any_number_of_lanes_add_up_as_integers(small_chunks, field, count, size, lanes, seed) -> None:
    (start,) = _vectors(field, 1, size, seed)
    expected = _plain_sum(field, [start, *(_open(field, i, scratch_words(field)).read(size) for i in range(count))])
    total = start.copy()
    with ThreadPoolExecutor(lanes) as threads:
        add_streams(field, total, _streams(field, count), Lanes(lanes, threads.map))
    assert total.tolist() == expected


@pytest.mark.parametrize("size", [0, 1, 131_072, 524_288, 524_289])
def test_sizes_around_a_chunk_and_a_meeting_of_lanes_give_the_same(field, size) -> None:
    size //= field.element_bytes // 4
    alone, together = field.zeros(size), field.zeros(size)
    add_streams(field, alone, _streams(field, 3), ONE_LANE)
    add_streams(field, together, _streams(field, 3), Lanes(2, map))
    assert np.array_equal(alone, together)
    assert size == 0 or alone.any()


def test_a_lane_opens_only_its_own_streams_and_shares_one_scratch_among_them(field) -> None:
    opened: dict[int, list[int]] = {}

    def note(number: int, scratch):
        opened.setdefault(id(scratch), []).append(number)
        kept.append(scratch)
        return _open(field, number, scratch)

    kept: list[np.ndarray] = []
    add_streams(field, field.zeros(10), [partial(note, number) for number in range(5)], Lanes(2, map))
    assert sorted(map(sorted, opened.values())) == [[0, 2, 4], [1, 3]]


def test_what_fails_on_a_lane_is_not_lost(field) -> None:
    def fail(scratch):
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as threads, pytest.raises(ZeroDivisionError):
        add_streams(field, field.zeros(10), [*_streams(field, 2), fail], Lanes(2, threads.map))


@QUICK
@given(FIELDS, st.integers(0, 13), st.integers(0, 200), st.integers(0, 2**32))
def test_any_number_of_vectors_adds_up_as_integers(small_chunks, field, count, size, seed) -> None:
    total, *vectors = _vectors(field, count + 1, size, seed)
    expected = _plain_sum(field, [total, *vectors])
    before = [vector.copy() for vector in vectors]
    add_vectors(field, total, vectors)
    assert total.tolist() == expected
    assert all(np.array_equal(vector, kept) for vector, kept in zip(vectors, before, strict=True))


@QUICK
@given(FIELDS, st.integers(0, 6), st.integers(0, 300), st.integers(0, 2**32))
def test_the_result_comes_in_chunks_and_leaves_what_it_is_made_of_alone(small_chunks, field, count, size, seed) -> None:
    total, *shares = _vectors(field, count + 1, size, seed)
    before = total.copy()
    pieces = list(chunks_of_result(field, total, shares))
    assert [int(value) for piece in pieces for value in piece] == _plain_sum(field, [total, *shares])
    assert all(piece.nbytes == 64 for piece in pieces[:-1])
    assert np.array_equal(total, before)


@pytest.mark.parametrize("more", [0, 1])
def test_a_result_of_a_chunk_and_one_element_is_whole(field, more) -> None:
    size = CHUNK_BYTES // field.element_bytes + more
    total, *shares = _vectors(field, 3, size, 1)
    pieces = list(chunks_of_result(field, total, shares))
    assert np.concatenate(pieces).tolist() == _plain_sum(field, [total, *shares])
    assert [piece.size for piece in pieces] == [size - more, *[1] * more]


def test_shares_may_lie_in_a_file_on_disk(field, tmp_path) -> None:
    vectors = _vectors(field, 3, 500, 1)
    for number, vector in enumerate(vectors):
        vector.tofile(tmp_path / str(number))
    mapped = [np.memmap(tmp_path / str(number), dtype=field.dtype, mode="r") for number in range(3)]
    total = field.zeros(500)
    add_vectors(field, total, mapped)
    assert total.tolist() == _plain_sum(field, vectors)
