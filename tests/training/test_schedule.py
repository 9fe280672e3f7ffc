from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.training.schedule import learning_rate_at
from privateyes.training.settings import LocalSettings

CONSTANT = LocalSettings(
    seed=1, rounds=10, local_epochs=2, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=0.0, schedule="constant",
)  # fmt: skip


def rates(settings: LocalSettings) -> list[float]:
    return [learning_rate_at(settings, index) for index in range(settings.rounds)]


def test_a_constant_rate_stays() -> None:
    assert set(rates(CONSTANT)) == {0.05}


def test_the_cosine_falls_from_the_whole_rate_towards_nothing() -> None:
    found = rates(replace(CONSTANT, schedule="cosine"))
    assert found[0] == pytest.approx(0.05)
    assert found[5] == pytest.approx(0.025)
    assert found == sorted(found, reverse=True)
    assert 0 < found[9] < 0.002


def test_steps_multiply_the_rate_after_each_named_round() -> None:
    found = rates(replace(CONSTANT, schedule="step", decay_rounds=(4, 7), decay_factor=0.1))
    assert found == pytest.approx([0.05] * 4 + [0.005] * 3 + [0.0005] * 3)


def test_a_warm_up_climbs_in_equal_steps_to_the_full_rate() -> None:
    found = rates(replace(CONSTANT, warmup_rounds=4))
    assert found == pytest.approx([0.01, 0.02, 0.03, 0.04, *[0.05] * 6])


def test_the_cosine_spans_what_the_warm_up_leaves() -> None:
    found = rates(replace(CONSTANT, schedule="cosine", warmup_rounds=2))
    shorter = rates(replace(CONSTANT, schedule="cosine", rounds=8))
    assert found[2:] == pytest.approx(shorter)
    assert found[0] < found[1] < found[2] == 0.05


def test_a_warm_up_of_all_rounds_divides_by_nothing() -> None:
    assert rates(replace(CONSTANT, schedule="cosine", rounds=3, warmup_rounds=3)) == pytest.approx(
        [0.0125, 0.025, 0.0375]
    )
