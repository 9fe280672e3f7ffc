"""Floats to the grid and back: exact up to the rounding that is meant, unbiased, and never wrapping."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from privateyes.crypto.field import COMPACT, WIDE
from privateyes.encoding.fixed_point import MAX_WEIGHT, FixedPoint, exact_clip, largest_scale_bits
from privateyes.errors import ParameterError, TrainingError

QUICK = settings(deadline=None)
FIELDS = st.sampled_from([COMPACT, WIDE])
CLIPS = st.floats(2.0**-20, 64.0, width=32)
ROUNDING_NEVER, ROUNDING_ALWAYS = 2**32 - 1, 0


@st.composite
def _encodings(draw):
    field, clip = draw(FIELDS), draw(CLIPS)
    weight_max, roster_max = draw(st.integers(1, 1000)), draw(st.integers(1, 50))
    most = largest_scale_bits(field, clip, weight_max, roster_max)
    assume(most is not None)
    return FixedPoint(field, clip, draw(st.integers(0, most)), weight_max, roster_max)


def _encode(encoding, delta, weight, rounding):
    values = np.array(delta, dtype=np.float32)
    out = np.full(values.size, 5, dtype=encoding.field.dtype)
    clipped = encoding.encode(values, weight, np.array(rounding, dtype=np.uint32), out)
    assert values.size == 0 or int(out.max()) < encoding.field.prime
    return encoding.field.lift(out).tolist(), clipped


@QUICK
@given(_encodings(), st.data())
def test_an_encoded_value_is_one_of_the_two_grid_points_around_the_exact_one(encoding, data) -> None:
    any_float = st.floats(-2 * encoding.clip, 2 * encoding.clip, width=32)
    edges = st.sampled_from([0.0, -0.0, encoding.clip, -encoding.clip, 1e-45, -1e-45, 3.4028234663852886e38])
    delta = data.draw(st.lists(st.one_of(any_float, edges), max_size=12))
    weight = data.draw(st.integers(1, encoding.weight_max))
    rounding = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=len(delta), max_size=len(delta)))
    encoded, clipped = _encode(encoding, delta, weight, rounding)
    clip = Fraction(encoding.clip)
    for value, word, got in zip(delta, rounding, encoded, strict=True):
        exact = max(-clip, min(clip, Fraction(value))) * weight * 2**encoding.scale_bits
        assert abs(got - exact) < 1
        assert abs(got) <= encoding.largest_value
        if exact.denominator == 1:
            assert got == exact
        elif abs(exact) > Fraction(1, 2**16):
            assert got == math.floor(exact) + (Fraction(word, 2**32) < exact - math.floor(exact))
    assert clipped == sum(abs(value) > encoding.clip for value in delta)


@QUICK
@given(_encodings(), st.data())
def test_the_decoded_average_is_within_the_bound_of_the_exact_weighted_mean(encoding, data) -> None:
    count = data.draw(st.integers(1, min(8, encoding.roster_max)))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    deltas = generator.uniform(-1.5 * encoding.clip, 1.5 * encoding.clip, (count, 6)).astype(np.float32)
    weights = [int(w) for w in generator.integers(1, encoding.weight_max + 1, count)]
    rounding = generator.integers(0, 2**32, (count, 6), dtype=np.uint64)
    encoded = [_encode(encoding, *case)[0] for case in zip(deltas, weights, rounding, strict=True)]
    total, weight = np.sum(encoded, axis=0, dtype=np.int64), sum(weights)
    decoded = encoding.decode(total, weight)
    clip = Fraction(encoding.clip)
    for t in range(6):
        exact = (
            sum(w * max(-clip, min(clip, Fraction(float(d[t])))) for w, d in zip(weights, deltas, strict=True)) / weight
        )
        assert abs(Fraction(int(total[t]), weight * 2**encoding.scale_bits) - exact) < Fraction(
            count, weight * 2**encoding.scale_bits
        )
        assert abs(Fraction(float(decoded[t])) - exact) <= encoding.deviation_bound(count, weight)
        assert abs(int(total[t])) <= encoding.sum_bound(count, weight)


def _mean_error(round_with, samples: int = 40_000) -> tuple[float, float]:
    """Mean signed rounding error on the grid for values 0.3 above a grid point, and its standard error."""
    encoding = FixedPoint(COMPACT, 1.0, 10, 1, 2)
    value = np.float32((5 + 0.3) / 2**10)
    words = np.random.default_rng(3).integers(0, 2**32, samples, dtype=np.uint64)
    encoded, _ = _encode(encoding, np.full(samples, value), 1, round_with(words))
    exact = float(value) * 2**10
    return float(np.mean(encoded) - exact), float(np.std(encoded) / np.sqrt(samples))


def test_rounding_is_unbiased_and_truncation_would_not_pass() -> None:
    error, spread = _mean_error(lambda words: words)
    assert 0 < spread < 0.003
    assert abs(error) < 5 * spread
    truncated, _ = _mean_error(lambda words: np.full_like(words, ROUNDING_NEVER))
    assert abs(truncated) > 50 * spread
    for scale in (2 / 3, 3 / 2):
        skewed, own = _mean_error(lambda words, k=scale: np.minimum(words * k, ROUNDING_NEVER).astype(np.uint64))
        assert abs(skewed) > 10 * own


@pytest.mark.parametrize("sign", [1, -1])
def test_negative_values_round_as_fairly_as_positive_ones(sign) -> None:
    encoding = FixedPoint(WIDE, 1.0, 8, 3, 2)
    samples = 20_000
    words = np.random.default_rng(4).integers(0, 2**32, samples, dtype=np.uint64)
    value = np.float32(sign * 0.777)
    encoded, _ = _encode(encoding, np.full(samples, value), 3, words)
    assert abs(np.mean(encoded) - float(value) * 3 * 2**8) < 5 * 0.5 / np.sqrt(samples)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_value_that_is_not_finite_is_refused_wherever_it_stands(field, bad, position) -> None:
    encoding = FixedPoint(field, 1.0, 4, 3, 2)
    delta = np.zeros(7, np.float32)
    delta[position] = bad
    with pytest.raises(TrainingError, match="NaN or an infinite value"):
        _encode(encoding, delta, 1, [0] * 7)


def test_exactly_the_clip_is_not_counted_as_clipped(field) -> None:
    encoding = FixedPoint(field, 0.25, 4, 3, 2)
    above = float(np.nextafter(np.float32(0.25), np.float32(1)))
    encoded, clipped = _encode(encoding, [0.25, -0.25, above, -above, 0.0, -0.0], 3, [ROUNDING_ALWAYS] * 6)
    assert encoded == [12, -12, 12, -12, 0, 0]
    assert clipped == 2


@QUICK
@given(FIELDS, CLIPS, st.integers(1, 4000), st.integers(1, 60), st.integers(0, 100))
def test_the_finest_scale_does_not_wrap_and_the_next_one_would(field, clip, weight_max, roster_max, noise) -> None:
    most = largest_scale_bits(field, clip, weight_max, roster_max, noise)
    assume(most is not None)
    encoding = FixedPoint(field, clip, most, weight_max, roster_max, noise)
    assert 2 * roster_max * (encoding.largest_value + noise) < field.prime
    assert encoding.largest_value == math.ceil(weight_max * Fraction(clip) * 2**most)
    if most < 40:
        assert 2 * roster_max * (math.ceil(weight_max * Fraction(clip) * 2 ** (most + 1)) + noise) >= field.prime
        with pytest.raises(ParameterError, match=f"could wrap.*use scale_bits = {most} or less"):
            FixedPoint(field, clip, most + 1, weight_max, roster_max, noise)


def test_at_the_exact_limit_the_largest_possible_sum_is_still_read_back(field) -> None:
    """clip = 1 and R = 1: the largest weight that fits encodes to just below p/2, and twice as much would wrap."""
    bits = 6 if field is COMPACT else 36
    weight = min(MAX_WEIGHT, (field.prime // 2) >> bits)
    encoding = FixedPoint(field, 1.0, bits, weight, 1)
    for delta, sign in ((1.0, 1), (-1.0, -1)):
        encoded, _ = _encode(encoding, [delta], weight, [0])
        assert encoded == [sign * weight * 2**bits]
        assert abs(encoded[0]) < field.prime / 2
    with pytest.raises(ParameterError):
        FixedPoint(field, 1.0, bits, weight, 2)


def test_one_more_unit_of_noise_at_the_limit_is_refused() -> None:
    room = COMPACT.prime // 2 - 16
    FixedPoint(COMPACT, 1.0, 4, 1, 1, room)
    with pytest.raises(ParameterError, match="could wrap"):
        FixedPoint(COMPACT, 1.0, 4, 1, 1, room + 1)


@pytest.mark.parametrize(("room", "bits"), [(16, 4), (17, 4), (31, 4), (32, 5), (2, 1), (1, 0), (0, None)])
def test_the_finest_scale_leaves_room_for_the_noise_and_none_may_be_left(room, bits) -> None:
    assert largest_scale_bits(COMPACT, 1.0, 1, 1, COMPACT.prime // 2 - room) == bits


def test_without_a_bound_there_is_no_noise() -> None:
    assert FixedPoint(COMPACT, 1.0, 4, 3, 2).noise_bound == 0
    weight = COMPACT.prime // 2
    assert largest_scale_bits(COMPACT, 1.0, weight, 1) == 0
    assert largest_scale_bits(COMPACT, 1.0, weight + 1, 1) is None


def test_the_bounds_are_those_of_the_protocol(field) -> None:
    encoding = FixedPoint(field, 1.5, 10, 9, 5, 3)
    assert encoding.sum_bound(4, 7) == 7 * 1536 + 4 * (1 + 3)
    assert encoding.deviation_bound(4, 7) == 4 / (7 * 2**10) + 6 * 2**-52
    fraction = FixedPoint(field, float(np.float32(0.3)), 4, 9, 5)
    assert fraction.sum_bound(4, 7) == math.floor(7 * 0.3 * 2**4) + 4


def test_weights_that_could_wrap_their_own_sum_are_refused() -> None:
    with pytest.raises(ParameterError, match="wrap the sum of the weights"):
        FixedPoint(COMPACT, 2.0**-30, 0, MAX_WEIGHT, 64)
    FixedPoint(COMPACT, 2.0**-30, 0, MAX_WEIGHT, 63)


@pytest.mark.parametrize(
    "changes",
    [
        {"clip": 0.0}, {"clip": -1.0}, {"clip": math.nan}, {"clip": math.inf}, {"clip": 0.1}, {"clip": 1e-60},
        {"clip": 1 + 2.0**-30}, {"weight_max": 0}, {"weight_max": MAX_WEIGHT + 1}, {"scale_bits": -1},
        {"scale_bits": 41}, {"roster_max": 0}, {"noise_bound": -1}, {"clip": 1e300},
    ],
    ids=str,
)  # fmt: skip
def test_an_impossible_parameter_is_refused_with_a_remedy(changes) -> None:
    values = {"field": WIDE, "clip": 1.0, "scale_bits": 4, "weight_max": 9, "roster_max": 5, "noise_bound": 0}
    FixedPoint(**values)
    with pytest.raises(ParameterError) as refusal:
        FixedPoint(**{**values, **changes})
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("clip", "better"),
    [(0.1, float(np.nextafter(np.float32(0.1), np.float32(0)))), (-0.5, 0.5), (0.0, 1.0), (math.inf, 1.0)],
)
def test_the_remedy_for_a_clip_is_one_that_is_taken(clip, better) -> None:
    with pytest.raises(ParameterError) as refusal:
        FixedPoint(WIDE, clip, 4, 9, 5)
    assert refusal.value.remedy == f"use {better!r}"
    FixedPoint(WIDE, better, 4, 9, 5)


def test_a_wide_task_is_not_told_to_become_wide() -> None:
    with pytest.raises(ParameterError) as refusal:
        FixedPoint(WIDE, 64.0, 40, 10**6, 1000)
    assert 'field = "wide"' not in refusal.value.remedy
    with pytest.raises(ParameterError, match='or field = "wide"'):
        FixedPoint(COMPACT, 64.0, 40, 10**3, 1000)


@given(st.floats(1e-30, 1e30))
def test_the_exact_clip_is_the_largest_float32_below(clip) -> None:
    exact = exact_clip(clip)
    assert float(np.float32(exact)) == exact
    assert exact <= clip
    assert float(np.nextafter(np.float32(exact), np.float32(np.inf))) > clip
