"""Statements are canonical, and what is derived from them is standard."""

from __future__ import annotations

import hashlib
import hmac
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.crypto.labels import PROTOCOL_VERSION, Label, Role
from privateyes.crypto.statement import (
    HASH_BYTES,
    BulkDigest,
    derive_key,
    digest,
    encode_tuple,
    equal_in_constant_time,
    mac,
    statement,
)
from privateyes.errors import MalformedError

PARTS = st.lists(st.one_of(st.binary(max_size=12), st.text(max_size=6), st.integers(0, 2**64 - 1)), max_size=5)
CONTEXT = bytes(range(32))


def _decode(data: bytes) -> list[bytes | str | int]:
    parts: list[bytes | str | int] = []
    while data:
        length = int.from_bytes(data[1:9], "big")
        body = data[9 : 9 + length]
        parts.append({b"i": lambda b: int.from_bytes(b, "big"), b"s": bytes.decode, b"b": bytes}[data[:1]](body))
        data = data[9 + length :]
    return parts


@given(PARTS)
def test_a_tuple_can_be_read_back_so_no_two_tuples_collide(parts) -> None:
    assert _decode(encode_tuple(parts)) == parts


def test_bytes_text_and_numbers_that_look_alike_differ() -> None:
    alike = [(b"1",), ("1",), (0x31,), (b"", b"1"), (b"1", b""), ("1", "")]
    assert len({encode_tuple(parts) for parts in alike}) == len(alike)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_of_any_kind_are_encoded_alike(kind) -> None:
    assert encode_tuple([kind(b"ab")]) == encode_tuple([b"ab"])


def test_text_of_an_enumeration_is_encoded_as_its_value() -> None:
    assert encode_tuple([Label.VOTE]) == encode_tuple(["vote"])


@pytest.mark.parametrize(
    ("part", "error"),
    [(True, TypeError), (1.0, TypeError), (None, TypeError), (-1, OverflowError), (2**64, OverflowError)],
)
def test_other_parts_are_refused(part, error) -> None:
    with pytest.raises(error):
        encode_tuple([part])


def test_a_statement_starts_with_version_label_role_and_context() -> None:
    data = statement(Label.VOTE, Role.AGGREGATOR, CONTEXT, 7)
    assert _decode(data) == [PROTOCOL_VERSION, "vote", "aggregator", CONTEXT, 7]


def test_no_label_is_given_twice() -> None:
    assert len({label.value for label in Label}) == len(Label.__members__)


def test_digest_and_mac_are_plain_sha_256_of_the_statement() -> None:
    data = statement(Label.HEADER, Role.CLIENT, CONTEXT, b"x")
    assert digest(Label.HEADER, Role.CLIENT, CONTEXT, b"x") == hashlib.sha256(data).digest()
    assert len(hashlib.sha256(data).digest()) == HASH_BYTES
    assert mac(b"k", Label.HEADER, Role.CLIENT, CONTEXT, b"x") == hmac.new(b"k", data, hashlib.sha256).digest()


@pytest.mark.parametrize("length", [16, 32, 48, 100])
def test_a_derived_key_is_hkdf_written_out(length) -> None:
    info = statement(Label.MASK, Role.ALL, CONTEXT, 3)
    pseudo_random_key = hmac.new(bytes(32), b"secret", hashlib.sha256).digest()
    out, block = b"", b""
    for counter in range(1, 5):
        block = hmac.new(pseudo_random_key, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    assert derive_key(b"secret", length, Label.MASK, Role.ALL, CONTEXT, 3) == out[:length]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_a_digest_in_pieces_equals_the_digest_of_the_whole(data, cuts) -> None:
    running = BulkDigest(Label.SHARE_HASH, Role.CLIENT, CONTEXT, 4, length_bytes=len(data))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        running.update(memoryview(data)[start:end])
    assert running.finish() == digest(Label.SHARE_HASH, Role.CLIENT, CONTEXT, 4, data)


@pytest.mark.parametrize("given_bytes", [0, 9, 11])
def test_a_digest_of_another_length_than_announced_is_refused(given_bytes) -> None:
    running = BulkDigest(Label.SHARE_HASH, Role.CLIENT, CONTEXT, length_bytes=10)
    running.update(bytes(given_bytes))
    with pytest.raises(MalformedError):
        running.finish()


def test_secrets_are_compared_whole() -> None:
    assert equal_in_constant_time(b"ab", b"ab")
    assert not equal_in_constant_time(b"ab", b"ac")
    assert not equal_in_constant_time(b"ab", b"abc")
