"""Merkle roots follow RFC 6962 over the leaves of either bulk hash; commitments bind everything they name."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.crypto import commitment
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import (
    LEAF_BYTES,
    MerkleTree,
    commit_to_sum,
    commit_to_vector,
    merkle_root,
    share_hash,
)
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import Lanes
from privateyes.crypto.statement import digest

SMALL_LEAF = 64


@pytest.fixture(params=BulkHash)
def bulk(request: pytest.FixtureRequest) -> BulkHash:
    """Either bulk hash."""
    chosen: BulkHash = request.param
    return chosen


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _slow_root(leaves: list[bytes], bulk: BulkHash = BulkHash.SHA256) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word but for the hash of a leaf."""
    if not leaves:
        return _sha(b"")
    if len(leaves) == 1:
        return _sha(b"\x00" + leaves[0]) if bulk is BulkHash.SHA256 else bulk.leaf(memoryview(leaves[0]))
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return _sha(b"\x01" + _slow_root(leaves[:k], bulk) + _slow_root(leaves[k:], bulk))


def _root_of_bytes(data: bytes, leaf_bytes: int, bulk: BulkHash) -> bytes:
    return _slow_root([data[start : start + leaf_bytes] for start in range(0, len(data), leaf_bytes)], bulk)


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
def test_roots_equal_the_slow_tree_at_every_number_of_leaves(field, bulk, leaves, monkeypatch) -> None:
    monkeypatch.setattr(commitment, "LEAF_BYTES", SMALL_LEAF)
    for size in (SMALL_LEAF * leaves - 8, SMALL_LEAF * leaves):
        data = np.random.default_rng(leaves).bytes(size)
        assert merkle_root(np.frombuffer(data, dtype=field.dtype), bulk) == _root_of_bytes(data, SMALL_LEAF, bulk)


@pytest.mark.parametrize("size", [LEAF_BYTES - 4, LEAF_BYTES, LEAF_BYTES + 4, 3 * LEAF_BYTES])
def test_leaves_are_64_kib(bulk, size) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert merkle_root(np.frombuffer(data, dtype="<u4"), bulk) == _root_of_bytes(data, 65_536, bulk)


@given(st.sampled_from([COMPACT, WIDE]), st.sampled_from(BulkHash), st.lists(st.integers(0, 40), max_size=12))
def test_pieces_of_any_size_give_the_root_of_the_whole_at_every_moment(field, bulk, sizes) -> None:
    given_so_far = b""
    with patch.object(commitment, "LEAF_BYTES", SMALL_LEAF):
        tree = MerkleTree(bulk)
        for number, size in enumerate(sizes):
            piece = np.random.default_rng(number).integers(0, field.prime, size, dtype=field.dtype)
            tree.update(piece)
            given_so_far += piece.tobytes()
            assert tree.root() == tree.root() == _root_of_bytes(given_so_far, SMALL_LEAF, bulk)


