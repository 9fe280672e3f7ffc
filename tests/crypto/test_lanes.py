"""Lanes give what one lane gives, in order, and what fails in one of them comes out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.commitment import LEAF_BYTES, MerkleTree, merkle_root
from privateyes.crypto.field import COMPACT
from privateyes.crypto.lanes import ONE_LANE, Lanes


def test_one_lane_is_the_built_in_map() -> None:
    assert ONE_LANE.count == 1
    assert list(ONE_LANE.run(lambda item: item * 2, [3, 1, 2])) == [6, 2, 4]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_threads_give_their_results_in_the_order_of_the_items(count) -> None:
    with ThreadPoolExecutor(count) as threads:
        lanes = Lanes(count, threads.map)
        assert list(lanes.run(lambda item: item * item, range(50))) == [item * item for item in range(50)]


def test_what_fails_in_a_lane_comes_out() -> None:
    with ThreadPoolExecutor(2) as threads:
        lanes = Lanes(2, threads.map)
        with pytest.raises(ZeroDivisionError):
            list(lanes.run(lambda item: 1 // item, [1, 0, 1]))


@settings(deadline=None, max_examples=20)
@given(
    bulk=st.sampled_from(BulkHash),
    leaves=st.integers(0, 20),
    extra=st.integers(0, LEAF_BYTES // 4 - 1),
    piece=st.integers(LEAF_BYTES // 12, LEAF_BYTES),
    count=st.integers(1, 4),
)
def test_a_root_does_not_depend_on_the_lanes_or_on_the_pieces(bulk, leaves, extra, piece, count) -> None:
    vector = np.arange(leaves * LEAF_BYTES // 4 + extra, dtype=COMPACT.dtype)
    expected = merkle_root(vector, bulk)
    with ThreadPoolExecutor(count) as threads:
        lanes = Lanes(count, threads.map)
        assert merkle_root(vector, bulk, lanes) == expected
        tree = MerkleTree(bulk)
        for start in range(0, vector.size, piece):
            tree.update(vector[start : start + piece], lanes)
        assert tree.root() == expected


def test_leaves_that_came_back_in_another_order_would_give_another_root() -> None:
    """The order matters, so the test above can fail."""
    vector = np.arange(20 * LEAF_BYTES // 4, dtype=COMPACT.dtype)
    backwards = Lanes(1, lambda work, items: list(map(work, items))[::-1])
    assert merkle_root(vector, BulkHash.BLAKE3, backwards) != merkle_root(vector, BulkHash.BLAKE3)
