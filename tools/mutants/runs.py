"""Forked children that run pytest on one mutant each, so that imports and compiled kernels are paid for once.

A child tells its parent, line by line, which test begins, and at the end what came out. A test that takes far more
processor time than on unchanged code ends its child by the kernel's own timer: an endless loop in compiled code would
not look at a signal handler. The parent ends a child that makes no progress at all.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from mutants.coverage import Test

PROFILE = "mutation"
FACTOR = 10.0
"""A test may take this many times the processor time that it took on unchanged code, and some patience more."""

IMPORT_SECONDS = 60.0
"""Of processor time before the first test."""

STALL_SECONDS = 900.0
"""A child that begins no test for this long is ended; long enough for the slowest test, traced, on a busy machine."""

MEMORY_BYTES = 6 << 30
PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

Tell = Callable[[Mapping[str, Any]], None]
Job = Callable[[Tell, Path], None]
"""What a child does: it is given a method to tell its parent something, and a folder of its own."""


def set_examples() -> None:
    """Once in the parent: examples are the same in every run, and a failing one is not made smaller."""
    hypothesis.settings.register_profile(
        PROFILE,
        derandomize=True,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=tuple(hypothesis.HealthCheck),  # a loaded machine must kill no mutant
    )


def share(modules: Iterable[str]) -> None:
    """Once in the parent: import what children would import each for itself, and keep it out of their collections."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


class Beginnings:
    """A pytest plugin: tells the parent which test begins, so that it knows a slow file from a child that hangs."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell({"begins": nodeid})


def run_pytest(root: Path, folder: Path, arguments: Iterable[str], *plugins: object) -> int:
    """Run pytest in this process, silent, and leave nothing in the project."""
    options = [
        "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler", "--timeout=0",
        "-W", "ignore::pytest.PytestAssertRewriteWarning",  # of Hypothesis, which the parent has imported
        f"--rootdir={root}", f"--basetemp={folder / 'tests'}", f"--hypothesis-profile={PROFILE}",
    ]  # fmt: skip
    return int(pytest.main([*options, *arguments], plugins=list(plugins)))


class Watch:
    """A pytest plugin: the wanted tests in the wanted order, a time limit for each, and the end at the first failure.

    Args:
        wanted: the tests to run.
        known: names of all tests of unchanged code. Others (a mutant can change the parameters of a test) run last.
        patience: seconds of processor time that a test may take beyond a multiple of its usual time.
        tell: tells the parent.
        ran: how many tests ran before.
    """

    def __init__(
        self, wanted: Sequence[Test], known: frozenset[str], patience: float, tell: Tell, ran: int = 0
    ) -> None:
        self._order = {test.name: position for position, test in enumerate(wanted)}
        self._seconds = {test.name: test.seconds for test in wanted}
        self._known, self._patience, self._tell = known, patience, tell
        self.ran = ran

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        last = len(self._order)
        chosen = [item for item in items if item.nodeid in self._order or item.nodeid not in self._known]
        items[:] = sorted(chosen, key=lambda item: self._order.get(item.nodeid, last))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.ran += 1
        self._tell({"begins": nodeid})
        signal.setitimer(signal.ITIMER_PROF, self._patience + FACTOR * self._seconds.get(nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self._tell(_killed(report.nodeid, _last_line(report.longreprtext), self.ran))
            os._exit(0)  # what pytest does at its end takes longer than most tests


def _killed(by: str, why: str, ran: int) -> dict[str, Any]:
    return {"outcome": "killed", "by": by, "why": why[:200], "ran": ran}


def _last_line(text: str) -> str:
    """What failed, in one line: pytest marks such lines with an E."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return (marked or text.strip().splitlines() or [""])[0]


def judge(
    root: Path, known: frozenset[str], patience: float, tests: Sequence[Test], install: Callable[[], None]
) -> Job:
    """A job that runs tests on a mutant until one fails.

    Args:
        root: of the project.
        known, patience: as for ``Watch``.
        tests: in their order.
        install: puts the mutant in place.
    """

    def work(tell: Tell, folder: Path) -> None:
        signal.setitimer(signal.ITIMER_PROF, IMPORT_SECONDS)
        install()
        ran = 0
        for batch in _batches(tests):
            watch = Watch(batch, known, patience, tell, ran)
            status = run_pytest(root, folder, dict.fromkeys(test.file for test in batch), watch)
            ran = watch.ran
            if status not in PASSED:
                tell(_killed("", f"pytest ends with status {status}", ran))
                return
        tell({"outcome": "survived", "ran": ran})

    return work


