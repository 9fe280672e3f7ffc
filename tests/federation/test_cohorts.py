from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.federation.cohorts import cohort_size, select_cohort

NAMES = [f"p{index:02d}" for index in range(10)]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0.01, 1.0), st.randoms())
def test_a_cohort_depends_on_seed_and_round_and_not_on_the_order_of_names(
    seed: int, round_index: int, fraction: float, random: object
) -> None:
    shuffled = list(NAMES)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cohort = select_cohort(seed, round_index, NAMES, fraction)
    assert cohort == select_cohort(seed, round_index, shuffled, fraction)
    assert cohort == sorted(set(cohort))
    assert set(cohort) <= set(NAMES)
    assert len(cohort) == cohort_size(len(NAMES), fraction)


def test_the_whole_cohort_takes_part_at_fraction_one() -> None:
    assert select_cohort(1, 0, NAMES[::-1], 1.0) == NAMES


@pytest.mark.parametrize(("fraction", "size"), [(0.01, 1), (0.24, 2), (0.25, 3), (0.5, 5), (1.0, 10)])
def test_a_fraction_is_rounded_to_the_nearest_number_but_never_to_nobody(fraction: float, size: int) -> None:
    assert cohort_size(10, fraction) == size


def test_over_many_rounds_everybody_takes_part_about_equally_often() -> None:
    counts = Counter(name for round_index in range(600) for name in select_cohort(1, round_index, NAMES, 0.3))
    assert all(130 <= counts[name] <= 230 for name in NAMES)  # 180 expected, standard deviation 11
