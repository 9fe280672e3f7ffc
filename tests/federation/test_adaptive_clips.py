"""Clips follow the updates, and never pass the manifest's."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.crypto.field import COMPACT
from privateyes.encoding.clips import segments
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.federation.adaptive_clips import SMALLEST_CLIP, AdaptiveClips
from privateyes.federation.rounds import ServerState

POLICY = AdaptiveClips(lengths=(3, 2, 4), headroom=8.0, largest=1.0)


def test_every_tensor_starts_from_the_manifests_clip() -> None:
    assert POLICY.initial().clips == (1.0, 1.0, 1.0)


def test_a_clip_is_the_next_power_of_two_above_the_headroom_and_never_above_the_manifests() -> None:
    mean = np.array([0.001, -0.002, 0, 5.0, 0, 0, 0, 0, 0])
    small, large, silent = POLICY.following(mean).clips
    assert small == 2.0**-5
    assert 8 * 0.002 < small <= 16 * 0.002
    assert large == 1.0
    assert silent == SMALLEST_CLIP


@pytest.mark.parametrize("value", [2.0**-6, 2.0**-6 - 2.0**-30, 2.0**-7 + 2.0**-30])
def test_a_clip_always_leaves_the_headroom(value) -> None:
    clip = POLICY.following(np.full(9, value)).clips[0]
    assert clip >= 8 * value
    assert clip <= 16 * value


def test_smaller_clips_refine_the_grid_and_still_cannot_wrap() -> None:
    bits = largest_scale_bits(COMPACT, 1.0, 1000, 15)
    assert bits is not None
    encoding = FixedPoint(COMPACT, 1.0, bits, 1000, 15)
    plan = POLICY.following(np.array([0.001, 0, 0, 0.01, 0, 0, 0, 0, 0]))
    parts = segments(encoding, 9, plan)
    assert [part.encoding.scale_bits - bits for part in parts] == [6, 3, 20]
    assert all(2 * 15 * part.encoding.largest_value < COMPACT.prime for part in parts)


def test_two_states_that_differ_in_one_clip_have_different_ids() -> None:
    vector = np.zeros(9, dtype=np.float32)
    plain = ServerState(vector)
    first = ServerState(vector, clips=POLICY.initial())
    other = ServerState(vector, clips=POLICY.following(np.full(9, 0.01)))
    merged = ServerState(vector, clips=AdaptiveClips((5, 4), 8.0, 1.0).initial())
    assert len({state.digest() for state in (plain, first, other, merged)}) == 4
