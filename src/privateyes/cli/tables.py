"""Results as tables, in units that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.experiments.clipping import told_of_clipping
from privateyes.experiments.learned import PARTIES
from privateyes.experiments.spec_tables import DEFAULT_TASK
from privateyes.experiments.tasks import find_task, metric_of
from privateyes.training.metric import Metric
from privateyes.wording import counted

if TYPE_CHECKING:  # every command prints, and none needs all of this
    from privateyes.experiments.clean import Remnant
    from privateyes.experiments.evaluate import Evaluation

_MISSING = "-"


def print_outcome(results: Mapping[str, Any], directory: Path, page: Path) -> None:
    """The tables of a finished run, and where its page is."""
    console = make_console()
    console.print(_methods_table(results))
    for line in _remarks(results):
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)
    console.print(_learned_table(results))
    console.print(f"run: {directory}   page: {page}", highlight=False, markup=False, soft_wrap=True)


def print_evaluation(evaluation: Evaluation) -> None:
    """One line per person, and the mean."""
    fold = f"fold {evaluation.fold}, after round {evaluation.round}"
    table = FittedTable(f"{evaluation.method} ({fold})")
    table.add_column("person")
    table.add_column("images", justify="right")
    metric = evaluation.metric
    table.add_column(f"mean {metric.name}", justify="right")
    for one in evaluation.further:
        table.add_column(f"mean {one.name}", justify="right")
    table.add_column("")
    for person, error in evaluation.error.items():
        seen = "trained on" if person in evaluation.trained_on else ""
        table.add_row(
            person, str(evaluation.images[person]), _error(error, metric), *_further(evaluation, person), seen
        )
    table.add_section()
    mean = float(np.mean(list(evaluation.error.values())))
    table.add_row("mean", str(sum(evaluation.images.values())), _error(mean, metric), *_further(evaluation), "")
    make_console().print(table)


def _further(evaluation: Evaluation, person: str | None = None) -> list[str]:
    """Values by the further metrics: a person's, or the means over all."""
    return [
        metric.written(float(np.mean(list(values.values()))) if person is None else values[person])
        for metric, values in evaluation.further.items()
    ]


def print_remnants(directory: Path, remnants: Sequence[Remnant]) -> None:
    """What can be removed from a run's directory, and how large it is."""
    console = make_console()
    if not remnants:
        console.print(f"{directory}: nothing to remove", highlight=False, markup=False, soft_wrap=True)
        return
    table = FittedTable(str(directory))
    table.add_column("path")
    table.add_column("size", justify="right")
    table.add_column("what it is")
    for remnant in remnants:
        path = "\n".join(map(str, (remnant.path.relative_to(directory), *remnant.mirrors)))
        table.add_row(path, human_bytes(remnant.size_bytes), remnant.kind.value)
    console.print(table)


def human_bytes(count: float) -> str:
    """``317.0 kB``: decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _methods_table(results: Mapping[str, Any]) -> FittedTable:
    predictor = results["mean_predictor"]
    whom = "nobody is left to test on" if predictor is None else "on people never trained on"
    table = FittedTable(f"{whom}; bytes per client and round")
    metric = metric_of(results)
    table.add_column("method", wrap=False)
    task = find_task(str(results.get("task", DEFAULT_TASK)))
    further = [task.metric(key) for key in results["rows"][0].get("measures", {})]
    headings = [f"mean {metric.name}", "SD over people", *(f"mean {one.name}" for one in further)]
    for heading in (*headings, "s per round", "bytes up", "bytes down"):
        table.add_column(heading, justify="right")
    for row in results["rows"]:
        exchanged = row["bytes_up_per_client_round"] > 0
        table.add_row(
            row["method"],
            _error(row["mean_error"], metric),
            _error(row["spread"], metric),
            *(one.written(row["measures"][one.key]["mean"]) for one in further),
            f"{row['seconds_per_round']:.2f}",
            human_bytes(row["bytes_up_per_client_round"]) if exchanged else _upload_once(row),
            human_bytes(row["bytes_down_per_client_round"]) if exchanged else _MISSING,
        )
    if predictor is not None:
        table.add_section()
        table.add_row("mean predictor", _error(predictor["mean_error"], metric), *[_MISSING] * (4 + len(further)))
    return table


def _upload_once(row: Mapping[str, Any]) -> str:
    return f"{human_bytes(row['bytes_up_per_client_once'])} once" if row["bytes_up_per_client_once"] else _MISSING


def _learned_table(results: Mapping[str, Any]) -> FittedTable:
    table = FittedTable("who learned what")
    for heading in ("method", *(f"each {party}" if party != "hub" else "the hub" for party in PARTIES)):
        table.add_column(heading, wrap=heading != "method")
    for row in results["rows"]:
        table.add_row(row["method"], *(row["learned"][party] for party in PARTIES))
    return table


def _remarks(results: Mapping[str, Any]) -> list[str]:
    lines = []
    predictor, metric = results["mean_predictor"], metric_of(results)
    if predictor is None:
        lines.append("everyone was trained on: nothing here says how far these models are off on a new person")
    elif not any(metric.better(row["mean_error"], predictor["mean_error"]) for row in results["rows"]):
        lines.append("warning: no method is better than the mean predictor: none of them learned anything of use")
    equality, replay = results["equality"], results["replay"]
    if equality is not None:
        difference = equality["error_difference"]
        unit = f" {metric.word}" if metric.word else ""
        apart = "" if difference is None else f"; final {metric.plural} at most {difference:.4f}{unit} apart"
        lines.append(
            f"secure against plain averaging: largest deviation {equality['largest_deviation']:.2e} of a bound of "
            f"{equality['bound']:.2e} per parameter{apart}"
        )
        clipped = told_of_clipping(equality)
        if clipped is not None:
            lines.append(f"warning: {clipped}")
    if replay is not None:
        refused = sum(verdict["refused"] for verdict in replay["verdicts"])
        count = len(replay["verdicts"])
        cheat = replay["altered_by"]
        lines.append(
            f"demonstration: a round again, in which {cheat} alters its share: {refused} of {count} clients refused"
        )
    lines += [
        f"{row['method']}: {counted(row['void_rounds'], 'round')} void, for too few clients arrived"
        for row in results["rows"]
        if row.get("void_rounds")
    ]
    lines += [
        f"{row['method']}: ended with round {', '.join(map(str, row['converged'].values()))}: "
        "the model no longer changed"
        for row in results["rows"]
        if row.get("converged")
    ]
    return [*lines, *_stopping_remarks(results)]


def _stopping_remarks(results: Mapping[str, Any]) -> list[str]:
    """Whose errors are not of the last round."""
    lines = []
    for row in results["rows"]:
        ends = row.get("best_rounds", {})
        rounds = [f"{best} of {row['rounds_run'][fold]}" for fold, best in ends.items()]
        if rounds:
            word = "round" if len(rounds) == 1 else "rounds"
            lines.append(
                f"{row['method']}: the model of {word} {', '.join(rounds)}, the best on the validation persons"
            )
    return lines


def _error(value: float | None, metric: Metric) -> str:
    return _MISSING if value is None else metric.written(value)
