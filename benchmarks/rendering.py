"""How many synthetic eye images one core renders in a second.

    python benchmarks/rendering.py [--json PATH]

Compiling happens before the clock starts. Each run renders persons one after another, tables and labels included. The
rate counts the processor time of the single thread that renders, so that other programs on the machine matter less; the
rate by the clock on the wall is shown beside it. Both are medians of the runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from rich.table import Table

from measuring import caption, machine, wide_console, write_json
from privateyes.tasks.gaze.synthetic import render_persons

SIZES = ((36, 60), (9, 15), (72, 120))
PERSONS, IMAGES = 2, 300
TARGET = {(36, 60): 500.0}


def images_per_second(size: tuple[int, int], runs: int) -> tuple[list[float], list[float]]:
    """Rates of several runs: by processor time and by the wall clock."""
    by_processor, by_wall = [], []
    for run in range(runs):
        wall, processor = time.perf_counter(), time.process_time()
        rendered = sum(len(person) for person in render_persons(run, PERSONS, IMAGES, size))
        by_processor.append(rendered / (time.process_time() - processor))
        by_wall.append(rendered / (time.perf_counter() - wall))
    return by_processor, by_wall


def main() -> None:
    parser = argparse.ArgumentParser(description="Images rendered per second on one core.")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers to this file")
    parser.add_argument("--runs", type=int, default=5, help="runs per image size (default 5)")
    arguments = parser.parse_args()
    list(render_persons(0, 1, 2))

    table = Table(title=f"{PERSONS} persons x {IMAGES} images on one core, median of {arguments.runs} runs")
    for heading in ("size", "images/s", "slowest", "fastest", "by the wall", "at least"):
        table.add_column(heading, justify="right")
    results = []
    for size in SIZES:
        rates, by_wall = images_per_second(size, arguments.runs)
        median, wall, target = statistics.median(rates), statistics.median(by_wall), TARGET.get(size)
        results.append({
            "height": size[0],
            "width": size[1],
            "images_per_second": median,
            "images_per_second_wall": wall,
            "runs": rates,
            "runs_wall": by_wall,
        })  # fmt: skip
        numbers = [f"{number:.0f}" for number in (median, min(rates), max(rates), wall)]
        table.add_row(f"{size[0]}x{size[1]}", *numbers, f"{target:.0f}" if target else "")
    about = machine()
    table.caption = caption(about)
    wide_console().print(table)
    write_json(arguments.json, {"benchmark": "rendering", "machine": about, "results": results})


if __name__ == "__main__":
    main()