@pytest.mark.parametrize("size", [4, 40_000, LEAF_BYTES, LEAF_BYTES + 4, 3 * LEAF_BYTES - 4])
def test_pieces_across_the_ends_of_real_leaves_give_the_root_of_the_whole(bulk, size) -> None:
    vector = np.arange(5 * LEAF_BYTES // 4 + 7, dtype=COMPACT.dtype)[-3 * size :]
    tree = MerkleTree(bulk)
    for start in range(0, vector.size, size // 4):
        tree.update(vector[start : start + size // 4])
    assert tree.root() == merkle_root(vector, bulk) == _root_of_bytes(vector.tobytes(), LEAF_BYTES, bulk)


@pytest.mark.parametrize("leaves", [0, 1, 7, 8, 9, 24])
def test_a_vector_may_be_finished_a_stretch_at_a_time_while_it_is_hashed(field, bulk, leaves, monkeypatch) -> None:
    monkeypatch.setattr(commitment, "LEAF_BYTES", SMALL_LEAF)
    size = leaves * SMALL_LEAF // field.element_bytes + 3
    vector, final = field.zeros(size), np.arange(1, size + 1, dtype=field.dtype)

    def finish(stretch: slice) -> None:
        vector[stretch] += final[stretch]  # a stretch that was finished twice would be wrong

    with ThreadPoolExecutor(3) as threads:
        root = merkle_root(vector, bulk, Lanes(3, threads.map), finish)
    assert vector.tolist() == final.tolist()
    assert root == merkle_root(final, bulk) == _root_of_bytes(final.tobytes(), SMALL_LEAF, bulk)


def test_stretches_are_finished_right_before_they_are_hashed(monkeypatch) -> None:
    """Otherwise the whole vector would leave the cache in between."""
    monkeypatch.setattr(commitment, "LEAF_BYTES", SMALL_LEAF)
    events: list[str] = []

    class Watching:
        def leaf(self, _: memoryview) -> bytes:
            events.append("hashed")
            return bytes(32)

    merkle_root(COMPACT.zeros(12 * SMALL_LEAF // 4), Watching(), finish=lambda _: events.append("finished"))
    assert events == ["finished", *["hashed"] * 8, "finished", *["hashed"] * 4]


def test_a_piece_may_be_overwritten_once_it_is_added(bulk) -> None:
    """The client and the hub use one buffer again and again."""
    buffer, tree = np.full(LEAF_BYTES // 4 + 100, 7, dtype=COMPACT.dtype), MerkleTree(bulk)
    before = np.array(buffer)
    tree.update(buffer)
    buffer[:] = 9
    assert tree.root() == merkle_root(before, bulk) != merkle_root(buffer, bulk)


def test_whole_leaves_are_hashed_where_they_lie() -> None:
    vector, seen = np.arange(4 * LEAF_BYTES // 4, dtype=COMPACT.dtype), []

    class Watching:
        def leaf(self, piece: memoryview) -> bytes:
            seen.append(np.shares_memory(np.frombuffer(piece, dtype=np.uint8), vector))
            return bytes(32)

    tree = MerkleTree(Watching())
    tree.update(vector[:10])
    tree.update(vector[10:])
    assert seen == [False, True, True, True]  # the first one came in two pieces


def test_the_root_of_nothing_is_sha_256_of_nothing_with_either_bulk_hash(field, bulk) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree = MerkleTree(bulk)
    tree.update(field.zeros(0))
    assert merkle_root(field.zeros(0), bulk).hex() == MerkleTree(bulk).root().hex() == tree.root().hex() == empty


@pytest.mark.parametrize("size", [1, LEAF_BYTES // 4, LEAF_BYTES // 4 + 1, LEAF_BYTES])
def test_the_bulk_hashes_give_different_roots(size) -> None:
    assert len({merkle_root(COMPACT.zeros(size), bulk) for bulk in BulkHash}) == 2


def test_an_inner_node_cannot_pass_as_a_leaf(bulk, monkeypatch) -> None:
    vector = np.arange(2 * LEAF_BYTES // 4, dtype=COMPACT.dtype)

    def node_as_leaf() -> bytes:
        """The root of another, shorter vector: of the bytes that the true root is the hash of."""
        data = memoryview(vector.data.cast("B"))
        return bulk.leaf(memoryview(b"\x01" + bulk.leaf(data[:LEAF_BYTES]) + bulk.leaf(data[LEAF_BYTES:])))

    assert node_as_leaf() != merkle_root(vector, bulk)
    # The attack works where leaves are hashed as nodes are: without the prefix, or the other function and its context.
    monkeypatch.setattr(BulkHash, "leaf", lambda _, piece: hashlib.sha256(piece).digest())
    assert node_as_leaf() == merkle_root(vector, bulk)


def test_a_commitment_binds_session_roster_number_salt_vector_and_its_length(bulk) -> None:
    vector, salt = COMPACT.zeros(9), bytes(32)
    base = commit_to_vector(b"sid", b"rho", 1, salt, vector, bulk)
    changed = np.array(vector)
    changed[8] = 1
    others = [
        commit_to_vector(b"sie", b"rho", 1, salt, vector, bulk),
        commit_to_vector(b"sid", b"rhp", 1, salt, vector, bulk),
        commit_to_vector(b"sid", b"rho", 2, salt, vector, bulk),
        commit_to_vector(b"sid", b"rho", 1, bytes([1]) * 32, vector, bulk),
        commit_to_vector(b"sid", b"rho", 1, salt, changed, bulk),
        commit_to_vector(b"sid", b"rho", 1, salt, vector[:8], bulk),
    ]
    assert commit_to_vector(b"sid", b"rho", 1, salt, np.array(vector), bulk) == base
    assert len({base, *others}) == 7


def test_the_hubs_commitment_binds_session_and_sum(bulk) -> None:
    vector = COMPACT.zeros(9)
    commitments = {commit_to_sum(sid, part, bulk) for sid, part in ((b"s", vector), (b"t", vector), (b"s", vector[:8]))}
    assert len(commitments) == 3


def test_the_bulk_hash_enters_every_commitment() -> None:
    vector = COMPACT.zeros(9)
    assert len({commit_to_sum(b"s", vector, bulk) for bulk in BulkHash}) == 2
    assert len({commit_to_vector(b"s", b"r", 1, bytes(32), vector, bulk) for bulk in BulkHash}) == 2


def test_a_commitment_names_the_length_even_if_two_roots_were_equal(bulk, monkeypatch) -> None:
    monkeypatch.setattr(commitment, "merkle_root", lambda *_: bytes(32))
    vectors, salt = (COMPACT.zeros(9), COMPACT.zeros(8)), bytes(32)
    assert len({commit_to_sum(b"s", vector, bulk) for vector in vectors}) == 2
    assert len({commit_to_vector(b"s", b"r", 1, salt, vector, bulk) for vector in vectors}) == 2


def test_a_shares_hash_is_the_statement_of_session_client_length_and_root() -> None:
    base = share_hash(b"sid", 3, 36, b"root")
    assert base == digest(Label.SHARE_HASH, Role.CLIENT, b"sid", 3, 36, b"root")
    others = [
        share_hash(b"sie", 3, 36, b"root"),
        share_hash(b"sid", 4, 36, b"root"),
        share_hash(b"sid", 3, 40, b"root"),
        share_hash(b"sid", 3, 36, b"roof"),
    ]
    assert len({base, *others}) == 5
