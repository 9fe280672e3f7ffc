from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from privateyes.experiments.compare.intervals import (
    estimate,
    over_seeds,
    paired,
    per_seed,
    spread_over_seeds,
    student_quantile,
)

ERRORS = {"p00": {1: 4.0, 2: 6.0}, "p01": {1: 7.0, 2: 9.0}, "p02": {1: 8.0, 2: 8.0}}


def test_an_interval_by_hand() -> None:
    # mean 7, squares of the deviations 4 + 1 + 1, so s = sqrt(3); t for 2 degrees of freedom is 4.30265
    found = estimate([5.0, 8.0, 8.0])
    assert found.mean == 7.0
    assert found.spread == pytest.approx(math.sqrt(3.0))
    assert found.half_width == pytest.approx(4.302652729911275)
    assert found.as_json()["interval"] == pytest.approx([7.0 - 4.302652729911275, 7.0 + 4.302652729911275])


@pytest.mark.parametrize(("freedom", "table"), [(1, 12.706), (2, 4.303), (9, 2.262), (30, 2.042)])
def test_quantiles_are_those_of_the_printed_tables(freedom: int, table: float) -> None:
    assert student_quantile(freedom) == pytest.approx(table, abs=5e-4)


def test_an_interval_is_the_one_of_scipy() -> None:
    values = np.random.default_rng(5).normal(7.0, 1.5, 10)
    low, high = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    assert estimate(list(values)).as_json()["interval"] == pytest.approx([low, high])


def test_a_paired_difference_is_the_one_of_the_paired_t_test() -> None:
    generator = np.random.default_rng(6)
    first, second = generator.normal(7.0, 1.5, (2, 10))
    names = [f"p{index:02d}" for index in range(10)]
    differences = paired(dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True)))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert estimate(list(differences.values())).as_json()["interval"] == pytest.approx([expected.low, expected.high])


def test_one_person_has_no_interval() -> None:
    assert estimate([5.0]).as_json() == {"mean": 5.0, "interval": None, "sd_over_persons": None, "persons": 1}


def test_each_person_is_averaged_over_the_seeds_first() -> None:
    assert over_seeds(ERRORS) == {"p00": 5.0, "p01": 8.0, "p02": 8.0}
    # further seeds make no further persons
    assert estimate(list(over_seeds(ERRORS).values())).count == 3


def test_the_spread_over_seeds_is_that_of_the_means_over_persons() -> None:
    assert per_seed(ERRORS, [1, 2]) == {1: pytest.approx(19 / 3), 2: pytest.approx(23 / 3)}
    assert spread_over_seeds(ERRORS, [1, 2]) == pytest.approx(4 / 3 / math.sqrt(2))
    assert spread_over_seeds(ERRORS, [1]) is None


def test_differences_are_of_persons_that_both_have() -> None:
    assert paired({"a": 3.0, "b": 4.0}, {"b": 1.5, "c": 2.0}) == {"b": 2.5}
