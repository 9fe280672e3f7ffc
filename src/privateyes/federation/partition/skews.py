"""Dealing samples to clients: clients that differ in where they look, and clients that differ in size.

Both deal out every sample exactly once.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from privateyes.federation.partition.settings import PartitionSettings, SizeLaw

# Each client takes its samples in so many helpings, so that none finds only what the others have left.
_HELPINGS = 64


def deal_by_label(cells: NDArray[np.int64], clients: int, alpha: float, seed: int) -> list[NDArray[np.int64]]:
    """Clients of equal size whose labels are skewed ([Hsu 2019]).

    With p the share of all samples in each cell of gaze, each client draws its own distribution q ~ Dirichlet(alpha p)
    and takes its samples by q, without replacement. Filled one after the other, the last clients would get what is left
    whatever their q, so the clients take turns, a 64th of their samples at a time. A client that finds a cell empty
    takes from its other cells, in proportion.

    Args:
        cells: (N,) the cell of each sample, from 0.
        clients: K, from 1 to N.
        alpha: concentration, above 0.
        seed: the result depends on it and the arguments only.

    Returns:
        The samples of each client, int64; sizes differ by one at most.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = np.bincount(cells)
    occupied = np.flatnonzero(counts)
    left = counts[occupied]
    wanted = generator.dirichlet(alpha * left / left.sum(), size=clients)
    taken = _take_turns(wanted, left, _even_sizes(len(cells), clients), generator)
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(clients)]
    for place, cell in enumerate(occupied):
        samples = generator.permutation(np.flatnonzero(cells == cell)).astype(np.int64)
        for client, part in enumerate(np.split(samples, np.cumsum(taken[:-1, place]))):
            parts[client].append(part)
    return [np.concatenate(of_client) for of_client in parts]


def deal_by_size(count: int, clients: int, settings: PartitionSettings, seed: int) -> list[NDArray[np.int64]]:
    """Clients of skewed sizes whose labels are alike: samples are dealt out blindly.

    The sizes are those of the law and the same for every seed, which decides who gets which size and which samples.

    Args:
        count: N, number of samples.
        clients: K, from 1 to N.
        settings: law and spread of the sizes.
        seed: the result depends on it and the arguments only.

    Returns:
        The samples of each client, int64; a client may be left without any.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    sizes = skewed_sizes(count, clients, settings.size_law, settings.size_spread)
    ends = np.cumsum(generator.permutation(sizes))[:-1]
    return np.split(generator.permutation(count).astype(np.int64), ends)


def skewed_sizes(count: int, clients: int, law: SizeLaw, spread: float) -> NDArray[np.int64]:
    """`clients` sizes that add up to `count`, largest first.

    "lognormal": size i of K is proportional to exp(spread z_i), with z_i the (i - 1/2) / K quantile of the standard
    normal distribution. "power": the i-th largest is proportional to i^-spread. Rounded by largest remainders.
    """
    places = np.arange(1, clients + 1)
    if law == "power":
        exponents = -spread * np.log(places)
    else:
        normal = NormalDist()
        exponents = -spread * np.array([normal.inv_cdf((place - 0.5) / clients) for place in places])
    weights: NDArray[np.float64] = np.exp(exponents - exponents.max())
    exact: NDArray[np.float64] = count * weights / weights.sum()
    sizes = np.floor(exact).astype(np.int64)
    first = np.argsort(sizes - exact, kind="stable")[: count - int(sizes.sum())]
    sizes[first] += 1
    return sizes


def _even_sizes(count: int, clients: int) -> NDArray[np.int64]:
    sizes = np.full(clients, count // clients, dtype=np.int64)
    sizes[: count % clients] += 1
    return sizes


def _take_turns(
    wanted: NDArray[np.float64], left: NDArray[np.int64], needs: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """How many samples of each cell every client gets, int64 (K, cells): all that are `left`, and `needs` for each."""
    left, needs = left.copy(), needs.copy()
    taken = np.zeros(wanted.shape, dtype=np.int64)
    helping = -(-needs // _HELPINGS)
    while left.any():
        for client in np.flatnonzero(needs):
            weights = wanted[client] * (left > 0)
            if weights.sum() < 1e-12:  # all that the client wants is gone
                weights = left.astype(np.float64)
            size = min(int(helping[client]), int(needs[client]))
            got = np.minimum(generator.multinomial(size, weights / weights.sum()), left)
            taken[client] += got
            left -= got
            needs[client] -= got.sum()
    return taken
