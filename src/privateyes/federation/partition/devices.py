"""The devices of one person: by name, by recording day, or by blocks of rows."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.federation.partition.shares import PersonRows

_HARMFUL = re.compile(r"[^A-Za-z0-9_.]+")
_LONGEST = 30


def device_parts(person: str, rows: PersonRows, blocks: int) -> dict[str, NDArray[np.int64]]:
    """Device -> the rows of one person that it recorded.

    The first of these that the data allow: the person's devices, as the column `device` tells them apart; recording
    days or sessions, in order, in `blocks` groups of about equal size; the person's rows in `blocks` pieces of equal
    length, for each eye separately if the column `eye` is there (files often list left eyes before right ones).

    Args:
        person: for messages.
        rows: the person's labels and columns.
        blocks: how many devices to make up where no column names them, at least 1.

    Returns:
        A name for each, harmless in a file name: the device's own, or d1, d2, ...

    Raises:
        DataError: fewer days or rows than blocks.
    """
    if rows.device is not None:
        return _by_column(rows.device, rows.device_names)
    if rows.day is not None:
        return _numbered(_by_days(person, rows.day, blocks))
    if len(rows) < blocks:
        problem = f"person {person} has {len(rows)} samples, too few for {blocks} devices"
        raise DataError(problem, "lower partition.clients_per_person, or leave this person out")
    if rows.eye is None:
        return _numbered(np.array_split(np.arange(len(rows)), blocks))
    of_eyes = [np.array_split(np.flatnonzero(rows.eye == eye), blocks) for eye in np.unique(rows.eye)]
    return _numbered([np.concatenate(parts) for parts in zip(*of_eyes, strict=True)])


def block_note(persons: dict[str, PersonRows]) -> str:
    """How devices were told apart, where the data do not say it themselves; empty otherwise."""
    blind = [name for name, rows in persons.items() if rows.device is None and rows.day is None and rows.eye is None]
    days = [name for name, rows in persons.items() if rows.device is None and rows.day is not None]
    if blind:
        return (
            f"No column tells the devices of {_some(blind)} apart, so a device is a block of consecutive rows; if the "
            "file lists left eyes before right ones, a device then saw one eye."
        )
    return f"No column names the devices of {_some(days)}, so a device is a group of recording days." if days else ""


def _by_column(device: NDArray[np.integer], names: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    found = [int(index) for index in np.unique(device)]
    given = [names[index] if index < len(names) else "" for index in found]
    readable = [_HARMFUL.sub("-", name).strip("-.")[:_LONGEST] for name in given]
    plain = [f"d{index}" for index in found]
    chosen = [name or number for name, number in zip(readable, plain, strict=True)]
    labels = chosen if len(set(chosen)) == len(chosen) else plain
    return {label: np.flatnonzero(device == index) for label, index in zip(labels, found, strict=True)}


def _by_days(person: str, day: NDArray[np.integer], blocks: int) -> list[NDArray[np.int64]]:
    """Groups of consecutive days whose borders are those nearest to equal shares; each has a day at least."""
    days, counts = np.unique(day, return_counts=True)
    if len(days) < blocks:
        problem = f"person {person} was recorded on {len(days)} days, too few for {blocks} devices"
        raise DataError(problem, "lower partition.clients_per_person, or leave this person out")
    ends = np.cumsum(counts)
    borders = [0]
    for block in range(1, blocks):
        nearest = int(np.argmin(np.abs(ends - block * len(day) / blocks))) + 1
        borders.append(min(max(nearest, borders[-1] + 1), len(days) - (blocks - block)))
    borders.append(len(days))
    return [np.flatnonzero(np.isin(day, days[first:last])) for first, last in pairwise(borders)]


def _numbered(parts: list[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    return {f"d{number}": part for number, part in enumerate(parts, start=1)}


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} others"
