"""The field codecs are strict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation.codec import Fixed, Listed, Reader, RosterEntries, ShareVector, Text, Unsigned
from privateyes.crypto.field import WIDE
from privateyes.errors import MalformedError

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def manifest(make_world):
    return make_world(n=2, m=4, d=3).manifest


def _read(codec, data, manifest):
    reader = Reader(data, manifest, "a test")
    value = codec.read(reader)
    reader.finish()
    return value


@SHARED
@given(size=st.integers(1, 8), data=st.data())
def test_numbers_are_big_endian(manifest, size, data) -> None:
    value = data.draw(st.integers(0, 2 ** (8 * size) - 1))
    written = Unsigned(size).write(value)
    assert written == value.to_bytes(size, "big")
    assert _read(Unsigned(size), written, manifest) == value
    with pytest.raises(OverflowError):
        Unsigned(size).write(2 ** (8 * size))


@SHARED
@given(values=st.lists(st.binary(min_size=3, max_size=3), max_size=255))
def test_lists_are_counted(manifest, values) -> None:
    codec = Listed(Fixed(3))
    written = codec.write(tuple(values))
    assert _read(codec, written, manifest) == tuple(values)
    for wrong in (written[:-1], written + b"\0"):
        with pytest.raises(MalformedError):
            _read(codec, wrong, manifest)


@SHARED
@given(value=st.binary(min_size=3, max_size=40))
def test_a_text_is_counted_in_eight_bytes(manifest, value) -> None:
    codec = Text(3)
    written = codec.write(value)
    assert written == len(value).to_bytes(8, "big") + value
    assert _read(codec, written, manifest) == value
    for wrong in (written[:-1], written + b"\0", written[:7], (len(value) - 1).to_bytes(8, "big") + value):
        with pytest.raises(MalformedError):
            _read(codec, wrong, manifest)


@pytest.mark.parametrize("count", [0, 2])
def test_a_text_that_is_too_short_is_neither_written_nor_read(manifest, count) -> None:
    with pytest.raises(MalformedError, match=f"at least 3 bytes was given {count}"):
        Text(3).write(bytes(count))
    with pytest.raises(MalformedError, match=f"at least 3 bytes has {count}"):
        _read(Text(3), count.to_bytes(8, "big") + bytes(count), manifest)


@pytest.mark.parametrize("count", [4, 2**31, 2**63, 2**64 - 1])
def test_a_text_with_a_count_beyond_its_bytes_is_refused_without_being_allocated(manifest, count) -> None:
    with pytest.raises(MalformedError, match="ends after 11 bytes"):
        _read(Text(3), count.to_bytes(8, "big") + b"abc", manifest)


def test_a_share_in_the_wide_field_is_read_and_refused_as_in_the_compact_one(make_world) -> None:
    wide = make_world(n=2, m=4, d=3, field=WIDE).manifest
    elements = np.arange(wide.share_elements, dtype=wide.field.dtype) + (WIDE.prime - 10)
    written = bytes(ShareVector().write(elements))
    assert len(written) == 8 * (3 + 1 + 2)
    assert np.array_equal(_read(ShareVector(), written, wide), elements)
    for position in range(wide.share_elements):
        for word in (WIDE.prime, WIDE.prime + 1, 2**64 - 1):
            wrong = written[: 8 * position] + word.to_bytes(8, "little") + written[8 * position + 8 :]
            with pytest.raises(MalformedError, match=f"word {position} is {word}"):
                _read(ShareVector(), wrong, wide)


def test_a_list_of_256_cannot_be_written() -> None:
    with pytest.raises(OverflowError):
        Listed(Fixed(1)).write((b"x",) * 256)


@pytest.mark.parametrize("value", [b"", b"ab", b"abcd"])
def test_fixed_bytes_have_their_length(value) -> None:
    with pytest.raises(MalformedError, match="3 bytes was given"):
        Fixed(3).write(value)


def _entries(*clients: int) -> tuple[tuple[int, bytes], ...]:
    return tuple((client, bytes([client % 256]) * 32) for client in clients)


@pytest.mark.parametrize("clients", [(), (1,), (1, 4), (0, 2**32 - 1), (1, 2, 3, 4)])
def test_ascending_rosters_read_back(manifest, clients) -> None:
    codec = RosterEntries()
    assert _read(codec, codec.write(_entries(*clients)), manifest) == _entries(*clients)


@pytest.mark.parametrize("clients", [(1, 1), (2, 1), (1, 3, 2), (1, 2, 2)])
def test_rosters_out_of_order_or_with_repetitions_are_refused(manifest, clients) -> None:
    codec = RosterEntries()
    with pytest.raises(MalformedError, match="not sorted"):
        _read(codec, codec.write(_entries(*clients)), manifest)


def test_a_count_beyond_the_manifests_clients_is_refused_before_anything_is_read(manifest) -> None:
    for count in (5, 2**32 - 1):
        with pytest.raises(MalformedError, match=f"a roster of {count} clients"):
            _read(RosterEntries(), count.to_bytes(4, "big"), manifest)


def test_a_share_has_the_manifests_length_and_is_not_copied(manifest) -> None:
    elements = np.arange(manifest.share_elements, dtype=manifest.field.dtype)
    written = ShareVector().write(elements)
    assert np.shares_memory(np.frombuffer(written, dtype=np.uint8), elements)
    assert np.array_equal(_read(ShareVector(), bytes(written), manifest), elements)
    for wrong in (bytes(written)[:-1], bytes(written) + b"\0"):
        with pytest.raises(MalformedError):
            _read(ShareVector(), wrong, manifest)


def test_a_reader_hands_out_no_more_than_there_is(manifest) -> None:
    reader = Reader(b"abc", manifest, "a test")
    assert bytes(reader.take(2)) == b"ab"
    with pytest.raises(MalformedError, match="a test ends after 3 bytes"):
        reader.take(2)
    with pytest.raises(MalformedError, match="1 trailing"):
        reader.finish()
    assert bytes(reader.take(1)) == b"c"
    reader.finish()


def test_the_rest_is_what_was_not_taken_and_ends_the_message(manifest) -> None:
    reader = Reader(b"abc", manifest, "a test")
    reader.take(1)
    assert bytes(reader.rest()) == b"bc"
    assert bytes(reader.rest()) == b""
    reader.finish()


def test_reading_through_a_reader_gives_read_only_memory(manifest) -> None:
    assert Reader(bytearray(b"abc"), manifest, "a test").take(3).readonly
