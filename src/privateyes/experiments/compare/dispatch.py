"""Runs side by side, each in a process of its own.

A process does one run after the other, each with one worker and one thread: runs have nothing to wait for each other
for, so this uses more of the cores than a pool inside one run, whose exchanges wait for the slowest client. A process
that dies takes its run with it and no other; what the run had on disk is continued by `--resume`.
"""

from __future__ import annotations

import errno
import multiprocessing
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import perf_counter
from typing import Any, Final, Literal, Protocol, cast

from privateyes.errors import PrivateyesError
from privateyes.experiments.compare.plan import SubRun
from privateyes.experiments.compare.warm_up import warm_up
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.secure import FOLDER as AGGREGATION
from privateyes.experiments.spec_tables import Compare
from privateyes.training.determinism import deterministic_torch
from privateyes.training.parent import leave_with_parent

RECORDS: Final = "transcripts"
CHECKPOINTS: Final = "checkpoints"


class Observer(Protocol):
    """Who is told how a comparison goes on."""

    def note(self, text: str) -> None:
        """Something other than training happens."""
        ...

    def planned(self, runs: int, finished: int, rounds: int, rounds_done: int) -> None:
        """There are so many runs with so many rounds of all methods, and of these so many are done already."""
        ...

    def run_started(self, name: str, rounds: int) -> None:
        """A run begins or goes on; its methods have so many rounds left, or fewer if they stop early."""
        ...

    def round_done(self, name: str, line: Mapping[str, Any]) -> None:
        """A round of a run is on disk; `line` is its metrics line."""
        ...

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """So many steps of a fold's training under generic MPC are done."""
        ...

    def run_finished(self, name: str, seconds: float) -> None:
        """A run is finished."""
        ...

    def run_failed(self, name: str, problem: str) -> None:
        """A run stopped; the others go on."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that stopped, and why."""

    run: SubRun
    problem: str


@dataclass(frozen=True, slots=True)
class _Job:
    """What a process is sent."""

    run: SubRun
    settings: Compare


@dataclass(frozen=True, slots=True)
class _Told:
    """What a process answers: any number of notes and rounds, then how the run ended."""

    kind: Literal["note", "round", "finished", "failed"]
    content: Any = None


def run_all(runs: Sequence[SubRun], parallel: int, settings: Compare, observer: Observer) -> list[Failure]:
    """Do the runs, `parallel` at a time.

    Args:
        runs: unfinished ones; one that has begun is continued.
        parallel: number of processes, at least 1.
        settings: what to keep of a run once it is finished.
        observer: is told how it goes.

    Returns:
        The runs that failed, in the order in which they did.
    """
    with _Dispatcher(observer, settings) as dispatcher:
        return dispatcher.work(list(runs), parallel)


def rounds_done(run: SubRun) -> int:
    """Rounds of all its methods that a run has on disk; all of them once it is finished, none where it is damaged."""
    directory = RunDirectory(run.directory)
    if is_finished(run):
        return run.rounds
    try:
        checkpoints = [directory.read_checkpoint(run.fold, method) for method in run.spec.methods]
    except PrivateyesError:  # the run itself says what is wrong
        return 0
    return sum(checkpoint.round for checkpoint in checkpoints if checkpoint is not None)


def is_finished(run: SubRun) -> bool:
    """Whether a run has its results."""
    return (run.directory / "results.json").exists()


def tidy(run: SubRun, settings: Compare) -> None:
    """Delete what the settings do not keep of a finished run; its results and metrics stay."""
    if not settings.keep_records:
        for records in (run.directory / AGGREGATION).glob(f"*/*/{RECORDS}"):
            shutil.rmtree(records)
    if not settings.keep_checkpoints:
        shutil.rmtree(run.directory / CHECKPOINTS, ignore_errors=True)


@dataclass(slots=True)
class _Worker:
    """A process, and the run that it is at."""

    process: BaseProcess
    connection: Connection
    run: SubRun | None = None
    since: float = 0.0