def _batches(tests: Sequence[Test]) -> Iterator[Sequence[Test]]:
    """The first file alone, as most mutants die there; then the rest in two parts, quick tests first."""
    first = next((position for position, test in enumerate(tests) if test.file != tests[0].file), len(tests))
    middle = first + (len(tests) - first + 1) // 2
    yield from (part for part in (tests[:first], tests[first:middle], tests[middle:]) if part)


@dataclass(slots=True)
class _Child:
    key: Any
    slot: int
    pid: int
    pipe: int
    heard: float = field(default_factory=time.monotonic)
    told: list[dict[str, Any]] = field(default_factory=list)
    rest: bytes = b""

    def listen(self) -> bool:
        """Read what the child told; False at its end."""
        data = os.read(self.pipe, 1 << 16)
        self.heard = time.monotonic()
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.told += map(json.loads, lines)
        return bool(data)

    def verdict(self) -> dict[str, Any]:
        """What came out, once the child has ended."""
        os.close(self.pipe)
        _, status, used = os.wait4(self.pid, 0)
        status = os.waitstatus_to_exitcode(status)
        seconds = round(used.ru_utime + used.ru_stime, 2)
        if self.told and "begins" not in self.told[-1]:
            return {**self.told[-1], "seconds": seconds}
        by = self.told[-1]["begins"] if self.told else ""
        ran = len(self.told)
        if status in (-signal.SIGPROF, -signal.SIGALRM):
            return {"outcome": "timed out", "by": by, "ran": ran, "seconds": seconds}
        return {**_killed(by, f"ended with {status}", ran), "seconds": seconds}


class Pool:
    """Runs jobs in forked children, a few at a time.

    Args:
        jobs: how many at a time.
        folder: for the children's files.
    """

    def __init__(self, jobs: int, folder: Path) -> None:
        self._jobs, self._folder = jobs, folder

    def run(self, work: Iterable[tuple[Any, Job]]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The key and the verdict of each job, as they end."""
        pending = iter(work)
        free = list(range(self._jobs))
        running: dict[int, _Child] = {}
        selector = selectors.DefaultSelector()
        try:
            while True:
                while free and (following := next(pending, None)) is not None:
                    child = self._start(free.pop(), *following)
                    running[child.pipe] = child
                    selector.register(child.pipe, selectors.EVENT_READ)
                if not running:
                    return
                for ready, _ in selector.select(timeout=1.0):
                    child = running[ready.fd]
                    if not child.listen():
                        selector.unregister(ready.fd)
                        free.append(running.pop(ready.fd).slot)
                        yield child.key, child.verdict()
                _end_stalled(running.values())
        finally:
            for child in running.values():
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)

    def _start(self, slot: int, key: Any, job: Job) -> _Child:
        reading, writing = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _be_child(job, writing, self._folder / str(slot))
        os.close(writing)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        return _Child(key, slot, pid, reading)


def _end_stalled(children: Iterable[_Child]) -> None:
    for child in children:
        if time.monotonic() - child.heard > STALL_SECONDS:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGALRM)


def _be_child(job: Job, pipe: int, folder: Path) -> None:
    """Never returns."""
    with suppress(PermissionError):
        os.setpgid(0, 0)
    for number in (signal.SIGPROF, signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder.mkdir(parents=True, exist_ok=True)
    silent = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(silent, 1)
    os.dup2(silent, 2)

    def tell(what: Mapping[str, Any]) -> None:
        os.write(pipe, json.dumps(what).encode() + b"\n")

    try:
        job(tell, folder)
    except BaseException as error:  # noqa: BLE001 - a mutant may raise anything at import, and that kills it
        tell(_killed("", f"{type(error).__name__}: {error}", 0))
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)
