"""The L2 clip: whatever the update and whatever the floats do, no encoded update is longer than its limit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import CHUNK_BYTES, KeyStream
from privateyes.encoding import norm
from privateyes.encoding.clips import ClipPlan, plan_of_pairs, segments
from privateyes.encoding.fixed_point import FixedPoint, exact_clip, largest_scale_bits
from privateyes.encoding.norm import NormLimit, SquaredNorm, UpdateEncoder, smallest_bound
from privateyes.errors import TrainingError

KEY = bytes(32)
LONGEST = settings(deadline=None, max_examples=60)


def _rounding() -> KeyStream:
    return KeyStream(KEY, Label.ROUNDING, Role.CLIENT, b"")


def _words(size: int) -> list[int]:
    words = np.zeros(size, dtype="<u4")
    _rounding().fill(words.data.cast("B"))
    return words.tolist()


def _encode(delta, weight, parts, limit=None):
    """q as signed integers, and the encoder."""
    field = parts[0].encoding.field
    out = np.full(delta.size, 5, dtype=field.dtype)
    encoder = UpdateEncoder(delta, weight, _rounding(), parts, limit)
    pieces = list(encoder.pieces(out))
    assert sum(piece.size for piece in pieces) == delta.size
    assert all(piece.nbytes <= CHUNK_BYTES for piece in pieces)
    assert int(out.max()) < field.prime
    return field.lift(out), encoder


def _squared_norm(values, parts, scale_bits: int) -> Fraction:
    """||q||^2 on the manifest's grid, in fractions."""
    return sum(
        (
            Fraction(sum(int(value) ** 2 for value in values[part.span]), 4 ** (part.encoding.scale_bits - scale_bits))
            for part in parts
        ),
        Fraction(0),
    )


