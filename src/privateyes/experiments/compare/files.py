"""A comparison as CSV: one row per method, and one row per method, person and seed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from privateyes.files import write_atomically

TABLE = "comparison.csv"
ERRORS = "errors.csv"


def write_tables(folder: Path, results: Mapping[str, Any]) -> None:
    """Write both CSV files into a comparison's directory; errors are in the unit that the column's name ends with."""
    rows = [_row(entry, results["unit"]) for entry in results["methods"]]
    _write(folder / TABLE, list(rows[0]), (row.values() for row in rows))
    header = ["method", "person", "seed", f"error_{results['unit']}"]
    _write(folder / ERRORS, header, _errors(results))


def _row(entry: Mapping[str, Any], unit: str) -> dict[str, object]:
    low, high = entry["interval"] or (None, None)
    row: dict[str, object] = {
        "method": entry["method"],
        f"error_{unit}": entry["mean"],
        f"low_{unit}": low,
        f"high_{unit}": high,
        "persons": entry["persons"],
        f"sd_over_persons_{unit}": entry["sd_over_persons"],
        f"sd_over_seeds_{unit}": entry["sd_over_seeds"],
        "seconds_per_round": entry["seconds"]["per_round"],
        "seconds_training_per_round": entry["seconds"]["per_round_training"],
        "seconds_exchange_per_round": entry["seconds"]["per_round_exchange"],
        "seconds_per_run": entry["seconds"]["per_run"],
        "cpu_seconds_per_round": entry["seconds"]["cpu_per_round"],
        "cpu_seconds_per_run": entry["seconds"]["cpu_per_run"],
        "bytes_up_per_client_round": entry["bytes"]["up_per_client_round"],
        "bytes_down_per_client_round": entry["bytes"]["down_per_client_round"],
        "bytes_up_per_client_once": entry["bytes"]["up_per_client_once"],
        "bytes_per_run": entry["bytes"]["per_run"],
        "estimated_wh_per_run": entry["energy_wh"]["per_run"],
    }
    for target in entry["targets"]:
        level = f"{target['error']:g}_{unit}"
        row[f"rounds_to_{level}"] = target["rounds"]
        row[f"cpu_seconds_to_{level}"] = target["seconds"]
        row[f"seeds_reaching_{level}"] = target["seeds_reached"]
    return row


def _errors(results: Mapping[str, Any]) -> Iterable[Sequence[object]]:
    for entry in results["methods"]:
        for person, by_seed in entry["per_person_and_seed"].items():
            for seed, error in by_seed.items():
                yield entry["method"], person, seed, error


def _write(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    write_atomically(path, text.getvalue().encode())
