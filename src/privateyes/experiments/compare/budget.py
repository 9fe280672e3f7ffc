"""Whether the methods had equal budgets: how many samples each took steps on, from what the rounds recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from privateyes.experiments.compare.measured import Measured, MethodRun

TOLERANCE = 0.01
"""Budgets that are no further apart are called equal: clients' shares of a pass are cut to whole batches."""


def budget(measured: Measured, methods: Sequence[str], local_epochs: float) -> dict[str, Any]:
    """What each method was given, and whether it was the same in every single run.

    Args:
        measured: the finished runs.
        methods: their methods.
        local_epochs: passes over a client's samples in one round; may be a share of one.
    """
    runs = {method: measured.method(method) for method in methods}
    passed = {method: [_passed(run, local_epochs) for run in found] for method, found in runs.items()}
    apart = max((_apart(counts) for counts in zip(*passed.values(), strict=True)), default=0.0)
    passes = {method: float(np.mean(counts)) for method, counts in passed.items()}
    rounds = sorted({len(run.lines) for found in runs.values() for run in found})
    written = " to ".join(str(number) for number in dict.fromkeys((rounds[0], rounds[-1])))
    what = f"{written} {'round' if rounds == [1] else 'rounds'} of {local_epochs:g} local "
    what += "epoch" if local_epochs == 1 else "epochs"
    start = "Within a seed all methods start from the same parameters"
    if apart == 0.0:
        note = f"Equal budgets: {what}, and every method takes steps on the same number of samples. {start}."
    elif apart <= TOLERANCE:
        note = (
            f"Equal budgets: {what}, and every method takes steps on the same number of samples, but for up to "
            f"{100 * apart:.2g} % that whole batches make. {start}."
        )
    else:
        note = (
            f"Unequal budgets: {what}, but the methods take steps on different numbers of samples: {_listed(passes)}. "
            f"{start}."
        )
    return {
        "rounds": rounds[-1],
        "local_epochs": local_epochs,
        "passes": passes,
        "equal": apart <= TOLERANCE,
        "note": note,
    }


def _apart(counts: Sequence[float]) -> float:
    """How much more the largest is than the smallest, as a share of it; a method may have had void rounds alone."""
    least, most = min(counts), max(counts)
    if most == least:
        return 0.0
    return most / least - 1.0 if least else math.inf


def _passed(run: MethodRun, local_epochs: float) -> float:
    """Runs of earlier versions did not count them."""
    return sum(float(line["passed"] if "passed" in line else line["samples"] * local_epochs) for line in run.lines)


def _listed(passes: dict[str, float]) -> str:
    return ", ".join(f"{method} {count:,.0f}" for method, count in passes.items())
