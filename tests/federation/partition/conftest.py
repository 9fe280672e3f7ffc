"""Persons for partitions: labels drawn from a fixed seed, no images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privateyes.federation.partition import PartitionSettings, PersonRows

KIND_EXAMPLES = (
    PartitionSettings(),
    PartitionSettings(by="device", clients_per_person=3),
    PartitionSettings(by="label_skew", clients=5, alpha=0.3),
    PartitionSettings(by="label_skew", clients_per_person=2, alpha=0.3),
    PartitionSettings(by="size_skew", clients=5, size_spread=0.5),
    PartitionSettings(by="size_skew", clients_per_person=2, size_law="power", size_spread=0.5),
)


@pytest.fixture(params=KIND_EXAMPLES, ids=lambda s: f"{s.by}-{'pooled' if s.clients else 'within'}")
def settings(request: pytest.FixtureRequest) -> PartitionSettings:
    """One of each kind of partition, with persons pooled and kept apart."""
    chosen: PartitionSettings = request.param
    return chosen


@pytest.fixture(scope="session")
def make_persons() -> Callable[..., dict[str, PersonRows]]:
    """Persons p00, p01, ... with so many samples each and their own mean gaze, in radians."""

    def make(*counts: int) -> dict[str, PersonRows]:
        generator = np.random.default_rng(7)
        return {
            f"p{i:02d}": PersonRows(generator.normal([-0.1 + 0.02 * i, 0.0], [0.08, 0.16], (count, 2)))
            for i, count in enumerate(counts)
        }

    return make