@st.composite
def _cases(draw):
    """An update, its weight, how it is encoded and a limit, often near the update's own norm."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    size = sum(lengths)
    field, clip = draw(st.sampled_from([COMPACT, WIDE])), draw(st.floats(2.0**-6, 8.0, width=32))
    weight = draw(st.integers(1, 300))
    most = largest_scale_bits(field, clip, 300, 4)
    assume(most is not None and most >= 6)
    encoding = FixedPoint(field, clip, draw(st.integers(6, most)), 300, 4)
    plan = plan_of_pairs([(length, clip * draw(st.sampled_from([0.01, 0.3, 1.0, 2.0]))) for length in lengths])
    parts = segments(encoding, size, draw(st.sampled_from([None, plan])))
    values = st.one_of(st.floats(-2 * clip, 2 * clip, width=32), st.sampled_from([0.0, clip, -clip, 3e38, 1e-40]))
    delta = np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype=np.float32)
    own = math.floor(clip * math.sqrt(size) * draw(st.floats(0.01, 1.5)) * 2**encoding.scale_bits)
    return delta, weight, parts, NormLimit(max(own, smallest_bound(size)), encoding.scale_bits)


@LONGEST
@given(_cases())
def test_no_encoded_update_is_longer_than_its_limit(case) -> None:
    delta, weight, parts, limit = case
    values, _ = _encode(delta, weight, parts, limit)
    assert _squared_norm(values, parts, limit.scale_bits) <= (weight * limit.bound) ** 2


@LONGEST
@given(_cases())
def test_an_update_within_its_limit_is_encoded_as_without_one(case) -> None:
    delta, weight, parts, limit = case
    plain, without = _encode(delta, weight, parts)
    values, encoder = _encode(delta, weight, parts, limit)
    room = math.sqrt((weight * limit.bound) ** 2 - delta.size / 4 - 8 * weight * limit.bound)
    clipped = [np.clip(delta[part.span].astype(np.float64), -part.encoding.clip, part.encoding.clip) for part in parts]
    length = weight * 2.0**limit.scale_bits * float(np.linalg.norm(np.concatenate(clipped)))
    assume(abs(length / room - 1) > 1e-6)
    assert encoder.shortened == (length > room)
    assert encoder.clipped == without.clipped
    if not encoder.shortened:
        assert values.tolist() == plain.tolist()


def _reference(delta, weight, parts, limit) -> tuple[list[int], bool]:
    """The same in plain Python floats and integers, one coordinate after the other."""
    total = 0.0
    for part in parts:
        values = [min(max(value, -part.encoding.clip), part.encoding.clip) for value in delta[part.span].tolist()]
        for start in range(0, len(values), CHUNK_BYTES // 4):
            chunk = values[start : start + CHUNK_BYTES // 4]
            sums = [0.0] * 4
            for t, value in enumerate(chunk):
                sums[t % 4 if t < len(chunk) - len(chunk) % 4 else 0] += value * value
            total += (sums[0] + sums[1]) + (sums[2] + sums[3])
    radius = weight * limit.bound
    room = math.isqrt(4 * radius**2 - delta.size - 32 * radius) / 2 * (1 - 2.0**-30)
    length = weight * 2.0**limit.scale_bits * math.sqrt(total)
    shrink = room / length if length > room else 1.0
    encoded, words = [], iter(_words(delta.size))
    for part in parts:
        scale = weight * 2.0**part.encoding.scale_bits * shrink
        for value in delta[part.span].tolist():
            scaled = min(max(value, -part.encoding.clip), part.encoding.clip) * scale
            encoded.append(math.floor(scaled) + (next(words) * 2.0**-32 < scaled - math.floor(scaled)))
    return encoded, shrink < 1


@LONGEST
@given(_cases())
def test_encoding_equals_a_plain_reference_bit_for_bit(case) -> None:
    values, encoder = _encode(*case)
    encoded, shortened = _reference(*case)
    assume(_squared_norm(encoded, case[2], case[3].scale_bits) <= (case[1] * case[3].bound) ** 2)
    assert (values.tolist(), encoder.shortened) == (encoded, shortened)


@pytest.mark.parametrize("plan", [None, ClipPlan((3, 70_001, 5), (0.5, 0.02, 1.0))], ids=["one clip", "three"])
def test_an_update_of_several_chunks_equals_the_reference_too(field, plan) -> None:
    delta = np.random.default_rng(5).normal(0, 0.05, 70_009).astype(np.float32)
    parts = segments(FixedPoint(field, 1.0, 12, 50, 4), delta.size, plan)
    limit = NormLimit(20_000, 12)
    values, encoder = _encode(delta, 31, parts, limit)
    assert (values.tolist(), encoder.shortened) == (_reference(delta, 31, parts, limit)[0], plan is None)
    plain, _ = _encode(delta, 31, parts)
    assert (values.tolist() == plain.tolist()) == (plan is not None)


@pytest.mark.parametrize("weight", [np.uint8(50), np.int64(50)])
def test_a_weight_may_be_a_numpy_integer(weight) -> None:
    delta = np.random.default_rng(8).normal(0, 0.4, 100).astype(np.float32)
    parts, limit = segments(FixedPoint(WIDE, 1.0, 40, 50, 4), 100, None), NormLimit(2**40, 40)
    values, _ = _encode(delta, weight, parts, limit)
    assert values.tolist() == _encode(delta, 50, parts, limit)[0].tolist()
    assert 0 <= (50 * 2**40) ** 2 - _squared_norm(values, parts, 40) < (50 * 2**40) ** 2 * 1e-8


def test_clipping_costs_no_more_than_the_reserve(field) -> None:
    """A long update comes out as long as its limit, but for d/4 + 8 w c in the square, and in its own direction."""
    delta = np.random.default_rng(6).normal(0, 0.1, 10_000).astype(np.float32)
    parts, limit, weight = segments(FixedPoint(field, 1.0, 12, 50, 4), delta.size, None), NormLimit(6400, 12), 7
    values, _ = _encode(delta, weight, parts, limit)
    radius, length = weight * limit.bound, float(np.linalg.norm(values.astype(np.float64)))
    assert 0 <= radius**2 - length**2 < 2 * (delta.size / 4 + 8 * radius)
    along = float(values @ delta.astype(np.float64)) / (length * float(np.linalg.norm(delta)))
    assert along > 1 - 1e-4


def _wrong_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floats that say nothing: the factor is a tenth too large."""
    right = NormLimit.shrink
    monkeypatch.setattr(NormLimit, "shrink", lambda *given: min(1.0, right(*given) * 1.1))


PLANS = [None, ClipPlan((40, 60), (0.01, 1.0))]


@pytest.mark.parametrize("plan", PLANS, ids=["one grid", "two grids"])
def test_whatever_the_floats_say_the_integers_hold_the_limit(field, plan, monkeypatch: pytest.MonkeyPatch) -> None:
    delta = np.random.default_rng(7).normal(0, 0.4, 100).astype(np.float32)
    parts, limit = segments(FixedPoint(field, 1.0, 12, 50, 4), 100, plan), NormLimit(4096, 12)
    _wrong_scale(monkeypatch)
    values, encoder = _encode(delta, 9, parts, limit)
    squared = _squared_norm(values, parts, 12)
    assert encoder.shortened
    assert (9 * 4096 - 20) ** 2 < squared <= (9 * 4096) ** 2, "shortened to the limit, and not beyond need"
    assert np.sign(values).tolist() == np.sign(delta).tolist()


