"""Which way of showing progress suits stderr."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn

Observer = TypeVar("Observer")
# Over all that was done so far, nearly: in rich's own half minute there is often no step at all, and so no speed.
_ETA_WINDOW_S: Final = 3600.0
_BEAT_S: Final = 5.0


@contextmanager
def bars_or_lines(
    bars: Callable[[Progress], Observer],
    lines: Callable[[Console], Observer],
    columns: Sequence[str | ProgressColumn],
    eta_window_s: float = _ETA_WINDOW_S,
    transient: bool = False,
) -> Iterator[Observer]:
    """An observer that draws bars if stderr is a terminal, else one that prints lines; stdout is kept for results.

    Args:
        bars: makes the one.
        lines: makes the other.
        columns: what stands in the row of a bar.
        eta_window_s: the stretch of time over which a bar's speed is measured.
        transient: whether the bars go when the block is left.

    An observer of lines that has a method ``beat`` is called every few seconds, from a thread of its own: so a line can
    come where nothing is heard for long.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        observer = lines(console)
        with _beating(getattr(observer, "beat", None)):
            yield observer
        return
    with Progress(*columns, console=console, speed_estimate_period=eta_window_s, transient=transient) as progress:
        yield bars(progress)


@contextmanager
def _beating(beat: Callable[[], None] | None) -> Iterator[None]:
    if beat is None:
        yield
        return
    over = threading.Event()

    def run() -> None:
        with suppress(OSError, ValueError):  # stderr was closed: the command itself finds out
            while not over.wait(_BEAT_S):
                beat()

    thread = threading.Thread(target=run, name="privateyes-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
