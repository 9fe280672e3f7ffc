"""Print the README's table of errors from the committed comparisons; a test holds the README to it.

python tools/comparison_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "benchmarks" / "results" / "compare"
COLUMNS = {
    "mpiigaze_crops": "MPIIGaze crops, `small_cnn`",
    "mpiigaze_crops_momentum": "crops, momentum at the clients",
    "synthetic_lenet": "synthetic, LeNet",
    "synthetic_resnet": "synthetic, ResNet-preact-8",
    "synthetic_resnet_long_rounds": "the same, long local rounds",
    "p00_within_person": "p00, later days, LeNet",
}
MISSING = "-"


def table() -> str:
    """Markdown: a way a row, a comparison a column, mean error and 95 % interval in degrees."""
    results = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in COLUMNS}
    found = {name: {row["way"]: row for row in result["ways"]} for name, result in results.items()}
    ways = list(dict.fromkeys(way for rows in found.values() for way in rows))
    lines = ["| way | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for way in ways:
        cells = [_cell(rows.get(way)) for rows in found.values()]
        lines.append(f"| `{way}` | " + " | ".join(cells) + " |")
    means = [_cell(result["mean_predictor"]) for result in results.values()]
    lines.append("| mean gaze | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return MISSING
    interval = row["interval"] if row["persons"] > 2 else None  # of two test blocks an interval says nothing
    shown = f"{row['mean']:.2f}"
    return f"{shown} ({interval[0]:.1f} to {interval[1]:.1f})" if interval else shown


if __name__ == "__main__":
    print(table())