@pytest.mark.parametrize("plan", PLANS, ids=["one grid", "two grids"])
def test_without_the_integer_test_a_wrong_float_exceeds_the_limit(field, plan, monkeypatch: pytest.MonkeyPatch) -> None:
    delta = np.random.default_rng(7).normal(0, 0.4, 100).astype(np.float32)
    parts, limit = segments(FixedPoint(field, 1.0, 12, 50, 4), 100, plan), NormLimit(4096, 12)
    _wrong_scale(monkeypatch)
    monkeypatch.setattr(norm, "_scale_down", lambda *_: None)
    values, _ = _encode(delta, 9, parts, limit)
    assert _squared_norm(values, parts, 12) > (9 * 4096) ** 2


@LONGEST
@given(st.integers(1, 2**60), st.integers(1, 12), st.integers(0, 2**32))
def test_scaling_down_never_leaves_more_than_the_limit(largest, size, seed) -> None:
    values = np.random.default_rng(seed).integers(-largest, largest, size, endpoint=True)
    assume(values.any())
    parts = segments(FixedPoint(WIDE, 1.0, 0, 1, 1), size, None)
    squared = sum(int(value) ** 2 for value in values.tolist())
    radius = math.isqrt(squared - 1)
    out = (values.astype(object) % WIDE.prime).astype(np.uint64)
    norm._scale_down(WIDE, out, radius, squared)
    shorter = SquaredNorm(parts)
    shorter.add(0, WIDE.lift(out))
    assert shorter.total <= radius**2
    assert all(abs(int(a)) <= abs(int(b)) for a, b in zip(WIDE.lift(out), values, strict=True))


@LONGEST
@given(_cases(), st.integers(1, 4))
def test_a_sum_of_such_updates_passes_for_the_sum_of_their_weights(case, count) -> None:
    """Even where they all point the same way."""
    delta, weight, parts, limit = case
    values, _ = _encode(delta, weight, parts, limit)
    total = SquaredNorm(parts)
    total.add(0, values * count)
    assert not total.exceeds(limit, weight * count)


def test_a_sum_at_its_limit_passes_and_one_step_more_fails(field) -> None:
    encoding = FixedPoint(field, 1.0, 4, 1, 2)
    for last, exceeds in ((0, False), (1, True)):
        total = SquaredNorm(segments(encoding, 3, None))
        total.add(0, np.array([-3, 4]))
        total.add(2, np.array([last]))
        assert total.exceeds(NormLimit(5, 4), 1) is exceeds


def test_squares_on_a_finer_grid_weigh_less() -> None:
    """A quarter of the clip gives a grid two halvings finer, on which the same step is a quarter as long."""
    parts = segments(FixedPoint(WIDE, 1.0, 4, 1, 2), 2, ClipPlan((1, 1), (1.0, 0.25)))
    for values, exceeds in (((3, 16), False), ((3, 17), True), ((4, 12), False), ((4, 13), True)):
        total = SquaredNorm(parts)
        total.add(0, np.array(values))
        assert total.exceeds(NormLimit(5, 4), 1) is exceeds


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3, 4, 6])
def test_a_value_that_is_not_finite_is_refused_under_a_limit_too(field, bad, position) -> None:
    delta = np.full(7, 0.9, np.float32)
    delta[position] = bad
    parts = segments(FixedPoint(field, 1.0, 8, 3, 2), 7, None)
    with pytest.raises(TrainingError, match="NaN or an infinite value"):
        _encode(delta, 1, parts, NormLimit(100, 8))


@given(st.integers(1, 2**32), st.integers(1, 2**24))
def test_the_smallest_bound_is_four_roots_of_d_and_leaves_room_for_every_weight(dimension, weight) -> None:
    bound = smallest_bound(dimension)
    assert bound**2 >= 16 * dimension
    assert bound == 9 or (bound - 1) ** 2 < 16 * dimension
    assert 0 < NormLimit(bound, 0).shrink(1e30, weight, dimension) < 1


def test_a_smaller_bound_may_leave_no_room_at_all() -> None:
    with pytest.raises(ValueError, match="nonnegative"):
        NormLimit(8, 0).shrink(1.0, 1, 1)