class _Dispatcher:
    """The processes of one comparison; all of them have ended when the block is left."""

    def __init__(self, observer: Observer, settings: Compare) -> None:
        self._observer = observer
        self._settings = settings
        self._workers: dict[Connection, _Worker] = {}
        self._failures: list[Failure] = []

    def __enter__(self) -> _Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers.values():
            worker.process.join()

    def work(self, waiting: list[SubRun], parallel: int) -> list[Failure]:
        waiting.reverse()
        while waiting or any(worker.run for worker in self._workers.values()):
            while waiting and (worker := self._idle(parallel)) is not None:
                self._give(worker, waiting.pop())
            busy = [worker.connection for worker in self._workers.values() if worker.run]
            for ready in wait(busy):
                self._listen(self._workers[cast(Connection, ready)])
        return self._failures

    def _idle(self, parallel: int) -> _Worker | None:
        for worker in self._workers.values():
            if worker.run is None:
                return worker
        return self._hire() if len(self._workers) < parallel else None

    def _hire(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), name="privateyes-run")
        process.start()
        theirs.close()  # else the process's death would not end our side of the pipe
        worker = _Worker(process, ours)
        self._workers[ours] = worker
        return worker

    def _give(self, worker: _Worker, run: SubRun) -> None:
        worker.run, worker.since = run, perf_counter()
        self._observer.run_started(run.name, run.rounds - rounds_done(run))
        try:
            worker.connection.send(_Job(run, self._settings))
        except OSError:
            self._lost(worker)

    def _listen(self, worker: _Worker) -> None:
        run = worker.run
        if run is None:
            return
        try:
            told = cast(_Told, worker.connection.recv())
        except (EOFError, OSError):
            self._lost(worker)
            return
        if told.kind == "note":
            self._observer.note(f"{run.name}: {told.content}")
        elif told.kind == "round":
            self._observer.round_done(run.name, told.content)
        elif told.kind == "finished":
            worker.run = None
            self._observer.run_finished(run.name, perf_counter() - worker.since)
        else:
            worker.run = None
            self._fail(run, str(told.content))

    def _lost(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.connection.close()
        worker.process.join()
        if worker.run is not None:
            code = worker.process.exitcode
            problem = f"its process ended unexpectedly (exit code {code}); if memory ran out, lower compare.parallel"
            self._fail(worker.run, problem)

    def _fail(self, run: SubRun, problem: str) -> None:
        self._failures.append(Failure(run, problem))
        self._observer.run_failed(run.name, problem)


class _Teller:
    """`experiments.run.Observer` that passes on what it hears."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def note(self, text: str) -> None:
        self._connection.send(_Told("note", text))

    def planned(self, rounds: int, done: int) -> None:
        """Known from the plan."""

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None:
        """The first round says enough."""

    def round_done(self, line: Mapping[str, Any]) -> None:
        shown = {key: line[key] for key in ("fold", "method", "round", "rounds", "mean_error") if key in line}
        self._connection.send(_Told("round", shown))

    def method_finished(self, fold: str, method: str) -> None:
        """The last round says enough."""


def _serve(connection: Connection) -> None:
    """A process's life: runs in, how they went out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends this process
    leave_with_parent()
    is_warm = False
    with deterministic_torch(), connection:
        while True:
            try:
                job = cast(_Job, connection.recv())
                connection.send(_do(job, connection, is_warm))
            except (EOFError, OSError):
                return
            is_warm = True


def _do(job: _Job, connection: Connection, is_warm: bool) -> _Told:
    run = job.run
    try:
        if not is_warm:
            warm_up(run.spec)
        run_experiment(run.spec, run.directory, _Teller(connection), resume=True, extras=False)
        tidy(run, job.settings)
    except PrivateyesError as error:
        return _Told("failed", str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _Told("failed", f"{where}{error.strerror or error}; free some space or change the permissions")
    return _Told("finished")
