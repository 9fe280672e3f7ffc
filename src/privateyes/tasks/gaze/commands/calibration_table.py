"""Errors before and after personal calibration, as a table."""

from __future__ import annotations

from pathlib import Path

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.experiments.calibrate import CalibrationReport
from privateyes.training.metric import Metric


def print_calibration(report: CalibrationReport, file: Path) -> None:
    """One line per person, one column per k: mean over the draws and SD over them; then the mean over persons."""
    settings, metric = report.settings, report.metric
    draws = f"{settings.draws} {'draw' if settings.draws == 1 else 'draws'} of {settings.placement} images"
    table = FittedTable(f"{report.method}, {settings.adapt}, {draws}")
    table.add_column("person", wrap=False)
    for heading in ("images", "eyes", "uncalibrated", *(f"k = {k}" for k in settings.samples)):
        table.add_column(heading, justify="right")
    for person in report.persons:
        errors = [_pair(person.by_k[k].mean, person.by_k[k].spread, metric) for k in settings.samples]
        uncalibrated = metric.written(person.uncalibrated)
        table.add_row(person.person, f"{person.samples:,}", str(person.eyes), uncalibrated, *errors)
    table.add_section()
    means = [_pair(report.mean_error(k), report.spread(k), metric) for k in (None, *settings.samples)]
    table.add_row("mean", f"{sum(person.samples for person in report.persons):,}", "", *means)
    console = make_console()
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    each = "k images of each eye" if any(person.eyes > 1 for person in report.persons) else "k images of a person"
    line = f"{each}; ± is the SD over draws, in the last line over persons.   file: {file}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _pair(mean: float, spread: float | None, metric: Metric) -> str:
    return metric.written(mean) if spread is None else f"{mean:.{metric.places}f} ± {metric.written(spread)}"
