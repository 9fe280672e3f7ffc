"""29. An inflated adaptive clip: capped by the manifest.

Clips belong to the training state. Whoever makes that state, the coalition included, can tell all clients a huge clip;
what the cap protects is how far one update, or the blind shift of a corrupt client, can move the average.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.result import Check
from privateyes.encoding import clips
from privateyes.encoding.clips import ClipPlan

INFLATED, CAPPED = ClipPlan((4, 3), (8.0, 0.5)), ClipPlan((4, 3), (1.0, 0.5))


def _play(network, plan, value: float = 100.0) -> None:
    for actor in network.clients.values():
        actor.clips, actor.delta, actor.weight = plan, np.full(network.d, value, np.float32), 2
    network.play()


def test_an_inflated_clip_clips_like_the_manifests(coalition) -> None:
    _play(coalition, INFLATED)
    for i in coalition.honest_clients:
        (average,) = coalition.clients[i].accepted
        assert average.mean.tolist() == [1.0] * 4 + [0.5] * 3


def test_an_inflated_clip_and_the_manifests_are_the_same_task_to_every_client(coalition) -> None:
    """Some clients hold the inflated plan and some the capped one: their grids agree, so their average is the same."""
    for i, actor in coalition.clients.items():
        actor.clips = INFLATED if i % 2 else CAPPED
    coalition.play()
    assert len({coalition.clients[i].memory.state.digest for i in coalition.honest_clients}) == 1
    assert not coalition.nobody_accepted()


def _shift_one_coordinate_to(network, mean: float, plan) -> None:
    """The blind shift of the corrupt client, as large as the adversary likes, under everybody's inflated clips."""
    encoding = network.world.encoding
    scale = encoding.scale_bits - (0 if plan is CAPPED else int(math.log2(plan.clips[0])))
    network.hub.shift = lambda share: network.shifted(share, network.matching({0: int(mean * 8 * 2**scale)}))
    _play(network, plan, value=0.0)


@pytest.mark.parametrize("mean", [1.5, 8.0])
def test_a_shift_beyond_the_manifests_clip_is_refused_whatever_the_plan_says(coalition, mean) -> None:
    """On the capped grid the same mean is eight times as many steps as on the inflated one, where it is allowed."""
    encoding = coalition.world.encoding
    coalition.hub.shift = lambda share: coalition.shifted(
        share, coalition.matching({0: int(mean * 8 * 2**encoding.scale_bits)})
    )
    _play(coalition, INFLATED, value=0.0)
    assert {coalition.refusal_of(f"client {i}").check for i in coalition.honest_clients} == {Check.RANGE}
    assert coalition.nobody_accepted()


def test_without_the_cap_one_client_moves_the_average_by_the_inflated_clip(
    make_network, case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The double makes the grid coarser by as much as the clip is larger, so nothing wraps."""

    def uncapped(encoding, clip):
        coarser = max(0, round(math.log2(clip / encoding.clip)))
        return replace(encoding, clip=clip, scale_bits=encoding.scale_bits - coarser)

    monkeypatch.setattr(clips, "_tightened", uncapped)
    network = make_network(**case)
    _shift_one_coordinate_to(network, 8.0, INFLATED)
    for i in network.honest_clients:
        (average,) = network.clients[i].accepted
        assert average.mean[0] == 8.0


@pytest.mark.parametrize("clip", [math.inf, -1.0, 0.0, math.nan])
def test_a_clip_that_is_no_clip_is_no_plan(clip) -> None:
    from privateyes.errors import ParameterError

    with pytest.raises(ParameterError):
        ClipPlan((4, 3), (clip, 0.5))
