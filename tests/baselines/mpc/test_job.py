"""What may be trained under MPC, and what identifies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from privateyes.baselines.mpc.job import (
    Network,
    Owner,
    Sgd,
    TrainingJob,
    check_job,
    plan_batches,
    protocol_for,
    public_part,
    split_vector,
)
from privateyes.baselines.mpc.protocols import PROTOCOLS
from privateyes.errors import ConfigError, DataError

Make = Callable[..., TrainingJob]


def test_every_epoch_passes_over_every_sample_once() -> None:
    plan = plan_batches(10, 4, 3, seed=1)
    assert [len(rows) for rows in plan] == [4, 4, 2] * 3
    for epoch in range(3):
        assert sorted(sum(plan[3 * epoch : 3 * epoch + 3], ())) == list(range(10))
    assert plan[:3] != plan[3:6]


def test_batches_are_shuffled_as_in_local_training() -> None:
    order = torch.Generator().manual_seed(7)
    expected = torch.randperm(10, generator=order).tolist() + torch.randperm(10, generator=order).tolist()
    assert list(sum(plan_batches(10, 3, 2, seed=7), ())) == expected


@pytest.mark.parametrize(("name", "count"), [("aby3", 3), ("cheetah", 2), ("semi2k", 3)])
def test_a_protocol_has_its_usual_number_of_parties(name: str, count: int) -> None:
    assert protocol_for(name, None) == (PROTOCOLS[name], count)


@pytest.mark.parametrize(
    ("name", "parties", "told"),
    [
        ("aby3", 2, "mpc.parties = 2, but the protocol aby3 takes 3; set it to 3"),
        ("cheetah", 3, "takes 2;"),
        ("semi2k", 8, "takes 2 to 7;"),
        ("aby4", None, 'mpc.protocol = "aby4" is not known; choose from: aby3, cheetah, semi2k'),
    ],
)
def test_a_protocol_refuses_other_numbers_of_parties(name: str, parties: int | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        protocol_for(name, parties)


def test_every_protocol_says_that_it_is_weaker_than_ours() -> None:
    for protocol in PROTOCOLS.values():
        assert protocol.threat_model.startswith("semi-honest")
        assert "weaker than ours" in protocol.threat_model
    assert "party 0 trusted" in PROTOCOLS["semi2k"].threat_model


def _with_row(array: Any, value: float) -> Any:
    changed = array.copy()
    changed[1, 1] = value
    return changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda o: replace(o, features=_with_row(o.features, np.nan)), "owner p01: features hold NaN"),
        (lambda o: replace(o, targets=_with_row(o.targets, 2e6)), "owner p01: targets hold NaN, infinity or a value"),
        (lambda o: replace(o, targets=o.targets[:-1]), "owner p01: targets are float32"),
        (lambda o: replace(o, features=o.features[:0], targets=o.targets[:0]), "at least one sample"),
        (lambda o: replace(o, features=o.features.astype(np.float64)), "features are float64"),
        (lambda o: replace(o, features=o.features[:, :-1].copy()), "features have 6 columns, those of p00 7"),
    ],
)
def test_data_that_fixed_point_cannot_hold_are_refused(
    change: Callable[[Owner], Owner], told: str, make_job: Make
) -> None:
    job = make_job()
    check_job(job)
    with pytest.raises(DataError, match=told):
        check_job(replace(job, owners=(job.owners[0], change(job.owners[1]))))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"plan": ()}, "at least one owner and one step"),
        ({"plan": ((0, 10),)}, "rows outside of the 10 samples"),
        ({"plan": ((-1,),)}, "rows outside of the 10 samples"),
        ({"initial": np.zeros(31, np.float32)}, "31 initial parameters for a network of 32"),
        ({"network": Network("transformer", ((32,),))}, "transformer is not known under MPC"),
        ({"parties": 2}, "takes 3"),
        ({"ring_bits": 32}, "mpc.ring_bits = 32; choose from: 64, 128"),
    ],
)
def test_a_job_that_cannot_be_run_is_refused(changes: dict[str, Any], told: str, make_job: Make) -> None:
    with pytest.raises(ConfigError, match=told):
        check_job(make_job(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "semi2k"},
        {"ring_bits": 128},
        {"sgd": Sgd(0.1, 0.9, "l1")},
        {"plan": ((0, 1),)},
        {"initial": np.ones(32, np.float32)},
        {"network": Network("perceptron", ((2, 7), (2,), (4, 4)))},
    ],
)
def test_whatever_decides_the_result_changes_the_digest(changes: dict[str, Any], make_job: Make) -> None:
    assert make_job(**changes).digest() != make_job().digest()


def test_the_same_job_has_the_same_digest_whatever_changes_nothing(make_job: Make) -> None:
    assert make_job(silence_s=5).digest() == make_job().digest()


def test_one_pixel_changes_the_digest(make_job: Make) -> None:
    job = make_job()
    owners = (job.owners[0], replace(job.owners[1], features=_with_row(job.owners[1].features, 0.5)))
    assert replace(job, owners=owners).digest() != job.digest()


def test_what_parties_are_told_holds_no_data(make_job: Make) -> None:
    """Shapes, names by number, the steps: with other images, poses and labels of the same shapes it is the same."""
    job = make_job()
    others = tuple(Owner("someone", owner.features + 1, owner.targets - 1) for owner in job.owners)
    assert public_part(job) == public_part(replace(job, owners=others))
    assert "p00" not in str(public_part(job))


def test_a_vector_becomes_tensors_in_their_order() -> None:
    first, second = split_vector(np.arange(8, dtype=np.float32), [(2, 3), (2,)])
    assert first.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second.tolist() == [6, 7]
