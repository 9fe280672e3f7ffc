"""Tags are the tensor product written out, and add up as vectors do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, scratch_words

KEY, SID = bytes([4]) * 32, bytes([5]) * 32


def _vector(field, coordinates: int, seed: int):
    return np.random.default_rng(seed).integers(0, field.prime, coordinates, dtype=np.uint64).astype(field.dtype)


def _tags(challenge: TensorChallenge, vector, pads: int, *cuts: int) -> list[int]:
    accumulator = challenge.accumulator()
    for start, end in zip([0, *cuts], [*cuts, vector.size], strict=True):
        accumulator.update(vector[start:end])
    return accumulator.tags(pads).tolist()


@pytest.mark.parametrize("coordinates", [2, 3, 4, 5, 15, 16, 17, 99, 100, 101, 300])
def test_tags_equal_the_definition_however_the_vector_is_cut(field, coordinates) -> None:
    challenge = TensorChallenge(field, coordinates, KEY, SID)
    vector = _vector(field, coordinates, 1)
    width = math.ceil(math.sqrt(coordinates))
    assert challenge._columns.shape == (field.tags, width)
    assert challenge._rows.shape == (field.tags, math.ceil(coordinates / width))
    expected = [
        sum(int(a[t // width]) * int(b[t % width]) * int(vector[t]) for t in range(coordinates)) % field.prime
        for a, b in zip(challenge._rows, challenge._columns, strict=True)
    ]
    pads = [int(pad) for pad in challenge._pads]
    middle = coordinates // 2
    for cuts in ((), (1,), (middle,), (1, middle) if middle > 1 else ()):
        got = _tags(challenge, vector, 3, *cuts)
        assert got == [(tag + 3 * pad) % field.prime for tag, pad in zip(expected, pads, strict=True)]


def test_the_tags_of_a_sum_are_the_sum_of_the_tags(field) -> None:
    challenge = TensorChallenge(field, 50, KEY, SID)
    vectors = [_vector(field, 50, seed) for seed in range(3)]
    summed = [sum(column) % field.prime for column in zip(*(_tags(challenge, v, 1) for v in vectors), strict=True)]
    total = vectors[0]
    for vector in vectors[1:]:
        total = field.add(total, vector)
    assert _tags(challenge, total, 3) == summed
    assert _tags(challenge, total, 2) != summed


def test_all_secrets_of_a_challenge_differ_and_depend_on_key_and_session(field) -> None:
    base = TensorChallenge(field, 100, KEY, SID)
    drawn = [base._rows, base._columns, base._pads[:, None]]
    drawn += [TensorChallenge(field, 100, SID, SID)._rows, TensorChallenge(field, 100, KEY, KEY)._rows]
    rows = [tuple(row.tolist()) for array in drawn for row in array]
    assert len(set(rows)) == len(rows)


def test_the_vectors_of_a_kind_follow_each_other_in_one_stream(field) -> None:
    challenge = TensorChallenge(field, 100, KEY, SID)
    kinds = [
        (challenge._rows, Label.CHALLENGE_A, Label.CHALLENGE_A_TAIL),
        (challenge._columns, Label.CHALLENGE_B, Label.CHALLENGE_B_TAIL),
        (challenge._pads, Label.PAD, Label.PAD_TAIL),
    ]
    for drawn, label, tail in kinds:
        stream = ElementStream(field, KEY, (label, tail), Role.ALL, SID, scratch=scratch_words(field))
        assert stream.read(drawn.size).tolist() == drawn.ravel().tolist()


def test_no_repr_shows_a_secret(field) -> None:
    challenge = TensorChallenge(field, 100, KEY, SID)
    for shown in (repr(challenge), repr(challenge.accumulator())):
        assert str(int(challenge._pads[0])) not in shown
