"""Results as tables, in units that people read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from privateyes.cli.console import make_console
from privateyes.experiments.evaluate import Evaluation
from privateyes.experiments.learned import PARTIES
from privateyes.tasks.gaze.check import CheckReport

_MISSING = "-"


def print_outcome(results: Mapping[str, Any], directory: Path, page: Path) -> None:
    """The tables of a finished run, and where its page is."""
    console = make_console()
    console.print(_ways_table(results))
    for line in _remarks(results):
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
    console.print(_learned_table(results))
    console.print(f"run: {directory}   page: {page}", highlight=False, soft_wrap=True)


def print_evaluation(evaluation: Evaluation) -> None:
    """One line per person, and the mean."""
    fold = f"fold {evaluation.fold}, after round {evaluation.round}"
    table = Table(title=f"{evaluation.way} ({fold})", box=box.SIMPLE, title_justify="left")
    table.add_column("person")
    table.add_column("images", justify="right")
    table.add_column("mean error", justify="right")
    table.add_column("")
    for person, error in evaluation.error.items():
        seen = "trained on" if person in evaluation.trained_on else ""
        table.add_row(person, str(evaluation.images[person]), _degrees(error), seen)
    table.add_section()
    mean = float(np.mean(list(evaluation.error.values())))
    table.add_row("mean", str(sum(evaluation.images.values())), _degrees(mean), "")
    make_console().print(table)


def print_check(report: CheckReport) -> None:
    """Statistics per person in degrees, then the findings, errors first."""
    table = Table(title=f"{report.path}: (pitch, yaw) in degrees", box=box.SIMPLE, title_justify="left")
    table.add_column("person")
    for heading in ("images", "size", "gaze mean", "gaze SD", "head mean", "head SD", "grey mean"):
        table.add_column(heading, justify="right")
    for person in report.persons:
        angles = (person.gaze_mean_deg, person.gaze_sd_deg, person.head_mean_deg, person.head_sd_deg)
        pairs = [f"{pitch:.1f}, {yaw:.1f}" for pitch, yaw in angles]
        size = f"{person.size[0]}x{person.size[1]}"
        table.add_row(person.name, str(person.images), size, *pairs, f"{person.grey_mean:.0f}")
    console = make_console()
    if report.persons:
        console.print(table)
    for finding in report.findings:
        whom = f"person {finding.person}: " if finding.person else ""
        line = f"{finding.severity.value}: {whom}{finding.what}; {finding.remedy}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    counts = [_count(len(report.errors), "error"), _count(len(report.warnings), "warning")]
    console.print(", ".join(counts), highlight=False)


def human_bytes(count: float) -> str:
    """``317.0 kB``: decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _ways_table(results: Mapping[str, Any]) -> Table:
    table = Table(title="on people never trained on; bytes per client and round", box=box.SIMPLE, title_justify="left")
    table.add_column("way", no_wrap=True)
    for heading in ("mean error", "SD over people", "s per round", "bytes up", "bytes down"):
        table.add_column(heading, justify="right")
    for row in results["rows"]:
        exchanged = row["bytes_up_per_client_round"] > 0
        table.add_row(
            row["way"],
            _degrees(row["mean_error"]),
            _degrees(row["spread"]),
            f"{row['seconds_per_round']:.2f}",
            human_bytes(row["bytes_up_per_client_round"]) if exchanged else _upload_once(row),
            human_bytes(row["bytes_down_per_client_round"]) if exchanged else _MISSING,
        )
    table.add_section()
    table.add_row("mean predictor", _degrees(results["mean_predictor"]["mean_error"]), *[_MISSING] * 4)
    return table


def _upload_once(row: Mapping[str, Any]) -> str:
    return f"{human_bytes(row['bytes_up_per_client_once'])} once" if row["bytes_up_per_client_once"] else _MISSING


def _learned_table(results: Mapping[str, Any]) -> Table:
    table = Table(title="who learned what", box=box.SIMPLE, title_justify="left")
    for heading in ("way", *(f"each {party}" if party != "hub" else "the hub" for party in PARTIES)):
        table.add_column(heading, no_wrap=heading == "way")
    for row in results["rows"]:
        table.add_row(row["way"], *(row["learned"][party] for party in PARTIES))
    return table


def _remarks(results: Mapping[str, Any]) -> list[str]:
    lines = []
    equality, replay = results["equality"], results["replay"]
    if equality is not None:
        difference = equality["error_difference"]
        apart = "" if difference is None else f"; final errors {difference:.4f} degrees apart"
        lines.append(
            f"private against plain averaging: largest deviation {equality['largest_deviation']:.2e} of a bound of "
            f"{equality['bound']:.2e} per parameter{apart}"
        )
    if replay is not None:
        refused = sum(verdict["refused"] for verdict in replay["verdicts"])
        count = len(replay["verdicts"])
        lines.append(f"replay: {replay['altered_by']} altered its share; {refused} of {count} clients refused")
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _degrees(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.2f}°"
