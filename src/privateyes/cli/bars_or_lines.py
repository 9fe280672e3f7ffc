"""Which way of showing progress suits stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn

Observer = TypeVar("Observer")
_ETA_WINDOW_S = 30.0  # rich's own


@contextmanager
def bars_or_lines(
    bars: Callable[[Progress], Observer],
    lines: Callable[[Console], Observer],
    columns: Sequence[str | ProgressColumn],
    eta_window_s: float = _ETA_WINDOW_S,
) -> Iterator[Observer]:
    """An observer that draws bars if stderr is a terminal, else one that prints lines; stdout is kept for results.

    Args:
        bars: makes the one.
        lines: makes the other.
        columns: what stands in the row of a bar.
        eta_window_s: the stretch of time over which a bar's speed is measured.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(console)
        return
    with Progress(*columns, console=console, speed_estimate_period=eta_window_s) as progress:
        yield bars(progress)
