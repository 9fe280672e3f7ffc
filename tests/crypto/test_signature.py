"""Ed25519 identities."""

from __future__ import annotations

import pytest

from privateyes.crypto.signature import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, require_signature
from privateyes.errors import MalformedError


def test_the_first_test_of_rfc_8032_comes_out() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey(seed)
    assert key.public_bytes.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
        "5141438e7a100b"
    )
    assert key.secret_bytes() == seed


def test_fresh_keys_differ_and_sign_what_they_verify() -> None:
    one, two = SigningKey(), SigningKey()
    assert one.public_bytes != two.public_bytes
    require_signature(one.public_bytes, one.sign(b"x"), b"x", "a note")


def test_keys_and_signatures_have_the_announced_sizes() -> None:
    key = SigningKey()
    assert len(key.public_bytes) == PUBLIC_KEY_BYTES
    assert len(key.sign(b"x")) == SIGNATURE_BYTES


def test_any_flipped_bit_of_signature_key_or_statement_is_refused() -> None:
    key = SigningKey(bytes(32))
    signature, public, text = key.sign(b"text"), key.public_bytes, b"text"
    for which in range(3):
        for bit in range(8 * len((signature, public, text)[which])):
            values = [bytearray(signature), bytearray(public), bytearray(text)]
            values[which][bit // 8] ^= 1 << bit % 8
            with pytest.raises(MalformedError, match="on a note does not verify"):
                require_signature(bytes(values[1]), bytes(values[0]), bytes(values[2]), "a note")


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65), bytes(64)])
def test_bytes_that_are_no_signature_are_refused(signature) -> None:
    with pytest.raises(MalformedError):
        require_signature(SigningKey(bytes(32)).public_bytes, signature, b"x", "a note")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_bytes_that_are_no_public_key_verify_nothing(size) -> None:
    key = SigningKey(bytes(32))
    with pytest.raises(MalformedError, match="on a note does not verify"):
        require_signature((key.public_bytes + b"\0")[:size], key.sign(b"x"), b"x", "a note")


def test_a_signature_with_the_group_order_added_is_refused() -> None:
    key = SigningKey(bytes(32))
    signature = key.sign(b"x")
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(MalformedError):
        require_signature(key.public_bytes, signature[:32] + s.to_bytes(32, "little"), b"x", "a note")


def test_no_repr_shows_the_secret() -> None:
    key = SigningKey(bytes([7]) * 32)
    assert (bytes([7]) * 32).hex() not in repr(key)
    assert key.public_bytes.hex()[:8] in repr(key)
