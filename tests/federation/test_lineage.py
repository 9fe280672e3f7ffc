from __future__ import annotations

import hashlib

import numpy as np
import pytest

from privateyes.errors import TrainingError
from privateyes.federation.lineage import prefixed_digest, split_lineage, weights_digest

VECTOR = np.array([0.0, 1.5, -2.25, 1e-45, np.inf], dtype=np.float32)


def test_the_digest_is_that_of_its_description() -> None:
    parts = (b"privateyes weights v1", b"vector", (5).to_bytes(8, "big"), b"<f4", VECTOR.astype("<f4").tobytes())
    written = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert weights_digest(VECTOR) == hashlib.sha256(written).digest()


def test_the_sign_of_a_zero_makes_no_other_weights_and_how_they_lie_in_memory_neither() -> None:
    negative = VECTOR.copy()
    negative[0] = -0.0
    assert negative.tobytes() != VECTOR.tobytes()
    for same in (negative, np.repeat(VECTOR, 2)[::2], VECTOR.astype(">f4")):
        assert weights_digest(same) == weights_digest(VECTOR)
    assert np.signbit(negative[0])  # what was given is left as it was


@pytest.mark.parametrize("index", range(5))
def test_every_weight_counts_to_its_last_bit(index) -> None:
    other = VECTOR.copy()
    other.view(np.uint32)[index] ^= 1
    if np.isnan(other[index]):
        other[index] = -np.inf
    assert weights_digest(other) != weights_digest(VECTOR)


def test_order_and_shape_count() -> None:
    others = [VECTOR[::-1], VECTOR[:-1], np.append(VECTOR, np.float32(0)), VECTOR.reshape(1, 5), VECTOR[:0]]
    assert len({weights_digest(other) for other in (VECTOR, *others)}) == 6


@pytest.mark.parametrize("index", range(3))
def test_a_nan_has_no_digest(index) -> None:
    vector = np.ones(3, dtype=np.float32)
    vector[index] = np.nan
    with pytest.raises(TrainingError, match="NaN"):
        weights_digest(vector)


def test_parts_that_look_alike_when_joined_are_told_apart() -> None:
    assert prefixed_digest([b"ab", b"c"]) != prefixed_digest([b"a", b"bc"])
    assert prefixed_digest([b"ab", np.array([1.0])]) == prefixed_digest([b"ab", np.array([1.0]).tobytes()])


def test_a_stored_lineage_is_split_again() -> None:
    lineage = tuple(bytes([number]) * 32 for number in range(3))
    assert split_lineage(b"".join(lineage)) == lineage
    assert split_lineage(b"") == ()
