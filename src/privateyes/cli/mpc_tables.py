"""What training under MPC cost, as a table; and its progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from privateyes.baselines.mpc.costs import Cost
from privateyes.cli.bars_or_lines import bars_or_lines
from privateyes.cli.console import make_console
from privateyes.cli.fitted_table import FittedTable
from privateyes.cli.tables import human_bytes
from privateyes.experiments.mpc.result import MpcResult
from privateyes.experiments.mpc.run import MpcObserver
from privateyes.experiments.tasks import metric_of

_LINES_PER_TRAINING = 10


def choose_mpc_observer() -> AbstractContextManager[MpcObserver]:
    """Bars if stderr is a terminal, plain lines on stderr otherwise."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return bars_or_lines(_Bars, _Lines, columns)


class _Bars:
    """`MpcObserver` as one bar a training."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False)

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """The bar moves."""
        if done == 1 or fold not in self._bars:
            self._bars[fold] = self._progress.add_task(escape(f"mpc {fold}"), total=steps)
        self._progress.update(self._bars[fold], completed=done)


class _Lines:
    """`MpcObserver` as lines of text."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        """The text as a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """A line for every tenth of the steps."""
        if done * _LINES_PER_TRAINING // steps > (done - 1) * _LINES_PER_TRAINING // steps:
            self.note(f"mpc {fold}: step {done} of {steps}")


def print_mpc(results: Sequence[MpcResult], directory: Path) -> None:
    """Errors, costs measured and extrapolated side by side, and whom the protocol protects against."""
    console = make_console()
    console.print(_errors_table(results))
    console.print(_costs_table(results))
    for line in _remarks(results):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"results: {directory}", highlight=False, markup=False, soft_wrap=True)


def _errors_table(results: Sequence[MpcResult]) -> FittedTable:
    first = results[0]
    metric = metric_of({"task": first.task, "unit": first.unit})
    title = f"mean {metric.name} on people never trained on; {first.network} of {first.parameters} parameters"
    table = FittedTable(title)
    table.add_column("person", wrap=False)
    for heading in ("under MPC", "same steps in the clear", "the same, shaken", "mean label"):
        table.add_column(heading, justify="right")
    rows = [
        (
            person,
            result.errors[person],
            result.counterpart_errors[person],
            result.shaken_errors[person],
            result.guess_errors[person],
        )
        for result in results
        for person in result.errors
    ]
    for person, *errors in rows:
        table.add_row(person, *map(metric.written, errors))
    table.add_section()
    means = np.mean([row[1:] for row in rows], axis=0)
    table.add_row("mean", *map(metric.written, means))
    return table


def _costs_table(results: Sequence[MpcResult]) -> FittedTable:
    costs = _columns(results)
    title = "cost of the steps on one machine's loopback; no figure of an EXTRAPOLATED column was measured"
    table = FittedTable(title)
    table.add_column("", wrap=False)
    for cost in costs:
        table.add_column("EXTRAPOLATED" if cost.extrapolated else "measured", justify="right", wrap=True)
    rows: list[tuple[str, Callable[[Cost], str]]] = [
        ("training", lambda cost: cost.what),
        ("network", lambda cost: cost.network),
        ("parameters", lambda cost: f"{cost.parameters:,}"),
        ("samples a step", lambda cost: str(cost.batch_size)),
        ("steps", lambda cost: f"{cost.steps:,}"),
        ("seconds a step", lambda cost: f"{cost.seconds_per_step:.3g}"),
        ("CPU seconds a step, all parties", lambda cost: f"{cost.cpu_s_per_step:.3g}"),
        ("time", lambda cost: human_time(cost.seconds)),
        ("bytes a step and party", lambda cost: human_bytes(cost.bytes_per_step)),
        ("bytes a party", lambda cost: human_bytes(cost.bytes_per_party)),
        ("messages a step and party", lambda cost: f"{cost.messages_per_step:.0f}"),
    ]
    for heading, show in rows:
        table.add_row(heading, *(show(cost) for cost in costs))
    return table


def _columns(results: Sequence[MpcResult]) -> list[Cost]:
    """The first fold's figures: the others cost the same but for the number of samples."""
    first = results[0]
    return [first.measured, *first.probes, *first.extrapolated]


def _remarks(results: Sequence[MpcResult]) -> list[str]:
    first = results[0]
    largest = max(results, key=lambda result: result.deviation.largest)
    deviation = largest.deviation
    total = sum(result.total_s for result in results)
    cpu = sum(sum(result.cpu_s) for result in results)
    lines = [
        f"engine: {first.engine}, {first.protocol.upper()} with {first.parties} parties, "
        f"ring of {first.ring_bits} bits with {first.fraction_bits} for the fraction",
        f"threat model: {first.threat_model}",
        "shaken: in the clear, from parameters one unit of fixed point away: such differences are the training's own",
        f"deviation from the clear: at most {deviation.largest:.1e} in a parameter (mean {deviation.mean:.1e}), where "
        f"training moved a parameter by up to {deviation.largest_change:.1e}",
        f"all of it: {human_time(total)}, {cpu:.0f} s of CPU over all parties on {first.cores} cores, at most "
        f"{human_bytes(max(first.peak_memory_bytes))} of memory and {human_bytes(first.share_bytes)} of image shares a "
        "party",
    ]
    lines += [f"extrapolated ({cost.network}): {cost.formula}" for cost in first.extrapolated]
    return lines


def human_time(seconds: float) -> str:
    """``42 s``, ``3.5 min``, ``2.1 h`` or ``12 days``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
