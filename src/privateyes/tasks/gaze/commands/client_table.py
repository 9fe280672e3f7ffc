"""The clients of a data file as a table."""

from __future__ import annotations

import numpy as np

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.tasks.gaze.clients import ClientSurvey
from privateyes.tasks.gaze.metrics import coordinates_of, metric_of_label

_MOST_NAMES = 3


def print_clients(survey: ClientSurvey) -> None:
    """One line per client: whose images, how many, where they look, and how far that is from everybody's gaze."""
    gaze = survey.rows.target == "gaze"
    table = FittedTable(survey.title)
    table.add_column("client", wrap=False)
    table.add_column("persons")
    metric = metric_of_label(survey.rows.target)
    coordinates = coordinates_of(survey.rows.target)
    for heading in ("images", *(f"{name} mean ± SD" for name in coordinates), "skew", "by chance"):
        table.add_column(heading, justify="right")
    for entry in survey.statistics:
        means = np.rad2deg(entry.mean) if gaze else entry.mean
        spreads = np.rad2deg(entry.spread) if gaze else entry.spread
        labels = [f"{mean:.1f} ± {metric.written(spread, 1)}" for mean, spread in zip(means, spreads, strict=True)]
        skews = (f"{entry.distance:.2f}", f"{entry.distance_by_chance:.2f}")
        table.add_row(entry.name, _whose(entry.persons), f"{entry.samples:,}", *labels, *skews)
    console = make_console()
    console.print(table)
    samples = [entry.samples for entry in survey.statistics]
    skew = [entry.distance for entry in survey.statistics]
    summary = f"images per client {min(samples):,} to {max(samples):,}; skew {min(skew):.2f} to {max(skew):.2f}"
    console.print(f"{summary}, mean {np.mean(skew):.2f}", highlight=False)
    for note in survey.partition.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)


def _whose(persons: tuple[str, ...]) -> str:
    if len(persons) <= _MOST_NAMES:
        return ", ".join(persons)
    return f"{len(persons)} persons"
