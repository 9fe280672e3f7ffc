from __future__ import annotations

import pytest

from privateyes.errors import ConfigError
from privateyes.federation.partition import PartitionSettings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (PartitionSettings(by="shoe size"), '"shoe size" is not known'),
        (PartitionSettings(by="label_skew"), "needs exactly one of clients and clients_per_person"),
        (PartitionSettings(by="size_skew", clients=3, clients_per_person=2), "needs exactly one of"),
        (PartitionSettings(clients=3), "clients does not go with"),
        (PartitionSettings(by="device", clients=3), "clients does not go with"),
        (PartitionSettings(clients_per_person=3), "clients_per_person does not go with"),
        (PartitionSettings(by="size_skew", clients=0), "clients = 0; it should be at least 1"),
        (PartitionSettings(by="label_skew", clients=2, yaw_bins=0), "yaw_bins = 0"),
        (PartitionSettings(minimum=0), "minimum = 0"),
        (PartitionSettings(by="label_skew", clients=2, alpha=0.0), "alpha = 0; it should be above 0"),
        (PartitionSettings(by="label_skew", clients=2, alpha=float("nan")), "alpha = nan"),
        (PartitionSettings(by="size_skew", clients=2, size_spread=float("inf")), "size_spread = inf"),
    ],
)  # fmt: skip
def test_numbers_that_a_kind_would_ignore_or_lack_are_refused(settings: PartitionSettings, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        settings.require_consistent()


def test_only_persons_come_in_any_size_by_default() -> None:
    assert PartitionSettings().least == 1
    assert PartitionSettings(by="device").least == 10
    assert PartitionSettings(minimum=3).least == PartitionSettings(by="device", minimum=3).least == 3
