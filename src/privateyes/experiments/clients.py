"""Clients of an experiment, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np

from privateyes.experiments.prepare import Preparation
from privateyes.federation.partition import PartitionSettings

MOST_SHOWN: Final = 48
"""So many clients are described in a run's results."""
_T = TypeVar("_T")


def plain_clients(preparation: Preparation) -> dict[str, Any]:
    """What ``results.json`` says of the first fold's clients, if the task has no more to say: who holds how many."""
    fold = preparation.folds[0]
    clients = preparation.clients(fold)
    held = {name: [share.person for share in shares] for name, shares in fold.holdings.items()}
    return {
        "fold": fold.name,
        "how": describe(preparation.spec.partition.settings()),
        "count": len(clients),
        "rows": [
            {"name": name, "persons": held.get(name, [name]), "samples": clients[name]}
            for name in described_of(list(clients))
        ],
    }


def described_of(clients: Sequence[_T]) -> list[_T]:
    """`MOST_SHOWN` of the clients, evenly chosen; all, if there are no more."""
    return [clients[index] for index in np.unique(np.linspace(0, len(clients) - 1, MOST_SHOWN).round().astype(int))]


def describe(settings: PartitionSettings) -> str:
    """How clients are made, in a few words."""
    if settings.by == "person":
        return "one for each person"
    if settings.by == "device":
        return "one for each device of a person"
    whose = "persons pooled" if settings.clients is not None else "each within one person"
    if settings.by == "label_skew":
        return f"label skew with alpha {settings.alpha:g}, {whose}"
    return f"{settings.size_law} sizes with spread {settings.size_spread:g}, {whose}"
