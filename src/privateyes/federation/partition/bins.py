"""Cells of gaze, and how far a client's distribution over them is from everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from privateyes.federation.partition.settings import PartitionSettings
from privateyes.federation.partition.shares import Partition, PersonRows


@dataclass(frozen=True, slots=True, eq=False)
class LabelGrid:
    """A grid over both label columns whose lines are quantiles of the data, so that no cell is far from average.

    Attributes:
        first, second: inner grid lines of the two columns, ascending, in the labels' unit.
    """

    first: NDArray[np.float64] = field(repr=False)
    second: NDArray[np.float64] = field(repr=False)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return (len(self.first) + 1) * (len(self.second) + 1)

    def cell_of(self, labels: NDArray[np.floating]) -> NDArray[np.int64]:
        """The cell, int64 (N,), of each row of `labels` (N, 2)."""
        first = np.searchsorted(self.first, labels[:, 0].astype(np.float64), side="right")
        second = np.searchsorted(self.second, labels[:, 1].astype(np.float64), side="right")
        return (first * (len(self.second) + 1) + second).astype(np.int64)

    def shares_of(self, labels: NDArray[np.floating]) -> NDArray[np.float64]:
        """The share of the rows of `labels` (N, 2) in each cell, float64 (cells,); N >= 1."""
        return np.bincount(self.cell_of(labels), minlength=self.cells) / len(labels)


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """One client in numbers; labels in the data's unit.

    Attributes:
        name: the client's.
        persons: whose samples it holds.
        samples: how many.
        mean, spread: of both label columns; the spread is the standard deviation.
        distance: total variation between the client's distribution over the cells of gaze and everybody's, in [0, 1]:
            the share of the client's samples that would have to lie in other cells to match.
        distance_by_chance: what that distance would be on average if as many samples were drawn from everybody's
            blindly. A distance near it is no skew.
        cells: share of its samples in each cell of gaze: from the lowest first label to the highest, and within each
            from the lowest second one to the highest.
    """

    name: str
    persons: tuple[str, ...]
    samples: int
    mean: tuple[float, float]
    spread: tuple[float, float]
    distance: float
    distance_by_chance: float
    cells: tuple[float, ...] = ()


def label_grid(labels: NDArray[np.floating], settings: PartitionSettings) -> LabelGrid:
    """The grid of `labels` (N, 2): `pitch_bins` by `yaw_bins` cells, between quantiles of each column."""
    lines = []
    for column, bins in enumerate((settings.pitch_bins, settings.yaw_bins)):
        levels = np.arange(1, bins) / bins
        lines.append(np.quantile(labels[:, column].astype(np.float64), levels))
    return LabelGrid(*lines)


def total_variation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Half the sum of the differences of two distributions over the same cells, in [0, 1]."""
    return float(0.5 * np.abs(first - second).sum())


def expected_distance(shares: NDArray[np.float64], drawn: int, total: int) -> float:
    """Mean total variation between `shares`, of `total` samples, and `drawn` of them taken blindly.

    A cell's count is then about normal with variance n p (1 - p) (N - n) / (N - 1), and the mean of a normal variable's
    size is its standard deviation times sqrt(2 / pi).
    """
    left_out = (total - drawn) / (total - 1) if total > 1 else 0.0
    return float(0.5 * np.sqrt(2.0 / np.pi * shares * (1.0 - shares) / drawn * left_out).sum())


def client_statistics(
    partition: Partition, persons: Mapping[str, PersonRows], settings: PartitionSettings
) -> list[ClientStatistics]:
    """Every client of a partition in numbers, in the partition's order.

    Args:
        partition: who holds which rows.
        persons: the labels of everyone in it.
        settings: for the cells that distances are measured on.
    """
    held = {client: client_labels(partition, persons, client) for client in partition.clients}
    everybody = np.concatenate(list(held.values()))
    grid = label_grid(everybody, settings)
    pooled = grid.shares_of(everybody)
    found = []
    for client, labels in held.items():
        mean, spread = labels.mean(axis=0, dtype=np.float64), labels.std(axis=0, dtype=np.float64)
        cells = grid.shares_of(labels)
        found.append(
            ClientStatistics(
                name=client,
                persons=tuple(share.person for share in partition.clients[client]),
                samples=len(labels),
                mean=(float(mean[0]), float(mean[1])),
                spread=(float(spread[0]), float(spread[1])),
                distance=total_variation(cells, pooled),
                distance_by_chance=expected_distance(pooled, len(labels), len(everybody)),
                cells=tuple(cells.tolist()),
            )
        )
    return found


def client_labels(partition: Partition, persons: Mapping[str, PersonRows], client: str) -> NDArray[np.floating]:
    """The labels (M, 2) of one client, by person and row."""
    return np.concatenate([persons[share.person].labels[share.rows] for share in partition.clients[client]])
