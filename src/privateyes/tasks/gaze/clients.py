"""Clients of an experiment or of a data file: the partition, in numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privateyes.errors import DataError
from privateyes.experiments.clients import describe, described_of
from privateyes.experiments.folds import Fold
from privateyes.federation.partition import ClientStatistics, Partition, PartitionSettings, client_statistics, divide
from privateyes.federation.partition.bins import client_labels
from privateyes.tasks.gaze.label_rows import LabelRows, read_label_rows
from privateyes.tasks.gaze.task import GazeTask
from privateyes.wording import counted


@dataclass(frozen=True, slots=True, eq=False)
class ClientSurvey:
    """A data file divided into clients.

    Attributes:
        rows: everybody's labels.
        partition: who holds which rows.
        statistics: each client in numbers, in the partition's order; angles in radians.
        title: what was divided how, in a line.
    """

    rows: LabelRows
    partition: Partition
    statistics: list[ClientStatistics]
    title: str


@dataclass(frozen=True, slots=True)
class FileRows:
    """Which rows of which file: `leave_out` names persons that are not divided, such as those to be tested on."""

    path: Path
    leave_out: Sequence[str] = ()
    image_limit: int | None = None


def survey_clients(source: FileRows, settings: PartitionSettings, seed: int) -> ClientSurvey:
    """Divide a data file as an experiment would divide its training persons.

    Args:
        source: file and rows.
        settings: how to divide.
        seed: the experiment's.

    Raises:
        DataError: the file cannot be used, or a person in `leave_out` is not in it.
        ConfigError: as `privateyes.federation.partition.divide`.
    """
    rows = read_label_rows(source.path, image_limit=source.image_limit)
    for name in source.leave_out:
        if name not in rows.persons:
            raise DataError(f"{source.path}: there is no person {name}", f"the file holds {', '.join(rows.persons)}")
    train = {name: person for name, person in rows.persons.items() if name not in source.leave_out}
    partition = divide(train, settings, seed)
    partition.require_sound(list(train), {name: len(person) for name, person in train.items()})
    statistics = client_statistics(partition, train, settings)
    clients, people = counted(len(statistics), "client"), counted(len(train), "person")
    title = f"{source.path.name}: {clients} of {people}, {describe(settings)}, seed {seed}"
    return ClientSurvey(LabelRows(train, rows.target), partition, statistics, title)


def draw_survey(survey: ClientSurvey, path: Path) -> None:
    """Draw each client's gaze distribution into a picture file.

    Raises:
        DataError: the file cannot be written, or its name ends with no known format.
    """
    from privateyes.tasks.gaze.client_sheet import Panel, draw_clients, write_clients  # with matplotlib

    panels = []
    for entry in survey.statistics:
        labels = client_labels(survey.partition, survey.rows.persons, entry.name)
        panels.append(Panel(entry, np.rad2deg(labels) if survey.rows.target == "gaze" else labels))
    write_clients(path, draw_clients(panels, survey.rows.target, survey.title))


def clients_of_run(fold: Fold, settings: PartitionSettings, task: GazeTask) -> dict[str, Any]:
    """What ``results.json`` says of a fold's clients: whose images each holds, how many, and where they look.

    Angles are in degrees, points in cm. Of more than `MOST_SHOWN` clients, evenly chosen ones are described.
    """
    persons = read_label_rows(task.path, fold.train, task.image_limit, task.label).persons
    partition = fold.partition or divide(persons, PartitionSettings(), 0)
    found = client_statistics(partition, persons, settings)
    scale = float(np.rad2deg(1.0)) if task.label == "gaze" else 1.0
    return {
        "fold": fold.name,
        "how": describe(settings),
        "label": task.label,
        "bins": [settings.pitch_bins, settings.yaw_bins],
        "count": len(found),
        "rows": [
            {
                "name": entry.name,
                "persons": list(entry.persons),
                "samples": entry.samples,
                "mean": [scale * value for value in entry.mean],
                "spread": [scale * value for value in entry.spread],
                "skew": entry.distance,
                "skew_by_chance": entry.distance_by_chance,
                "cells": list(entry.cells),
            }
            for entry in described_of(found)
        ],
    }
