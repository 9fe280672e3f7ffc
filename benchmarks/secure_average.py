"""``SecureAverage`` beside the sum of the roles' own times, in one run and on one core.

    python benchmarks/secure_average.py [--model lenet | resnet] [--json FILE]

The roles are timed as benchmarks/aggregation.py times them. What a call costs beyond their sum is what the parties'
hosts add: carrying, storing, checking who signed. Times are medians of one thread's processor time; a run takes turns.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from time import thread_time
from typing import Final

import numpy as np
from rich.table import Table

from measuring import Effort, caption, machine, wide_console, write_json
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.engines.local.allocator import keep_freed_memory
from privateyes.engines.memory import SecureAverage
from roles import measure_client, measure_roster
from situations import Case

MODELS: Final = {"resnet": 77_046, "lenet": 1_827_076}
CLIENTS: Final = 15
AGGREGATORS: Final = 3
TARGET: Final = 1.15


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="lenet")
    parser.add_argument("--calls", type=int, default=9, help="measured calls of SecureAverage (9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    given = parser.parse_args()
    keep_freed_memory()
    dimension = MODELS[given.model]
    table = Table(title=f"d = {dimension:,}, {CLIENTS} clients, {AGGREGATORS} aggregators: ms a round, one core")
    for heading in ("field", "SecureAverage", "sum of the roles", "ratio"):
        table.add_column(heading, justify="right")
    rows = []
    for field in (COMPACT, WIDE):
        roles = _roles_ms(Case(dimension, CLIENTS, AGGREGATORS, field))
        whole = _whole_ms(dimension, field.name, given.calls)
        rows.append({"field": field.name, "secure_average_ms": whole, "roles_ms": roles, "ratio": whole / roles})
        mark = "" if whole <= TARGET * roles else "*"
        table.add_row(field.name, f"{whole:.0f}", f"{roles:.0f}", f"{whole / roles:.2f}{mark}")
    about = machine()
    table.caption = f"target: ratio <= {TARGET}. {caption(about)}"
    wide_console().print(table)
    write_json(given.json, {"benchmark": "secure_average", "machine": about, "dimension": dimension, "rows": rows})


def _roles_ms(case: Case) -> float:
    """Every role's work of one round, added up."""
    effort = Effort(repeats=9, seconds=3.0)
    client, roster = measure_client(case, effort), measure_roster(case, effort)
    each_client = client.submission_ns + client.check_ns + client.intact_ns + roster.hub_ns
    each_client += AGGREGATORS * (roster.aggregator_ns + 1e3 * roster.vote_us / case.dimension)
    once = AGGREGATORS * client.certify_ns + client.deliver_ns
    return (CLIENTS * each_client + once) * case.dimension / 1e6


def _whole_ms(dimension: int, field: str, calls: int) -> float:
    names = [f"client {number}" for number in range(CLIENTS)]
    average = SecureAverage(names, dimension, aggregators=AGGREGATORS, field=field, threads=1)
    random = np.random.default_rng(0)
    updates = {name: random.normal(0, 0.1, dimension).astype(np.float32) for name in names}
    average(updates)  # a first call loads kernels, and the machine finds the memory
    average(updates)
    times = []
    for _ in range(calls):
        started = thread_time()
        average(updates)
        times.append(1e3 * (thread_time() - started))
    average.close()
    return statistics.median(times)


if __name__ == "__main__":
    main()
