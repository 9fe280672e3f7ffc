"""The program of the locked environment on stub packages: the real `party.py`, an engine that computes in the clear.

What goes wrong, and where, is in the variable STUB_ENGINE: ``<fault>``, which `faults` and the stub packages know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INSIDE = HERE.parents[2] / "src" / "privateyes" / "baselines" / "mpc" / "inside"
sys.path[:0] = [str(HERE / "packages"), str(INSIDE)]

import party  # noqa: E402
from spu import fault  # noqa: E402

_take_stdout = party.take_stdout


def take_stdout() -> Callable[..., None]:
    """As the real one, but a process says what is no event, or sends an event that is damaged."""
    if fault() == "garbage" and sys.argv[1] == "party":
        os.write(1, b"Segmentation fault? \xff not at all\n")
    tell = _take_stdout()

    def damaged(**event: Any) -> None:
        if fault() == "damaged share" and event["event"] == "share":
            event["chunks"] = ["no base64!"]
        tell(**event)

    return damaged


party.take_stdout = take_stdout
sys.exit(party.main(sys.argv[1:]))
