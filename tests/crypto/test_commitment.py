"""Merkle roots follow RFC 6962; commitments bind everything they name."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from privateyes.crypto import commitment
from privateyes.crypto.commitment import LEAF_BYTES, commit_to_sum, commit_to_vector, merkle_root
from privateyes.crypto.field import COMPACT


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _slow_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return _sha(b"")
    if len(leaves) == 1:
        return _sha(b"\x00" + leaves[0])
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return _sha(b"\x01" + _slow_root(leaves[:k]) + _slow_root(leaves[k:]))


# The inputs and roots of the certificate-transparency reference implementation.
CT_LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def test_the_slow_tree_gives_the_published_roots() -> None:
    assert _slow_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for count, root in CT_ROOTS.items():
        assert _slow_root(CT_LEAVES[:count]).hex() == root


def test_the_fast_tree_combines_the_published_leaves_to_the_published_roots() -> None:
    for count, root in CT_ROOTS.items():
        assert commitment._root([_sha(b"\x00" + leaf) for leaf in CT_LEAVES[:count]]).hex() == root


@pytest.mark.parametrize("leaves", [*range(1, 10), 15, 16, 17, 33])
def test_roots_equal_the_slow_tree_at_every_number_of_leaves(field, leaves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "LEAF_BYTES", 64)
    for size in (64 * leaves - 8, 64 * leaves):
        data = np.random.default_rng(leaves).bytes(size)
        vector = np.frombuffer(data, dtype=field.dtype)
        assert merkle_root(vector) == _slow_root([data[start : start + 64] for start in range(0, size, 64)])


@pytest.mark.parametrize("size", [LEAF_BYTES - 4, LEAF_BYTES, LEAF_BYTES + 4, 3 * LEAF_BYTES])
def test_leaves_are_64_kib(size) -> None:
    data = bytes(size)
    expected = _slow_root([data[start : start + LEAF_BYTES] for start in range(0, size, LEAF_BYTES)])
    assert merkle_root(np.frombuffer(data, dtype="<u4")) == expected


def test_the_root_of_nothing_is_the_hash_of_nothing(field) -> None:
    assert merkle_root(field.zeros(0)) == _sha(b"")


def test_a_commitment_binds_session_roster_number_salt_vector_and_its_length() -> None:
    vector, salt = COMPACT.zeros(9), bytes(32)
    base = commit_to_vector(b"sid", b"rho", 1, salt, vector)
    changed = np.array(vector)
    changed[8] = 1
    others = [
        commit_to_vector(b"sie", b"rho", 1, salt, vector),
        commit_to_vector(b"sid", b"rhp", 1, salt, vector),
        commit_to_vector(b"sid", b"rho", 2, salt, vector),
        commit_to_vector(b"sid", b"rho", 1, bytes([1]) * 32, vector),
        commit_to_vector(b"sid", b"rho", 1, salt, changed),
        commit_to_vector(b"sid", b"rho", 1, salt, vector[:8]),
    ]
    assert commit_to_vector(b"sid", b"rho", 1, salt, np.array(vector)) == base
    assert len({base, *others}) == 7


def test_the_hubs_commitment_binds_session_and_sum() -> None:
    vector = COMPACT.zeros(9)
    commitments = {commit_to_sum(b"sid", vector), commit_to_sum(b"sie", vector), commit_to_sum(b"sid", vector[:8])}
    assert len(commitments) == 3


def test_a_commitment_names_the_length_even_if_two_roots_were_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "merkle_root", lambda vector: bytes(32))
    vector = COMPACT.zeros(9)
    assert commit_to_sum(b"s", vector) != commit_to_sum(b"s", vector[:8])
    assert commit_to_vector(b"s", b"r", 1, bytes(32), vector) != commit_to_vector(b"s", b"r", 1, bytes(32), vector[:8])
