"""A comparison as tables, in units that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.cli.tables import human_bytes
from privateyes.experiments.compare.dispatch import Failure
from privateyes.experiments.compare.folder import ComparisonFolder, DiskUse
from privateyes.experiments.compare.relations import in_words
from privateyes.experiments.compare.sentences import calibration, clipping, counted, mpc, worse_than_mean
from privateyes.experiments.tasks import metric_of
from privateyes.training.metric import Metric

_MISSING = "-"
_LARGE_BYTES = 1e9


def print_comparison(results: Mapping[str, Any], directory: Path) -> None:
    """The tables of a comparison, and where its files are."""
    console = make_console()
    _show(console, _title(results), _errors_table(results))
    if any(entry["differences"] for entry in results["methods"]):
        title = f"difference on the same {results['persons_are']}, with its 95 % interval"
        side = "below" if metric_of(results).lower_is_better else "above"
        _show(console, f"{title}; {side} 0 is better than the baseline", _differences_table(results))
    _show(console, "costs; a run is one seed and one fold", _costs_table(results))
    if results["relations"]:
        _show(console, "relations", _relations_table(results))
    if results["calibration"]:
        _show(console, calibration(results), _calibration_table(results))
    generic = mpc(results)
    if generic is not None:
        for sentence in generic["sentences"]:
            _line(console, f"mpc: {sentence}")
        if generic["costs"]:
            _show(console, "costs of generic MPC, one fold", _mpc_table(generic["costs"]))
    for line in _remarks(results):
        _line(console, line)
    _line(console, _disk(ComparisonFolder(directory).disk_use()))
    _line(console, f"comparison: {directory}   page: {directory / 'comparison.html'}")


def print_failures(failures: Sequence[Failure], some_finished: bool = True) -> None:
    """The runs that stopped, on stderr, and whether any is finished."""
    for failure in failures:
        typer.echo(f"failed: {failure.run.name}: {failure.problem}", err=True)
    if failures:
        others = "the other runs went on" if some_finished else "no run is finished"
        typer.echo(f"{others}; after the remedy, continue with --resume", err=True)


def _show(console: Console, title: str, table: FittedTable) -> None:
    """A table below its title, which is not squeezed into the table's width."""
    _line(console, title)
    console.print(table)


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def _title(results: Mapping[str, Any]) -> str:
    runs, persons = results["runs"], counted(results["mean_predictor"]["persons"], results["persons_are"])
    return (
        f"{results['name']} ({results['model']}): mean {metric_of(results).name} on {persons} never trained on; "
        f"seeds {', '.join(map(str, results['seeds']))}; {runs['finished']} of {runs['planned']} runs"
    )


def _errors_table(results: Mapping[str, Any]) -> FittedTable:
    metric = metric_of(results)
    table = FittedTable()
    table.add_column("method", wrap=False)
    headings = [f"mean {metric.name}", "95 % interval", "SD over seeds", f"SD over {results['persons_are']}"]
    headings += [f"rounds (CPU s) to {_error(level, metric)}" for level in results["targets"]["errors"]]
    for heading in headings:
        table.add_column(heading, justify="right")
    for entry in results["methods"]:
        spreads = [_error(entry[key], metric) for key in ("sd_over_seeds", "sd_over_persons")]
        reached = [_reached(target) for target in entry["targets"]]
        table.add_row(entry["method"], _error(entry["mean"], metric), _interval(entry["interval"]), *spreads, *reached)
    predictor = results["mean_predictor"]
    table.add_section()
    row = (_error(predictor["mean"], metric), _interval(predictor["interval"]), _MISSING)
    filler = [_MISSING] * len(results["targets"]["errors"])
    table.add_row("mean predictor", *row, _error(predictor["sd_over_persons"], metric), *filler)
    ours = results.get("mpc", {}).get("errors")
    if ours is not None:
        row = (_error(ours["mean"], metric), _interval(ours["interval"]), _MISSING)
        table.add_row("mpc, few samples", *row, _error(ours["sd_over_persons"], metric), *filler)
    return table


def _differences_table(results: Mapping[str, Any]) -> FittedTable:
    baselines = results["baselines"]
    table = FittedTable()
    table.add_column("method", wrap=False)
    for baseline in baselines:
        table.add_column(f"minus {baseline}", justify="right")
    for entry in results["methods"]:
        found = [entry["differences"].get(baseline) for baseline in baselines]
        cells = [
            _MISSING if one is None else f"{one['mean']:+.3f}  {_interval(one['interval'], 3, '+')}" for one in found
        ]
        table.add_row(entry["method"], *cells)
    return table


