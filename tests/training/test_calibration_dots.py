from __future__ import annotations

import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.training.calibration_dots import choose_dots


def labels(count: int = 900) -> np.ndarray:
    return np.random.default_rng(1).uniform([-0.3, -0.6], [0.1, 0.6], (count, 2))


@pytest.mark.parametrize("placement", ["spread", "random"])
@pytest.mark.parametrize("k", [1, 2, 4, 5, 9, 16, 50])
def test_a_draw_has_k_different_samples_and_depends_on_the_seed(placement: str, k: int) -> None:
    rows = labels(200)
    draws = [choose_dots(rows, k, placement, seed) for seed in (1, 1, 2)]  # type: ignore[arg-type]
    assert len(set(draws[0].tolist())) == k
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()


def test_dots_stand_where_a_calibration_screen_has_them() -> None:
    rows = labels()
    low, high = np.quantile(rows, [0.1, 0.9], axis=0)
    middle = (low + high) / 2
    for dots, expected in ((1, [middle]), (5, [middle, low, (low[0], high[1]), (high[0], low[1]), high])):
        for seed in range(5):
            chosen = rows[choose_dots(rows, dots, "spread", seed)]
            assert np.abs((chosen - expected) / (high - low)).max() < 0.2


def test_spread_dots_cover_the_range_better_than_random_ones() -> None:
    rows = labels()

    def reach(placement: str) -> float:
        return float(np.mean([np.ptp(rows[choose_dots(rows, 9, placement, s)], axis=0)[1] for s in range(30)]))  # type: ignore[arg-type]

    spreads = [np.ptp(rows[choose_dots(rows, 9, "random", s)], axis=0)[1] for s in range(30)]
    assert reach("spread") > 0.8
    assert min(spreads) < 0.8


def test_the_last_sample_is_never_taken() -> None:
    rows = labels(6)
    assert len(choose_dots(rows, 5, "spread", 1)) == 5
    with pytest.raises(DataError, match="k = 6 of 6 usable samples leaves none to test on; use k up to 5"):
        choose_dots(rows, 6, "spread", 1)
    with pytest.raises(DataError, match="k = 1 of 1 usable samples leaves none to test on; record more"):
        choose_dots(rows[:1], 1, "random", 1)
    with pytest.raises(DataError, match="k = 1 of 0 usable"):
        choose_dots(rows[:0], 1, "random", 1)


@pytest.mark.parametrize("k", [0, -1])
def test_no_sample_at_all_is_refused(k: int) -> None:
    with pytest.raises(ConfigError, match=f"k = {k} samples; give 1 or more"):
        choose_dots(labels(), k, "spread", 1)


def test_an_unknown_placement_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose from: spread, random"):
        choose_dots(labels(), 1, "corners", 1)  # type: ignore[arg-type]


def test_labels_that_do_not_vary_are_no_trouble() -> None:
    rows = np.zeros((20, 2))
    assert len(set(choose_dots(rows, 9, "spread", 3).tolist())) == 9
