from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.federation.cohorts import (
    Attendance,
    ClientFailures,
    cohort_size,
    draw_attendance,
    select_cohort,
    straggler_count,
)

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


def test_without_hazards_everybody_arrives() -> None:
    attendance = draw_attendance(1, 0, ["b", "a"], ClientFailures())
    assert attendance == Attendance(cohort=("a", "b"), arrived=("a", "b"), dropped=(), stragglers={})
    assert attendance.work == {}


@given(
    seed=st.integers(0, 2**63 - 1),
    round_index=st.integers(0, 1000),
    count=st.integers(1, 12),
    dropout=st.floats(0, 0.99),
    stragglers=st.floats(0, 1),
    partial_work=st.booleans(),
)
def test_whoever_is_in_the_cohort_arrives_drops_out_or_is_late(
    seed: int, round_index: int, count: int, dropout: float, stragglers: float, partial_work: bool
) -> None:
    names, failures = NAMES[:count], ClientFailures(dropout, stragglers, partial_work)
    found = draw_attendance(seed, round_index, names[::-1], failures)
    assert found == draw_attendance(seed, round_index, names, failures)  # no order matters, and nothing drawn before
    assert list(found.cohort) == names
    assert not set(found.dropped) & {*found.arrived, *found.stragglers}
    late = set() if partial_work else set(found.stragglers)
    assert {*found.arrived, *found.dropped, *late} == set(names)
    assert not set(found.arrived) & late
    assert all(0 < share <= 1 for share in found.stragglers.values())
    assert set(found.work) == (set(found.stragglers) if partial_work else set())
    assert len(found.stragglers) <= straggler_count(count, stragglers)


def test_the_fates_are_the_same_whether_partial_work_counts_or_not() -> None:
    """What tells FedAvg from FedProx is what is done with the late ones, not who is late."""
    for round_index in range(50):
        without, with_them = (
            draw_attendance(5, round_index, NAMES, ClientFailures(0.2, 0.5, part)) for part in (False, True)
        )
        assert (without.dropped, without.stragglers) == (with_them.dropped, with_them.stragglers)
        assert set(with_them.arrived) - set(without.arrived) == set(without.stragglers)


def test_a_client_drops_out_whoever_else_is_selected() -> None:
    failures = ClientFailures(dropout=0.5)
    for round_index in range(30):
        alone = {name for name in NAMES if draw_attendance(2, round_index, [name], failures).dropped}
        assert alone == set(draw_attendance(2, round_index, NAMES, failures).dropped)


def test_as_many_drop_out_and_are_late_as_was_asked_for() -> None:
    rounds = [draw_attendance(3, index, NAMES, ClientFailures(0.3, 0.5)) for index in range(400)]
    dropped = sum(len(one.dropped) for one in rounds) / 4000
    assert 0.27 < dropped < 0.33  # four standard deviations
    shares = [share for one in rounds for share in one.stragglers.values()]
    assert 0.46 < sum(shares) / len(shares) < 0.54
    late = [len(draw_attendance(3, index, NAMES, ClientFailures(0.0, 0.5)).stragglers) for index in range(20)]
    assert late == [5] * 20


def test_another_seed_or_round_means_other_fates() -> None:
    found = {
        (one.dropped, tuple(one.stragglers.items()))
        for one in (
            draw_attendance(seed, index, NAMES, ClientFailures(0.3, 0.3)) for seed in (1, 2) for index in range(5)
        )
    }
    assert len(found) == 10
