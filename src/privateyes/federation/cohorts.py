"""Which clients take part in a round, and what becomes of them.

Everything is drawn from seeds that depend on the experiment's seed, the round and the client alone, so every method of
an experiment and every resumed run meets the same fates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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
    return _choice(names, size, derive_seed(seed, "cohort", round_index))


@dataclass(frozen=True, slots=True)
class ClientFailures:
    """What happens to the clients of a round's cohort.

    Args:
        dropout: the chance, in [0, 1), that a client's update never arrives.
        stragglers: share of the cohort, in [0, 1], that manages only a part of its local work in time.
        partial_work: whether what stragglers have done by then is averaged too, as FedProx does; else they are left
            out, as FedAvg does ([FedProx], section 5.2).
    """

    dropout: float = 0.0
    stragglers: float = 0.0
    partial_work: bool = False


NO_FAILURES: Final = ClientFailures()


@dataclass(frozen=True, slots=True)
class Attendance:
    """What became of a round's cohort; all names sorted.

    Args:
        cohort: who was selected.
        arrived: whose updates are there to be averaged.
        dropped: whose updates never arrive.
        stragglers: who of the others is not done in time -> the share of its work, in (0, 1], that it has done then.
    """

    cohort: tuple[str, ...]
    arrived: tuple[str, ...]
    dropped: tuple[str, ...]
    stragglers: Mapping[str, float]

    @property
    def work(self) -> Mapping[str, float]:
        """Of those who arrived and have done a part only: which."""
        arrived = frozenset(self.arrived)
        return {client: share for client, share in self.stragglers.items() if client in arrived}


def straggler_count(cohort: int, share: float) -> int:
    """How many of a cohort are not done in time: the share, rounded to the nearest."""
    return int(share * cohort + 0.5)


def draw_attendance(seed: int, round_index: int, cohort: Sequence[str], failures: ClientFailures) -> Attendance:
    """What becomes of a cohort.

    A straggler's share of work is uniform on (0, 1]: [FedProx] draws a number of epochs, which here is a number of
    steps, so that a local round of one epoch has parts as well. Who straggles is drawn from the whole cohort, and a
    straggler that drops out has dropped out.

    Args:
        seed: the experiment's seed.
        round_index: the round, from 0.
        cohort: who was selected.
        failures: what can happen.

    Returns:
        A function of the arguments alone.
    """
    names = sorted(cohort)
    late = _choice(
        names, straggler_count(len(names), failures.stragglers), derive_seed(seed, "stragglers", round_index)
    )
    dropped = {
        name for name in names if failures.dropout and _uniform(seed, "dropout", name, round_index) < failures.dropout
    }
    stragglers = {name: 1.0 - _uniform(seed, "work", name, round_index) for name in late if name not in dropped}
    missing = dropped if failures.partial_work else dropped | stragglers.keys()
    arrived = tuple(name for name in names if name not in missing)
    return Attendance(tuple(names), arrived, tuple(sorted(dropped)), stragglers)


def _choice(names: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` of `names`, drawn without replacement; sorted."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return sorted(names[i] for i in generator.choice(len(names), size=count, replace=False))


def _uniform(seed: int, purpose: str, client: str, round_index: int) -> float:
    """In [0, 1)."""
    return float(np.random.Generator(np.random.PCG64(derive_seed(seed, purpose, client, round_index))).random())
