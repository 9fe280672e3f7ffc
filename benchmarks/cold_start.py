"""What a fresh process pays before its first submission and its first commitment.

    python benchmarks/cold_start.py [--json FILE] [--repeats N]

Kernels are compiled once and kept on disk; a process loads them. Each line is the median of fresh processes: import
alone; the first submission and commitment with the kernels on disk; the same with nothing on disk, as right after an
installation. The times begin when the process is started and so include Python's own start. Beside the first call
stands the second one in the same process: what is left when nothing has to be loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.table import Table

from measuring import caption, machine, wide_console, write_json

DIMENSION: Final = 77_046

_IMPORTS: Final = ("privateyes.aggregation.client", "privateyes.aggregation.aggregator", "privateyes.aggregation.hub")


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds, medians of fresh processes.

    Attributes:
        until_done: from the start of the process until the first client submitted and the first aggregator committed.
        first: of that, the first submission and the first commitment themselves.
        second: the same calls once more, in the same process.
    """

    kernels: str
    until_done: float
    first: float
    second: float


def work(field_name: str) -> None:
    """In the fresh process: submit and commit twice, and print when what was done."""
    from privateyes.crypto.field import field_by_name
    from situations import Case, Roster, Round

    case = Case(DIMENSION, 2, 3, field_by_name(field_name))
    beginning, roster = Round(case), Roster(case)
    commit = roster.with_lanes(None)
    calls = []
    for _ in range(2):
        started = perf_counter()
        beginning.submit()
        commit()
        calls.append(perf_counter() - started)
    print(json.dumps({"done": perf_counter() - calls[1], "first": calls[0], "second": calls[1]}))


def _seconds(code: str, cache: str) -> dict[str, float]:
    """Run code in a fresh process. ``perf_counter`` is one clock for all processes on Linux."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(Path(__file__).parent)}
    started = perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    ended = perf_counter()
    if not done.stdout:
        return {"until_done": ended - started}
    report = json.loads(done.stdout)
    return {"until_done": report["done"] - started, "first": report["first"], "second": report["second"]}


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def measure(field_name: str, repeats: int) -> tuple[Start, Start]:
    """With the kernels on disk, and without."""
    code = f"import cold_start; cold_start.work({field_name!r})"
    without = []
    for _ in range(max(1, repeats // 3)):
        with tempfile.TemporaryDirectory() as empty:
            without.append(_seconds(code, empty))
    with tempfile.TemporaryDirectory() as cache:
        _seconds(code, cache)
        with_kernels = [_seconds(code, cache) for _ in range(repeats)]
    return Start("on disk", **_median(with_kernels)), Start("none yet", **_median(without))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.add_argument("--repeats", type=int, default=9, help="fresh processes for each line (default 9)")
    given = parser.parse_args()
    about, report = machine(), []
    with tempfile.TemporaryDirectory() as cache:
        python = _median([_seconds("pass", cache) for _ in range(given.repeats)])["until_done"]
        imports = _median([_seconds(f"import {', '.join(_IMPORTS)}", cache) for _ in range(given.repeats)])
    table = Table(title=f"fresh processes: seconds; d = {DIMENSION:,}, 3 aggregators", caption=caption(about))
    for heading in ("field", "kernels", "until the first share and Z_s", "first calls", "second calls"):
        table.add_column(heading, justify="right")
    table.add_row("", "Python alone", f"{python:.3f}")
    table.add_row("", "import of the protocol", f"{imports['until_done']:.3f}")
    for field_name in ("compact", "wide"):
        for start in measure(field_name, given.repeats):
            report.append({"field": field_name} | asdict(start))
            numbers = (start.until_done, start.first, start.second)
            table.add_row(field_name, start.kernels, *(f"{seconds:.3f}" for seconds in numbers))
    wide_console().print(table)
    body: dict[str, Any] = {"python_s": python, "import_s": imports["until_done"], "starts": report}
    write_json(given.json, {"benchmark": "cold start", "machine": about} | body)


if __name__ == "__main__":
    main()
