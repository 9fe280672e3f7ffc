"""How the benchmarks measure: medians of interleaved runs, and what machine it was.

Things that are compared run in turn, once each and then again, so that whatever else the machine does meets all of
them. The processor time of the calling thread is what counts for work on one core: other programs on the machine enter
it less than they enter the time on the wall, which is kept beside it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from rich.console import Console

TABLE_WIDTH = 120
PAGE_BYTES = 4096
SHOWN_VERSIONS = ("numpy", "numba", "cryptography")


@dataclass(frozen=True, slots=True)
class Work:
    """Something to time.

    Attributes:
        run: what is timed.
        ready: makes the arguments of one run, off the clock; for work that uses its arguments up.
    """

    run: Callable[..., object]
    ready: Callable[[], tuple[Any, ...]] = tuple


@dataclass(frozen=True, slots=True)
class Effort:
    """How often to measure: ``repeats`` times after one run that does not count, or as often as ``seconds`` allow.

    Work that takes far longer than that is run once, and that run counts.
    """

    repeats: int
    seconds: float


@dataclass(slots=True)
class Timing:
    """The runs of one piece of work, in seconds: of the calling thread's processor time and on the wall."""

    cpu_runs: list[float] = field(default_factory=list)
    wall_runs: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """The median processor time."""
        return statistics.median(self.cpu_runs)

    @property
    def wall(self) -> float:
        """The median time on the wall."""
        return statistics.median(self.wall_runs)

    @property
    def fastest(self) -> float:
        """The least time on the wall, for work on several cores: the run that had them for itself."""
        return min(self.wall_runs)

    def add(self, work: Work, memory_bytes: int) -> None:
        """Run it once more, with so much memory free and at hand."""
        arguments = work.ready()
        _find_memory(memory_bytes)
        wall, cpu = perf_counter(), thread_time()
        work.run(*arguments)
        self.cpu_runs.append(thread_time() - cpu)
        self.wall_runs.append(perf_counter() - wall)

    def forget(self) -> None:
        """Drop the runs so far."""
        self.cpu_runs.clear()
        self.wall_runs.clear()


def _find_memory(count: int) -> None:
    """Touch memory and free it: a virtual machine's host takes back what is idle, and the next user waits for it."""
    np.zeros(count, dtype=np.uint8)[::PAGE_BYTES] = 1


def in_turn(works: Mapping[str, Work], effort: Effort, memory_bytes: int = 0) -> dict[str, Timing]:
    """Time every piece of work, in turn and again.

    Args:
        works: by name.
        effort: see there.
        memory_bytes: what one piece of work may allocate.
    """
    timings = {name: Timing() for name in works}
    started = perf_counter()

    def once_each() -> float:
        for name, work in works.items():
            timings[name].add(work, memory_bytes)
        return perf_counter() - started

    if once_each() > 2 * effort.seconds:
        return timings
    for timing in timings.values():
        timing.forget()  # a first run loads kernels, and the machine finds the memory
    while once_each() < effort.seconds and len(next(iter(timings.values())).cpu_runs) < effort.repeats:
        pass
    return timings


def machine() -> dict[str, Any]:
    """What the numbers hold for."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in SHOWN_VERSIONS},
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def caption(about: Mapping[str, Any]) -> str:
    """The machine in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    memory = f", {about['memory_gib']:.0f} GiB" if about["memory_gib"] else ""
    return f"{about['processor']}, {about['cores']} cores{memory}; Python {about['python']}, {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    wide = [name for name in ("avx2", "avx512f", "vaes", "sha_ni") if name in flags.split()]
    return f"{names[0] if names else platform.machine()} ({' '.join(wide)})"


def _memory_gib() -> float | None:
    names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
    if not all(name in os.sysconf_names for name in names):
        return None
    return float(np.prod([os.sysconf(name) for name in names])) / 2**30


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report where one is wanted."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")


def wide_console() -> Console:
    """Where tables go: the terminal, or a file with lines that are long enough for them."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH)


def marked(value: float, target: float | None, form: str = ".2f") -> str:
    """A number, with a star where it misses its target."""
    return f"{value:{form}}" + ("*" if target is not None and value > target else "")


def per_element(seconds: float, *counts: int) -> float:
    """Nanoseconds for each of ``prod(counts)`` elements."""
    return 1e9 * seconds / float(np.prod(counts, dtype=np.float64))
