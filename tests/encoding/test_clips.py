"""Clips for single tensors: never above the manifest's, never a grid that could wrap, and no coordinate left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from privateyes.crypto.field import COMPACT, WIDE
from privateyes.encoding.clips import ClipPlan, Segment, plan_of_pairs, segments, within
from privateyes.encoding.fixed_point import MAX_SCALE_BITS, FixedPoint, exact_clip, largest_scale_bits
from privateyes.errors import ParameterError

QUICK = settings(deadline=None)
CLIPS = st.one_of(
    st.floats(2.0**-60, 2.0**20), st.integers(-40, 10).map(lambda bits: 2.0**bits), st.sampled_from([2e-45, 1e300, 0.1])
)
PLANS = st.lists(st.tuples(st.integers(1, 9), CLIPS), min_size=1, max_size=6).map(plan_of_pairs)


@st.composite
def _encodings(draw):
    field = draw(st.sampled_from([COMPACT, WIDE]))
    clip = draw(st.floats(2.0**-10, 64.0, width=32))
    weight_max, roster_max, noise = draw(st.integers(1, 500)), draw(st.integers(1, 40)), draw(st.integers(0, 50))
    most = largest_scale_bits(field, clip, weight_max, roster_max, noise)
    assume(most is not None)
    return FixedPoint(field, clip, draw(st.integers(0, most)), weight_max, roster_max, noise)


@QUICK
@given(_encodings(), PLANS)
def test_segments_tile_the_update_and_stay_within_the_manifests_clip_and_bounds(encoding, plan) -> None:
    dimension = sum(plan.lengths)
    parts = segments(encoding, dimension, plan)
    assert [t for part in parts for t in range(part.start, part.stop)] == list(range(dimension))
    for part, length, clip in zip(parts, plan.lengths, plan.clips, strict=True):
        own = part.encoding
        assert part.stop - part.start == length
        assert own.clip == min(exact_clip(clip), encoding.clip)
        # What makes the sum safe: on its own grid no value is larger than on the manifest's.
        assert own.largest_value <= encoding.largest_value
        assert 2 * own.roster_max * (own.largest_value + own.noise_bound) < own.field.prime
        assert (own.weight_max, own.roster_max, own.noise_bound, own.field) == (
            encoding.weight_max, encoding.roster_max, encoding.noise_bound, encoding.field,
        )  # fmt: skip


@QUICK
@given(_encodings(), PLANS)
def test_a_grid_is_as_many_halvings_finer_as_its_clip_fits_into_the_manifests(encoding, plan) -> None:
    for part in segments(encoding, sum(plan.lengths), plan):
        finer = part.encoding.scale_bits - encoding.scale_bits
        assert finer >= 0
        assert math.ldexp(part.encoding.clip, finer) <= encoding.clip
        if part.encoding.scale_bits < MAX_SCALE_BITS:
            assert math.ldexp(part.encoding.clip, finer + 1) > encoding.clip


@pytest.mark.parametrize(
    ("clip", "bits"),
    [(1.0, 10), (0.75, 10), (0.5, 11), (0.3, 11), (0.25, 12), (0.2, 12), (2.0**-7, 17), (2.0**-60, 40)],
)
def test_a_clip_that_fits_twice_into_the_manifests_has_a_grid_twice_as_fine(clip, bits) -> None:
    (part,) = segments(FixedPoint(COMPACT, 1.0, 10, 4, 2), 3, ClipPlan((3,), (clip,)))
    assert part.encoding.scale_bits == bits


def test_a_segment_is_its_part_of_the_update(field) -> None:
    _, second = segments(FixedPoint(field, 1.0, 10, 4, 2), 5, ClipPlan((2, 3), (1.0, 0.5)))
    assert list(range(5))[second.span] == [2, 3, 4]


def test_a_grid_one_halving_finer_could_wrap(field) -> None:
    """So the rule is as fine as it can be, and the bound above does hold something back."""
    most = largest_scale_bits(field, 1.0, 50, 4)
    assert most is not None
    (part,) = segments(FixedPoint(field, 1.0, most, 50, 4), 3, ClipPlan((3,), (0.25,)))
    assert part.encoding.scale_bits == min(most + 2, MAX_SCALE_BITS)
    if part.encoding.scale_bits < MAX_SCALE_BITS:
        with pytest.raises(ParameterError, match="could wrap"):
            FixedPoint(field, 0.25, part.encoding.scale_bits + 1, 50, 4)


@QUICK
@given(_encodings(), PLANS, st.data())
def test_pieces_of_segments_cover_every_coordinate_once_however_the_update_is_cut(encoding, plan, data) -> None:
    dimension = sum(plan.lengths)
    parts = segments(encoding, dimension, plan)
    expected = [part.encoding for part in parts for _ in range(part.start, part.stop)]
    cuts = sorted(data.draw(st.lists(st.integers(0, dimension), max_size=5)))
    got = []
    for start, stop in zip([0, *cuts], [*cuts, dimension], strict=True):
        at = 0
        for piece in within(parts, start, stop):
            assert piece.start == at
            assert piece.start < piece.stop or start == stop
            got += [piece.encoding] * (piece.stop - piece.start)
            at = piece.stop
        assert at == stop - start
    assert got == expected


@QUICK
@given(_encodings(), st.integers(1, 50))
def test_without_a_plan_or_with_the_manifests_clip_there_is_one_encoding(encoding, dimension) -> None:
    assert segments(encoding, dimension, None) == (Segment(0, dimension, encoding),)
    for clip in (encoding.clip, encoding.clip * 2, 1e308):
        assert segments(encoding, dimension, ClipPlan((dimension,), (clip,))) == (Segment(0, dimension, encoding),)


def test_small_tensors_are_encoded_on_their_finer_grid(field) -> None:
    encoding = FixedPoint(field, 1.0, 10, 4, 2)
    first, second = segments(encoding, 4, ClipPlan((2, 2), (1.0, 2.0**-7)))
    words = np.full(2, 2**32 - 1, dtype=np.uint32)  # never up
    coarse, fine = field.zeros(2), field.zeros(2)
    values = np.array([2.0**-14, 1.0], dtype=np.float32)
    assert first.encoding.encode(values, 1, words, coarse) == 0
    assert second.encoding.encode(values, 1, words, fine) == 1
    assert coarse.tolist() == [0, 1024]
    assert fine.tolist() == [8, 1024]
    assert second.encoding.decode(field.lift(fine), 1).tolist() == [2.0**-14, 2.0**-7]


@pytest.mark.parametrize(
    ("lengths", "clips"),
    [
        ((), ()), ((3,), ()), ((3,), (1.0, 2.0)), ((0,), (1.0,)), ((-1,), (1.0,)), ((3,), (0.0,)), ((3,), (-1.0,)),
        ((3,), (math.nan,)), ((3,), (math.inf,)), ((3,), (-math.inf,)), ((3,), (1e-60,)), ((2, 1), (1.0, 0.0)),
    ],
)  # fmt: skip
def test_a_plan_that_is_not_one_positive_clip_for_each_tensor_is_refused(lengths, clips) -> None:
    with pytest.raises(ParameterError) as refusal:
        ClipPlan(lengths, clips)
    assert refusal.value.remedy


@pytest.mark.parametrize("dimension", [1, 6, 8, 1000])
def test_a_plan_for_another_model_is_refused(dimension) -> None:
    with pytest.raises(ParameterError, match="for 7 parameters"):
        segments(FixedPoint(COMPACT, 1.0, 10, 4, 2), dimension, ClipPlan((3, 4), (1.0, 1.0)))


@given(PLANS)
def test_a_plan_is_read_back_from_its_pairs(plan) -> None:
    assert plan_of_pairs(plan.pairs()) == plan
    assert plan_of_pairs([list(pair) for pair in plan.pairs()]) == plan


@pytest.mark.parametrize("pairs", [[(3,)], [(3, 1.0), (4,)], [(3, 1.0), (4, 1.0, 1.0)]])
def test_what_is_no_list_of_pairs_is_no_plan(pairs) -> None:
    with pytest.raises(ValueError, match=r"shorter|longer|unpack"):
        plan_of_pairs(pairs)


def test_no_pairs_are_no_plan() -> None:
    with pytest.raises(ParameterError):
        plan_of_pairs([])
