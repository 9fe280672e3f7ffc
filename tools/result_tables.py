"""Print the tables of README.md and docs/results.md from the committed results; a test holds both pages to them.

python tools/result_tables.py    # errors, errors in short, costs, costs in short
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parents[1] / "benchmarks" / "results"
COMPARISONS: Final = {
    "mpiigaze_crops": "MPIIGaze crops, `small_cnn`",
    "mpiigaze_crops_momentum": "crops, momentum at the clients",
    "synthetic_lenet": "synthetic, LeNet",
    "synthetic_resnet": "synthetic, ResNet-preact-8",
    "synthetic_resnet_long_rounds": "the same, long local rounds",
    "p00_within_person": "p00, later days, LeNet",
}
MAIN_COMPARISONS: Final = ("mpiigaze_crops", "synthetic_lenet", "synthetic_resnet")
MAIN_METHODS: Final = ("centralised", "local", "federated", "adaptive", "private", "private-adaptive")
AGGREGATORS: Final = 3
MAIN_DIMENSION: Final = 1_827_076
CLIENTS: Final = (15, 1000)
MISSING: Final = "-"


def errors(names: Sequence[str] = tuple(COMPARISONS), only: Sequence[str] = ()) -> str:
    """A method a row, a comparison a column: mean error and 95 % interval in degrees.

    Args:
        names: of the comparisons.
        only: these methods; all that there are by default.
    """
    results = {name: json.loads((RESULTS / "compare" / f"{name}.json").read_text()) for name in names}
    found = {name: {row["method"]: row for row in result["methods"]} for name, result in results.items()}
    methods = only or list(dict.fromkeys(method for rows in found.values() for method in rows))
    rows = [[f"`{method}`", *(_error(known.get(method)) for known in found.values())] for method in methods]
    rows.append(["mean gaze", *(_error(result["mean_predictor"]) for result in results.values())])
    return _markdown(["method", *(COMPARISONS[name] for name in names)], rows)


def _error(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return MISSING
    interval = row["interval"] if row["persons"] > 2 else None  # of two test blocks an interval says nothing
    shown = f"{row['mean']:.2f}"
    return f"{shown} ({interval[0]:.1f} to {interval[1]:.1f})" if interval else shown


def costs() -> str:
    """What each role pays for an element, by the model's size and the field."""
    measured = json.loads((RESULTS / "aggregation.json").read_text())
    rows = []
    for client in measured["clients"]:
        if client["aggregators"] != AGGREGATORS:
            continue
        roster = [_roster(measured, client["dimension"], client["field"], m) for m in CLIENTS]
        rows.append(
            [
                f"{client['dimension']:,}",
                client["field"],
                f"{client['upload_ratio']:.3f}",
                f"{client['bare_ns']:.1f} ({client['share_ns']:.1f}; {client['submission_ns']:.1f})",
                *(_told(row, lambda own: f"{own['aggregator_ns']:.2f}") for row in roster),
                *(_told(row, _hub) for row in roster),
            ]
        )  # fmt: skip
    roles = [f"{role}, {m} clients" for role in ("aggregator", "hub") for m in CLIENTS]
    return _markdown(["d", "field", "upload / float32", "client", *roles], rows)


def costs_in_short() -> str:
    """The same for one model and 15 clients."""
    measured = json.loads((RESULTS / "aggregation.json").read_text())
    rows = []
    for client in measured["clients"]:
        if (client["aggregators"], client["dimension"]) == (AGGREGATORS, MAIN_DIMENSION):
            roster = _roster(measured, MAIN_DIMENSION, client["field"], CLIENTS[0])
            rows.append(
                [
                    f"`{client['field']}`",
                    f"{client['upload_ratio']:.2f}x",
                    f"{client['share_ns']:.1f} ns",
                    f"{roster['aggregator_ns']:.2f} ns",
                    f"{roster['hub_ratio']:.2f}x",
                ]
            )
    headings = ["field", "bytes sent, beside float32", "a client, for each parameter"]
    headings += ["an aggregator, for each parameter of each client", "the hub, beside averaging in the clear"]
    return _markdown(headings, rows)


def _hub(row: Mapping[str, Any]) -> str:
    return f"{row['hub_adding_ns'] / row['plain_ns']:.2f} ({row['hub_ratio']:.2f})"


def _roster(measured: Mapping[str, Any], dimension: int, field: str, clients: int) -> Mapping[str, Any]:
    """An aggregator's and the hub's row; empty where that size was not measured."""
    wanted = (dimension, field, clients)
    found = (row for row in measured["rosters"] if (row["dimension"], row["field"], row["clients"]) == wanted)
    return next(found, {})


def _told(row: Mapping[str, Any], tell: Any) -> str:
    return str(tell(row)) if row else MISSING


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "|" + "|".join(line) + "|" if line[0] == "---" else "| " + " | ".join(line) + " |" for line in lines
    )


ALL: Final = {
    "errors": errors,
    "errors in short": lambda: errors(MAIN_COMPARISONS, MAIN_METHODS),
    "costs": costs,
    "costs in short": costs_in_short,
}

if __name__ == "__main__":
    for title, table in ALL.items():
        print(f"{title}\n\n{table()}\n")
