from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.federation.partition import PartitionSettings, skews
from privateyes.federation.partition.skews import deal_by_label, deal_by_size, skewed_sizes


@given(
    count=st.integers(1, 400), clients=st.integers(1, 12), alpha=st.sampled_from([1e-3, 0.3, 5.0, 1e6]),
    cells=st.integers(1, 9), seed=st.integers(0, 50),
)  # fmt: skip
def test_label_skew_deals_out_every_sample_once_in_equal_parts(
    count: int, clients: int, alpha: float, cells: int, seed: int
) -> None:
    cell = np.random.default_rng(seed).integers(0, cells, count)
    dealt = deal_by_label(cell, clients, alpha, seed)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(count))
    sizes = [len(part) for part in dealt]
    assert len(sizes) == clients
    assert max(sizes) - min(sizes) <= 1


def test_clients_share_cells_as_the_dirichlet_distribution_says() -> None:
    """The mean over clients of sum(q^2) is (alpha sum(p^2) + 1) / (alpha + 1); with many clients no cell runs short."""
    cells = np.repeat(np.arange(10), 16_000)

    def concentration(alpha: float) -> float:
        shares = [np.bincount(cells[part], minlength=10) / len(part) for part in deal_by_label(cells, 400, alpha, 1)]
        return float(np.mean([(share**2).sum() for share in shares]))

    assert concentration(2.0) == pytest.approx((2.0 * 0.1 + 1) / 3, rel=0.06)
    assert concentration(8.0) == pytest.approx((8.0 * 0.1 + 1) / 9, rel=0.06)


def test_the_last_client_gets_what_it_wants_as_much_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filled one after the other, the last client would get the leavings, whatever distribution it drew."""
    cells, clients = np.repeat(np.arange(10), 400), 8

    def missed(position: int) -> float:
        found = []
        for seed in range(40):
            wanted = np.random.Generator(np.random.PCG64(seed)).dirichlet(np.full(10, 0.05), size=clients)[position]
            got = cells[deal_by_label(cells, clients, 0.5, seed)[position]]
            found.append(np.abs(np.bincount(got, minlength=10) / len(got) - wanted).sum() / 2)
        return float(np.mean(found))

    assert missed(-1) < 1.3 * missed(0)
    monkeypatch.setattr(skews, "_HELPINGS", 1)
    assert missed(-1) > 2 * missed(0), "the turns are what makes them equal"


def test_a_large_alpha_makes_clients_alike_and_a_small_one_different() -> None:
    cells = np.repeat(np.arange(6), 2000)

    def largest_share(alpha: float) -> float:
        parts = deal_by_label(cells, 60, alpha, 3)
        return float(np.mean([np.bincount(cells[part]).max() / len(part) for part in parts]))

    assert largest_share(1e5) < 0.24
    assert largest_share(0.02) > 0.7


@given(
    count=st.integers(0, 5000), clients=st.integers(1, 40), law=st.sampled_from(["lognormal", "power"]),
    spread=st.floats(0, 4),
)  # fmt: skip
def test_sizes_add_up_and_fall(count: int, clients: int, law: str, spread: float) -> None:
    sizes = skewed_sizes(count, clients, law, spread)  # type: ignore[arg-type]
    assert sizes.sum() == count
    assert (sizes >= 0).all()
    assert (np.diff(sizes) <= 1).all(), "up to one sample of rounding"


def test_sizes_follow_their_law() -> None:
    power = skewed_sizes(1_000_000, 10, "power", 1.5)
    assert power / power[0] == pytest.approx(np.arange(1.0, 11.0) ** -1.5, rel=1e-4)
    logs = np.log(skewed_sizes(10_000_000, 400, "lognormal", 0.8))
    assert logs.std() == pytest.approx(0.8, rel=0.02)
    assert logs.mean() == pytest.approx(float(np.median(logs)), abs=0.01), "a log-normal law is symmetric in the log"
    assert set(skewed_sizes(12, 4, "lognormal", 0.0)) == {3}


def test_size_skew_deals_out_every_sample_once_and_blindly() -> None:
    settings = PartitionSettings(by="size_skew", clients=4, size_spread=1.0)
    dealt = deal_by_size(4000, 4, settings, seed=2)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(4000))
    assert sorted(map(len, dealt), reverse=True) == skewed_sizes(4000, 4, "lognormal", 1.0).tolist()
    for part in dealt:
        deviation = abs(part.mean() - 1999.5) / (4000 / np.sqrt(12 * len(part)))
        assert deviation < 4, "a client's samples come from everywhere"


def test_the_seed_decides_who_gets_which_size() -> None:
    settings = PartitionSettings(by="size_skew", clients=6)
    orders = {tuple(map(len, deal_by_size(600, 6, settings, seed))) for seed in range(8)}
    assert len(orders) > 4
    assert len({tuple(sorted(order)) for order in orders}) == 1
