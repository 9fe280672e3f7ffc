"""Which clients take part in a round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privateyes.federation.seeds import derive_seed


def cohort_size(clients: int, fraction: float) -> int:
    """How many of `clients` take part in a round: the fraction, rounded to the nearest, at least one."""
    return min(clients, max(1, int(fraction * clients + 0.5)))


def select_cohort(seed: int, round_index: int, clients: Sequence[str], fraction: float) -> list[str]:
    """The cohort of one round, drawn without replacement.

    Args:
        seed: the experiment's seed.
        round_index: the round, from 0.
        clients: names of all clients; their order does not matter.
        fraction: share of the clients that takes part, in (0, 1].

    Returns:
        Names, sorted; a function of the arguments alone.
    """
    names = sorted(clients)
    size = cohort_size(len(names), fraction)
    if size == len(names):
        return names
    generator = np.random.Generator(np.random.PCG64(derive_seed(seed, "cohort", round_index)))
    return sorted(names[i] for i in generator.choice(len(names), size=size, replace=False))
