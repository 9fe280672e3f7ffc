"""A partition from settings, data and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, DataError
from privateyes.federation.partition.bins import label_grid
from privateyes.federation.partition.devices import block_note, device_parts
from privateyes.federation.partition.settings import DEFAULT_DEVICES, PartitionSettings
from privateyes.federation.partition.shares import Partition, PersonRows, Share, share_of
from privateyes.federation.partition.skews import deal_by_label, deal_by_size
from privateyes.federation.seeds import derive_seed

Clients = dict[str, tuple[Share, ...]]
# Labels of some samples -> the positions that each of so many clients gets; the seed decides which.
Dealer = Callable[[NDArray[np.floating], int, int], list[NDArray[np.int64]]]


def divide(persons: Mapping[str, PersonRows], settings: PartitionSettings, seed: int) -> Partition:
    """Divide the samples of `persons` into clients; every sample goes to exactly one.

    Pass the training persons only: what a test person looked at must not decide who trains on what. The result depends
    on the arguments alone, not on the order of the persons. A person's own clients (device, clients_per_person) do not
    depend on who the other persons are, so they are the same in every fold.

    Args:
        persons: name -> what the partition may know; at least one.
        settings: how to divide.
        seed: the experiment's.

    Returns:
        Clients called p03 (by person), p03-phone or p03-d1 (by device), p03-c1 (clients of one person), c01 (persons
        pooled), in the order of their names.

    Raises:
        ConfigError: the settings contradict each other, or leave a client fewer samples than `minimum`.
        DataError: a person has too few days or rows, or two clients would have one name.
    """
    settings.require_consistent()
    if not persons:
        raise DataError("nobody's samples are left to divide", "train on one person at least")
    ordered = {name: persons[name] for name in sorted(persons)}
    notes: list[str] = []
    if settings.by == "person":
        clients: Clients = {name: (_all_rows(name, rows),) for name, rows in ordered.items()}
    elif settings.by == "device":
        clients = _by_device(ordered, settings.clients_per_person or DEFAULT_DEVICES)
        notes += [note for note in [block_note(ordered)] if note]
    elif settings.clients is not None:
        clients = _pooled(ordered, settings, settings.clients, seed)
    else:
        clients = _within_persons(ordered, settings, settings.clients_per_person or 1, seed)
    partition = Partition(dict(sorted(clients.items())), tuple(notes))
    _require_minimum(partition, settings)
    return partition


def _all_rows(name: str, rows: PersonRows) -> Share:
    return Share(name, np.arange(len(rows), dtype=np.int64))


def _by_device(persons: Mapping[str, PersonRows], blocks: int) -> Clients:
    clients: Clients = {}
    for name, rows in persons.items():
        for device, part in device_parts(name, rows, blocks).items():
            _add(clients, f"{name}-{device}", (share_of(name, part),))
    return clients


def _within_persons(persons: Mapping[str, PersonRows], settings: PartitionSettings, count: int, seed: int) -> Clients:
    clients: Clients = {}
    deal = _dealer(settings)
    for name, rows in persons.items():
        _require_enough(len(rows), count, settings, f"the {len(rows)} samples of {name}")
        parts = deal(rows.labels, count, derive_seed(seed, "partition", settings.by, name))
        for client, part in zip(_numbered("c", count), parts, strict=True):
            _add(clients, f"{name}-{client}", (share_of(name, part),))
    return clients


def _pooled(persons: Mapping[str, PersonRows], settings: PartitionSettings, count: int, seed: int) -> Clients:
    names = list(persons)
    labels = np.concatenate([rows.labels for rows in persons.values()])
    _require_enough(len(labels), count, settings, f"the {len(labels)} samples of all training persons")
    owner = np.repeat(np.arange(len(names)), [len(rows) for rows in persons.values()])
    row = np.concatenate([np.arange(len(rows)) for rows in persons.values()])
    parts = _dealer(settings)(labels, count, derive_seed(seed, "partition", settings.by))
    clients: Clients = {}
    for client, part in zip(_numbered("c", count), parts, strict=True):
        whose = owner[part]
        shares = tuple(share_of(names[index], row[part[whose == index]]) for index in np.unique(whose))
        clients[client] = shares
    return clients


def _dealer(settings: PartitionSettings) -> Dealer:
    if settings.by == "label_skew":

        def by_label(labels: NDArray[np.floating], count: int, seed: int) -> list[NDArray[np.int64]]:
            from_grid = label_grid(labels, settings).cell_of(labels)
            return deal_by_label(from_grid, count, settings.alpha, seed)

        return by_label
    return lambda labels, count, seed: deal_by_size(len(labels), count, settings, seed)


def _numbered(prefix: str, count: int) -> Sequence[str]:
    """c1 ... c9, or c01 ... c12: the names' order is the numbers' order."""
    width = len(str(count))
    return [f"{prefix}{number:0{width}d}" for number in range(1, count + 1)]


def _add(clients: Clients, name: str, shares: tuple[Share, ...]) -> None:
    if name in clients:
        raise DataError(f"two clients would be called {name}", "rename a person or a device")
    clients[name] = shares


def _require_enough(samples: int, clients: int, settings: PartitionSettings, what: str) -> None:
    if samples < clients * settings.least:
        problem = f"{what} cannot give {clients} clients {settings.least} samples each"
        raise ConfigError(problem, "lower the number of clients, or partition.minimum")


def _require_minimum(partition: Partition, settings: PartitionSettings) -> None:
    samples = partition.samples()
    client = min(samples, key=lambda name: samples[name])
    if samples[client] >= settings.least:
        return
    key = "partition.minimum" if settings.minimum is not None else "partition.minimum (by default)"
    problem = f"client {client} would have {samples[client]} samples, fewer than {key} = {settings.least}"
    lower = {"size_skew": "lower partition.size_spread, the number of clients", "person": "leave this person out"}
    raise ConfigError(problem, f"{lower.get(settings.by, 'lower the number of clients')}, or lower partition.minimum")
