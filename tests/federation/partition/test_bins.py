from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privateyes.federation.partition import Partition, PartitionSettings, PersonRows, Share, client_statistics, divide
from privateyes.federation.partition.bins import expected_distance, label_grid, total_variation

Persons = dict[str, PersonRows]


def test_cells_hold_about_equal_shares_and_count_from_the_lowest_angles() -> None:
    labels = np.random.default_rng(1).normal(size=(9000, 2))
    grid = label_grid(labels, PartitionSettings(pitch_bins=3, yaw_bins=5))
    assert grid.cells == 15
    assert grid.shares_of(labels) == pytest.approx(np.full(15, 1 / 15), abs=0.01)
    assert grid.cell_of(np.array([[-9.0, -9.0], [-9.0, 9.0], [9.0, 9.0]])).tolist() == [0, 4, 14]


def test_labels_that_do_not_vary_fill_one_cell() -> None:
    labels = np.zeros((50, 2), dtype=np.float32)
    grid = label_grid(labels, PartitionSettings())
    assert sorted(grid.shares_of(labels)) == [0.0] * 14 + [1.0]


def test_total_variation_is_zero_for_equal_and_one_for_disjoint_distributions() -> None:
    assert total_variation(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1
    assert total_variation(np.array([0.75, 0.25]), np.array([0.5, 0.5])) == 0.25


def test_the_distance_by_chance_is_what_blind_draws_show() -> None:
    generator = np.random.default_rng(5)
    cells = np.repeat(np.arange(15), 100)
    pooled = np.full(15, 1 / 15)
    distances = []
    for _ in range(400):
        drawn = generator.choice(cells, 300, replace=False)
        distances.append(total_variation(np.bincount(drawn, minlength=15) / 300, pooled))
    assert expected_distance(pooled, 300, 1500) == pytest.approx(np.mean(distances), rel=0.05)
    assert expected_distance(pooled, 1500, 1500) == 0


def test_statistics_are_those_of_a_clients_own_rows() -> None:
    persons = {"p": PersonRows(np.array([[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]])), "q": PersonRows(np.array([[4.0, 5.0]]))}
    partition = Partition(
        {"c": (Share("p", np.array([0, 1])), Share("q", np.array([0]))), "d": (Share("p", np.array([2])),)}
    )
    first, second = client_statistics(partition, persons, PartitionSettings(pitch_bins=2, yaw_bins=1))
    assert (first.name, first.persons, first.samples) == ("c", ("p", "q"), 3)
    assert first.mean == (2.0, 3.0)
    assert first.spread == pytest.approx((np.std([0, 2, 4]), np.std([1, 3, 5])))
    assert second.distance == pytest.approx(0.5)
    assert first.distance == pytest.approx(1 / 6)


def test_skewed_labels_show_and_blind_ones_do_not(make_persons: Callable[..., Persons]) -> None:
    persons = make_persons(600, 600, 600)
    skewed = PartitionSettings(by="label_skew", clients=6, alpha=0.3)
    blind = PartitionSettings(by="size_skew", clients=6, size_spread=0.0)
    for entry in client_statistics(divide(persons, skewed, 1), persons, skewed):
        assert entry.distance > 5 * entry.distance_by_chance
    for entry in client_statistics(divide(persons, blind, 1), persons, blind):
        assert entry.distance < 2 * entry.distance_by_chance