def _costs_table(results: Mapping[str, Any]) -> FittedTable:
    table = FittedTable()
    table.add_column("method", wrap=False)
    headings = (
        "s per round",
        "training",
        "exchange",
        "CPU s",
        "CPU s per run",
        "bytes up",
        "down",
        "bytes per run",
        "est. Wh",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for entry in results["methods"]:
        seconds, sizes = entry["seconds"], entry["bytes"]
        once = sizes["up_per_client_once"]
        exchanged = sizes["up_per_client_round"] > 0
        table.add_row(
            entry["method"],
            f"{seconds['per_round']:.3f}",
            f"{seconds['per_round_training']:.3f}",
            f"{seconds['per_round_exchange']:.3f}",
            f"{seconds['cpu_per_round']:.3f}",
            f"{seconds['cpu_per_run']:.1f}",
            human_bytes(sizes["up_per_client_round"])
            if exchanged
            else f"{human_bytes(once)} once"
            if once
            else _MISSING,
            human_bytes(sizes["down_per_client_round"]) if exchanged else _MISSING,
            human_bytes(sizes["per_run"]) if sizes["per_run"] else _MISSING,
            f"{entry['energy_wh']['per_run']:.2g}",
        )
    return table


def _relations_table(results: Mapping[str, Any]) -> FittedTable:
    table = FittedTable()
    table.add_column("asked")
    for heading in ("difference", "95 % interval", "worst seed", "holds", "all of the interval"):
        table.add_column(heading, justify="right")
    for entry in results["relations"]:
        table.add_row(
            in_words(entry, metric_of(results)),
            f"{entry['difference']['mean']:+.4f}",
            _interval(entry["difference"]["interval"], 4, "+"),
            _worst_seed(entry["worst_seed"]),
            "yes" if entry["holds"] else "NO",
            {True: "yes", False: "no", None: _MISSING}[entry["interval_holds"]],
        )
    return table


def _worst_seed(worst: Mapping[str, Any]) -> str:
    beyond = "" if worst["holds"] else ", beyond"
    return f"{worst['difference']:+.4f} (seed {worst['seed']}{beyond})"


def _calibration_table(results: Mapping[str, Any]) -> FittedTable:
    found, metric = results["calibration"], metric_of(results)
    table = FittedTable()
    table.add_column("method", wrap=False)
    for heading in ("without", *(f"k = {k}" for k in found["samples"])):
        table.add_column(heading, justify="right")
    for row in found["methods"]:
        cells = [row["uncalibrated"], *(row["by_k"][str(k)] for k in found["samples"])]
        table.add_row(row["method"], *(f"{_error(one['mean'], metric)}  {_interval(one['interval'])}" for one in cells))
    return table


def _mpc_table(costs: Sequence[Mapping[str, Any]]) -> FittedTable:
    table = FittedTable()
    for heading in ("training", "", "time of all steps", "sent by a party", "computed from"):
        table.add_column(heading, justify="right" if heading.startswith(("time", "sent")) else "left")
    for row in costs:
        about = "≈ " if row["extrapolated"] else ""
        table.add_row(row["what"], row["kind"], about + row["seconds"], about + row["bytes"], row["formula"])
    return table


def _disk(used: DiskUse) -> str:
    kept = f"{human_bytes(used.checkpoints)} of models, {human_bytes(used.records)} of message records"
    hint = ""
    if used.checkpoints + used.records > _LARGE_BYTES:
        hint = "; compare.keep_checkpoints and compare.keep_records = false with --resume delete them"
    return f"on disk: {human_bytes(used.whole)}, with {kept}{hint}"


def _remarks(results: Mapping[str, Any]) -> list[str]:
    lines = [text for text in (worse_than_mean(results), clipping(results)) if text is not None]
    lines += [results["budget"]["note"], results["measured_on"]["note"], *results["procedure"].values()]
    for run in results["runs"]["missing"]:
        fold = "" if run["fold"] == "all" else f", fold {run['fold']}"
        lines.append(f"missing: seed {run['seed']}{fold}: {run['problem'] or 'not finished'}")
    return lines


def _reached(target: Mapping[str, Any]) -> str:
    if target["rounds"] is None:
        return "never"
    some = "" if target["seeds_reached"] == target["seeds"] else f" {target['seeds_reached']}/{target['seeds']}"
    return f"{target['rounds']:.1f} ({target['seconds']:.1f}){some}"


def _error(value: float | None, metric: Metric) -> str:
    return _MISSING if value is None else metric.written(value)


def _interval(ends: Sequence[float] | None, places: int = 2, sign: str = "") -> str:
    return _MISSING if ends is None else f"{ends[0]:{sign}.{places}f} to {ends[1]:{sign}.{places}f}"
