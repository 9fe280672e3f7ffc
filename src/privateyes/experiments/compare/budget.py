"""Whether the ways had equal budgets: how many samples each passed over in training, from what the rounds recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from privateyes.experiments.compare.measured import Measured, WayRun


def budget(measured: Measured, ways: Sequence[str], local_epochs: int) -> dict[str, Any]:
    """What each way was given, and whether it was the same in every single run.

    Args:
        measured: the finished runs.
        ways: their ways.
        local_epochs: passes over a client's samples in one round.
    """
    runs = {way: measured.way(way) for way in ways}
    passed = {way: [_passed(run) * local_epochs for run in found] for way, found in runs.items()}
    equal = len({tuple(counts) for counts in passed.values()}) == 1
    passes = {way: float(np.mean(counts)) for way, counts in passed.items()}
    rounds = sorted({len(run.lines) for found in runs.values() for run in found})
    written = " to ".join(str(number) for number in dict.fromkeys((rounds[0], rounds[-1])))
    what = f"{written} {'round' if rounds == [1] else 'rounds'} of {local_epochs} local "
    what += "epoch" if local_epochs == 1 else "epochs"
    start = "Within a seed all ways start from the same parameters"
    if equal:
        note = f"Equal budgets: {what}, and every way passes over the same number of samples. {start}."
    else:
        note = (
            f"Unequal budgets: {what}, but the ways pass over different numbers of samples: {_listed(passes)}. {start}."
        )
    return {
        "rounds": rounds[-1],
        "local_epochs": local_epochs,
        "passes": passes,
        "equal": equal,
        "note": note,
    }


def _passed(run: WayRun) -> int:
    return sum(int(line["samples"]) for line in run.lines)


def _listed(passes: dict[str, float]) -> str:
    return ", ".join(f"{way} {count:,.0f}" for way, count in passes.items())
