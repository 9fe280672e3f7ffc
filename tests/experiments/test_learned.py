from __future__ import annotations

from typing import get_args

import pytest

from privateyes.experiments.learned import PARTIES, learned
from privateyes.experiments.spec import WayName


@pytest.mark.parametrize("way", get_args(WayName))
def test_every_way_says_what_each_party_learned(way: str) -> None:
    assert set(learned(way, 3)) == set(PARTIES)


def test_private_claims_no_more_than_all_but_one_aggregator() -> None:
    assert "even if 4 of the 5" in learned("private", 5)["aggregator"]