def test_the_reserve_covers_the_largest_error_of_a_float_norm() -> None:
    """Whole chunks in four sums, then one addition for each chunk: relative error at most 2^17 halves of an ulp."""
    in_a_row = CHUNK_BYTES // 4 // 4 + 3 + 2 + (2**32 * 4 // CHUNK_BYTES)
    assert in_a_row * 2.0**-53 < norm.FLOAT_RESERVE / 16
    assert exact_clip(float(np.finfo(np.float32).max)) ** 2 * 2**32 < np.finfo(np.float64).max


def test_the_factor_is_the_stated_number() -> None:
    """One root, one product and one quotient: exact, as clients on other machines must find the same."""
    radius, dimension = 3 * 40_009, 432_000
    target = math.isqrt(4 * radius**2 - dimension - 32 * radius) / 2 * (1 - norm.FLOAT_RESERVE)
    assert math.isqrt(4 * radius**2 - dimension - 33 * radius) != math.isqrt(4 * radius**2 - dimension - 32 * radius)
    assert NormLimit(40_009, 2).shrink(1e6, 3, dimension) == target / (3 * 4.0 * 1e6)
    assert NormLimit(40_009, 2).shrink(target / 12, 3, dimension) == 1.0


def test_without_a_limit_nothing_is_shortened_and_what_was_clipped_is_counted(field) -> None:
    delta = np.array([0.5, -3.0, 2.0, 0.0, 1.5], np.float32)
    encoder = UpdateEncoder(delta, 2, _rounding(), segments(FixedPoint(field, 1.0, 8, 3, 2), 5, None))
    list(encoder.pieces(field.zeros(5)))
    assert (encoder.clipped, encoder.shortened) == (3, False)


def test_the_pieces_are_as_large_as_fit_and_none_is_empty(field) -> None:
    most = CHUNK_BYTES // field.dtype.itemsize
    for size, expected in ((1, [1]), (most, [most]), (2 * most, [most, most]), (2 * most + 3, [most, most, 3])):
        assert [piece.size for piece in norm._cut(field.zeros(size))] == expected


@pytest.mark.parametrize(
    ("values", "radius", "expected"),
    [
        ([3, -4], 4, [2, -3]),  # of norm 5 exactly
        ([3, -4, 1], 4, [2, -2, 0]),  # the norm is rounded up, to 6
        ([0, -2, 0], 1, [0, -1, 0]),
    ],
)
def test_scaling_down_gives_the_stated_integers(values, radius, expected) -> None:
    out = np.array([value % WIDE.prime for value in values], dtype=np.uint64)
    norm._scale_down(WIDE, out, radius, sum(value**2 for value in values))
    assert WIDE.lift(out).tolist() == expected


def test_a_float_norm_is_summed_chunk_by_chunk_and_each_coordinate_once() -> None:
    size = CHUNK_BYTES // 4 * 2 + 5
    delta = np.random.default_rng(3).normal(0, 1e-3, size).astype(np.float32)
    delta[: CHUNK_BYTES // 8] *= 1e3
    (part,) = segments(FixedPoint(WIDE, 8.0, 12, 50, 4), size, None)
    steps = [delta[start : start + CHUNK_BYTES // 4] for start in range(0, size, CHUNK_BYTES // 4)]
    clip = np.float64(8.0)
    by_chunk = math.sqrt(sum(norm._squared_norm(step, clip) for step in steps))
    assert norm.clipped_norm(delta, (part,)) == by_chunk
    assert math.sqrt(norm._squared_norm(delta, clip)) != by_chunk, "the order of the sum shows: the test sees a change"


@pytest.mark.parametrize("plan", [None, (0.02, 0.25)], ids=["one clip", "two"])
def test_the_integers_hold_the_limit_over_several_chunks_too(field, plan, monkeypatch: pytest.MonkeyPatch) -> None:
    half = CHUNK_BYTES // 4
    delta = np.random.default_rng(9).normal(0, 0.2, 2 * half).astype(np.float32)
    parts = segments(FixedPoint(field, 1.0, 12, 3, 2), 2 * half, plan and ClipPlan((half, half), plan))
    monkeypatch.setattr(NormLimit, "shrink", lambda *_: 1.0)  # the floats see nothing
    values, encoder = _encode(delta, 1, parts, NormLimit(150_000, 12))
    assert encoder.shortened
    assert 149_000**2 < _squared_norm(values, parts, 12) <= 150_000**2
