"""The bulk hashes are the published functions, each leaf under a prefix or context of its own."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from blake3 import blake3

from privateyes.crypto import bulk
from privateyes.crypto.bulk import BulkHash, bulk_hash_by_name
from privateyes.errors import ConfigError

# From test_vectors/test_vectors.json of the BLAKE3 repository: the first 32 bytes of the derive_key outputs.
PUBLISHED_CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"
PUBLISHED = {
    0: "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d",
    1: "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c",
    1023: "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5",
    1024: "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706",
    1025: "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb",
    8193: "af1e0346e389b17c23200270a64aa4e1ead98c61695d917de7d5b00491c9b0f1",
    31744: "39772aef80e0ebe60596361e45b061e8f417429d529171b6764468c22928e28e",
    102400: "4652cff7a3f385a6103b5c260fc1593e13c778dbe608efb092fe7ee69df6e9c6",
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_blake3_leaf_gives_the_published_outputs_under_the_published_context(size, monkeypatch) -> None:
    monkeypatch.setattr(bulk, "LEAF_CONTEXT", PUBLISHED_CONTEXT)
    data = bytes(i % 251 for i in range(size))
    assert BulkHash.BLAKE3.leaf(memoryview(data)).hex() == PUBLISHED[size]


@pytest.mark.parametrize("data", [b"", b"x", bytes(65_536), bytes(range(200)) * 99], ids=len)
def test_a_leaf_is_its_hash_under_this_protocols_context_or_prefix(data) -> None:
    context = "privateyes-aggregation/2 leaf"
    assert BulkHash.BLAKE3.leaf(memoryview(data)) == blake3(data, derive_key_context=context).digest()
    assert BulkHash.SHA256.leaf(memoryview(data)) == hashlib.sha256(b"\x00" + data).digest()


def test_no_leaf_is_a_plain_hash_of_its_bytes() -> None:
    plain = {blake3(b"leaf").digest(), hashlib.sha256(b"leaf").digest()}
    leaves = {bulk_hash.leaf(memoryview(b"leaf")) for bulk_hash in BulkHash}
    assert len(leaves) == len(BulkHash) == 2
    assert not leaves & plain


@pytest.mark.parametrize("bulk_hash", BulkHash)
@pytest.mark.parametrize("offset", range(5))
def test_a_leaf_may_be_read_only_and_start_at_any_byte(bulk_hash, offset) -> None:
    data = np.random.default_rng(offset).bytes(3000)
    shifted = memoryview(bytes(offset) + data)[offset:]
    assert bulk_hash.leaf(shifted) == bulk_hash.leaf(memoryview(bytearray(data)))


def test_a_manifest_names_blake3_or_sha256() -> None:
    assert bulk_hash_by_name("blake3") is BulkHash.BLAKE3
    assert bulk_hash_by_name("sha256") is BulkHash.SHA256


@pytest.mark.parametrize("name", ["", "BLAKE3", "sha-256", "md5", 3, None, ["blake3"]])
def test_another_name_is_refused_with_both_that_are_not(name) -> None:
    with pytest.raises(ConfigError, match=r'bulk_hash = .* "blake3" .* "sha256"'):
        bulk_hash_by_name(name)
