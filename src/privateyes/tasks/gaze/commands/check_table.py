"""What a check of a data file found, as a table and lines."""

from __future__ import annotations

from typing import Final

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.tasks.gaze.check import CheckReport
from privateyes.wording import counted

_MISSING: Final = "-"


def print_check(report: CheckReport) -> None:
    """Statistics per person in degrees, then the findings, errors first, then what nobody can tell from the images."""
    title = f"{report.path}: gaze and head (pitch, yaw) in degrees"
    points = any(person.point_mean_cm is not None for person in report.persons)
    table = FittedTable(f"{title}, point (x, y) in cm" if points else title)
    table.add_column("person")
    labels = ("gaze mean", "gaze SD", "head mean", "head SD", *(("point mean", "point SD") if points else ()))
    for heading in ("images", "size", *labels, "grey mean"):
        table.add_column(heading, justify="right")
    for person in report.persons:
        angles = (person.gaze_mean_deg, person.gaze_sd_deg, person.head_mean_deg, person.head_sd_deg)
        pairs = [*angles, *((person.point_mean_cm, person.point_sd_cm) if points else ())]
        size = f"{person.size[0]}x{person.size[1]}{' RGB' if person.colour else ''}"
        table.add_row(person.name, str(person.images), size, *map(_pair, pairs), f"{person.grey_mean:.0f}")
    console = make_console()
    if report.persons:
        console.print(table)
    for finding in report.findings:
        whom = f"person {finding.person}: " if finding.person else ""
        line = f"{finding.severity.value}: {whom}{finding.what}; {finding.remedy}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for untold in report.untold:
        console.print(f"cannot tell {untold}", highlight=False, markup=False, soft_wrap=True)
    counts = [counted(len(report.errors), "error"), counted(len(report.warnings), "warning")]
    console.print(", ".join(counts), highlight=False)


def _pair(values: tuple[float, float] | None) -> str:
    return _MISSING if values is None else f"{values[0]:.1f}, {values[1]:.1f}"
