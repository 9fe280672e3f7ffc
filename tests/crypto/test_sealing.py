"""Keys sealed with HPKE open for their recipient, in their context, whole."""

from __future__ import annotations

import pytest

from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_PUBLIC_KEY_BYTES, UnsealingKey, seal
from privateyes.errors import MalformedError

KEY, INFO = bytes(range(32)), b"info"


@pytest.fixture(scope="module")
def recipient() -> UnsealingKey:
    return UnsealingKey()


def test_a_sealed_key_opens_and_has_the_announced_sizes(recipient) -> None:
    sealed = seal(KEY, recipient.public_bytes, INFO)
    assert len(sealed) == SEALED_KEY_BYTES
    assert len(recipient.public_bytes) == SEALING_PUBLIC_KEY_BYTES
    assert recipient.unseal(sealed, INFO) == KEY


def test_sealing_twice_gives_different_bytes(recipient) -> None:
    assert seal(KEY, recipient.public_bytes, INFO) != seal(KEY, recipient.public_bytes, INFO)


def test_another_recipient_context_or_any_altered_byte_opens_nothing(recipient) -> None:
    sealed = seal(KEY, recipient.public_bytes, INFO)
    with pytest.raises(MalformedError):
        UnsealingKey().unseal(sealed, INFO)
    with pytest.raises(MalformedError):
        recipient.unseal(sealed, b"info2")
    for position in range(0, len(sealed), 37):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(MalformedError):
            recipient.unseal(bytes(altered), INFO)


@pytest.mark.parametrize("size", [0, 1, 1119, 1120, 1136, SEALED_KEY_BYTES - 1, SEALED_KEY_BYTES + 1])
def test_bytes_of_another_length_open_nothing(recipient, size) -> None:
    sealed = (seal(KEY, recipient.public_bytes, INFO) + b"\0")[:size]
    with pytest.raises(MalformedError):
        recipient.unseal(sealed, INFO)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_sealed_value_of_another_length_is_no_key(recipient, size) -> None:
    with pytest.raises(MalformedError, match="not 32"):
        recipient.unseal(seal(bytes(size), recipient.public_bytes, INFO), INFO)


def _with_point(recipient, point: bytes) -> bytes:
    return recipient.public_bytes[:-32] + point


@pytest.mark.parametrize(
    "public",
    [
        b"",
        bytes(SEALING_PUBLIC_KEY_BYTES - 1),
        b"\xff" * SEALING_PUBLIC_KEY_BYTES,
        bytes(SEALING_PUBLIC_KEY_BYTES),
    ],
    ids=["empty", "short", "not reduced", "point of small order"],
)
def test_bytes_that_are_no_public_key_are_refused_with_our_own_error(public) -> None:
    with pytest.raises(MalformedError, match="not a valid"):
        seal(KEY, public, INFO)


def test_a_key_with_a_point_of_small_order_is_refused(recipient) -> None:
    for point in (bytes(32), bytes([1]) + bytes(31)):
        with pytest.raises(MalformedError):
            seal(KEY, _with_point(recipient, point), INFO)


def test_no_repr_shows_the_private_half(recipient) -> None:
    assert repr(recipient) == "UnsealingKey(<secret>)"
