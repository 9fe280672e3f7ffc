"""Costs: what was measured, what follows from it, and which is which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.baselines.mpc.costs import Cost, extrapolate_batch, extrapolate_steps, full_steps, measured_cost
from privateyes.baselines.mpc.driver import PartyCost, Trained
from privateyes.errors import DataError


def trained(seconds: tuple[float, ...], sent: tuple[int, ...]) -> Trained:
    steps = len(seconds)
    parties = tuple(PartyCost((count,) * steps, (10,) * steps, 1.0, 1 << 20) for count in sent)
    return Trained(np.zeros(1, np.float32), seconds, tuple(2 * s for s in seconds), 2.0, 9.0, 100, parties)


def measured(batch_size: int, seconds: float, sent: int) -> Cost:
    return measured_cost("probe", "lenet", 100, batch_size, trained((99.0, seconds, seconds), (sent, sent)))


def test_means_leave_out_the_first_step_and_sums_do_not() -> None:
    cost = measured_cost("some", "lenet", 7, 4, trained((9.0, 1.0, 3.0), (100, 200, 300)))
    assert (cost.steps, cost.seconds_per_step, cost.seconds) == (3, 2.0, 13.0)
    assert cost.cpu_s_per_step == 4.0
    assert (cost.bytes_per_party, cost.bytes_per_step, cost.messages_per_step) == (600.0, 200.0, 10.0)
    assert not cost.extrapolated
    assert cost.formula == ""


def test_a_single_step_is_its_own_mean() -> None:
    assert measured_cost("some", "lenet", 7, 4, trained((9.0,), (100,))).seconds_per_step == 9.0


def test_more_steps_cost_in_proportion_and_say_that_nobody_made_them() -> None:
    cost = extrapolate_steps(measured(4, 0.5, 1000), "all", 60)
    assert (cost.seconds, cost.bytes_per_party, cost.steps) == (30.0, 60_000.0, 60)
    assert cost.extrapolated
    assert cost.formula == "measured mean step of 4 samples x 60 steps"


def test_larger_batches_follow_the_line_through_two_measured_ones() -> None:
    # 2 s and 100 bytes once a step, 0.5 s and 20 bytes for each sample.
    probes = [measured(4, 4.0, 180), measured(1, 2.5, 120)]
    cost = extrapolate_batch(probes, "all", 32, 10)
    assert cost.seconds_per_step == pytest.approx(18.0)
    assert cost.bytes_per_step == pytest.approx(740.0)
    assert cost.cpu_s_per_step == pytest.approx(36.0)
    assert cost.seconds == pytest.approx(180.0)
    assert cost.bytes_per_party == pytest.approx(7400.0)
    assert cost.extrapolated
    assert cost.formula == "line through the measured steps of 1 and 4 samples, at 32 samples, x 10 steps"


def test_noise_never_makes_a_larger_batch_cheaper() -> None:
    assert extrapolate_batch([measured(1, 3.0, 10), measured(4, 2.9, 10)], "all", 32, 1).seconds_per_step == 2.9


def test_one_batch_size_makes_no_line() -> None:
    with pytest.raises(DataError, match="two batch sizes"):
        extrapolate_batch([measured(4, 1.0, 1), measured(4, 2.0, 1)], "all", 32, 1)


def test_two_networks_make_no_line() -> None:
    with pytest.raises(DataError, match="of one network"):
        extrapolate_batch([measured(1, 1.0, 1), replace(measured(4, 2.0, 1), network="other")], "all", 32, 1)


def test_a_pooled_epoch_has_one_short_batch_at_most() -> None:
    assert full_steps([1500] * 9, 32, 15) == 15 * 422
    assert full_steps([10, 6], 16, 2) == 2


def test_a_cost_survives_json() -> None:
    cost = extrapolate_steps(measured(4, 0.5, 1000), "all", 60)
    assert Cost.from_json(cost.as_json()) == cost
    assert cost.as_json()["extrapolated"] is True
