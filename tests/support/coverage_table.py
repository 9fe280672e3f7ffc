"""Which fault befell which step of an honest party how often, over all schedules of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

CELLS = "cells"
"""The name under which a test records its counts."""

FAULTS = (
    "drop", "late", "answer drop", "answer late", "again", "twice", "replay", "alter", "reflect", "lie", "race",
    "revive", "computed", "stored", "sent", "failed", "lost computed", "lost stored", "lost sent", "lost",
)  # fmt: skip


def table(recorded: Iterable[list[list[object]]]) -> list[str]:
    """Lines: a step in each, a fault in each column."""
    cells: Counter[tuple[str, str]] = Counter()
    for counts in recorded:
        for step, fault, count in counts:
            cells[str(step), str(fault)] += int(str(count))
    if not cells:
        return []
    short = {fault: fault.replace("answer ", "-").replace("lost ", "!") for fault in FAULTS}
    width = {fault: max(6, len(name) + 1) for fault, name in short.items()}
    lines = [" " * 9 + "".join(f"{short[fault]:>{width[fault]}}" for fault in FAULTS)]
    lines += [
        f"{step:<9}" + "".join(f"{cells[step, fault] or '.':>{width[fault]}}" for fault in FAULTS)
        for step in sorted({step for step, _ in cells})
    ]
    return [*lines, "-: of an answer. !: the disk with the process. A step of an honest party, and what befell it."]
