"""Worker processes that train clients and predict.

Workers are spawned, not forked (torch's threads do not survive a fork). Each one loads the task once and is then fed
one job at a time through a pipe of its own. A worker whose parent is gone, killed or not, reads the end of its pipe and
leaves. Results come back in the order of the jobs, and no job depends on another, so the number of workers changes
nothing but time.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import MappingProxyType, TracebackType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from privateyes.engines.local.allocator import keep_freed_memory
from privateyes.engines.local.thread_team import usable_cores
from privateyes.errors import PrivateyesError, TrainingError
from privateyes.federation.participants import AS_TRAINED, ClientUpdate, HandOver, Participant
from privateyes.federation.partition import Share
from privateyes.training.blueprint import Blueprint
from privateyes.training.cache import HELD_BYTES, ExamplesCache
from privateyes.training.determinism import deterministic_torch
from privateyes.training.device import resolve_device
from privateyes.training.evaluation import predict_examples
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import LearningTask


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One client's local round: it trains on the samples of `owners` from `vector`, float32 (d,).

    An owner's name stands for all of that owner's samples, a `Share` for some of them.
    `proximal` and `work` are as for `training.settings.Assignment`.
    """

    client: str
    owners: tuple[str | Share, ...]
    round_index: int
    vector: NDArray[np.float32] = field(repr=False)
    proximal: bool = False
    work: float = 1.0

    @property
    def assignment(self) -> Assignment:
        """What the client is asked to do."""
        return Assignment(self.client, self.round_index, self.proximal, self.work)


@dataclass(frozen=True, slots=True)
class PredictJob:
    """Predictions of the model `vector`, float32 (d,), for the samples of `owner`."""

    owner: str
    vector: NDArray[np.float32] = field(repr=False)


Job = TrainJob | PredictJob
Result = ClientUpdate | NDArray[np.float32]


class _JobRunner:
    """What does the jobs, in a worker or inline: the task, and the samples that it holds."""

    def __init__(self, task: LearningTask, settings: LocalSettings, held_bytes: int) -> None:
        self._task, self._settings = Blueprint(task), settings
        self.device = resolve_device(settings.device)
        self._cache = ExamplesCache(self._task, held_bytes)

    def do(self, job: Job) -> Result:
        if isinstance(job, PredictJob):
            return predict_examples(self._task, job.vector, self._cache.samples_of([job.owner]), self.device)
        samples = self._cache.samples_of(job.owners)
        return train_locally(self._task, self._settings, samples, job.assignment, job.vector)


def _serve(connection: Connection, task: LearningTask, settings: LocalSettings, held_bytes: int) -> None:
    """A worker's life: jobs in, results or project errors out, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes the pool
    keep_freed_memory()
    connection.send(None)  # ready: torch is imported by now
    runner = _JobRunner(task, settings, held_bytes)
    with deterministic_torch(runner.device), connection:
        while True:
            try:
                job = connection.recv()
            except (EOFError, OSError):
                return
            answer: Result | PrivateyesError
            try:
                answer = runner.do(job)
            except PrivateyesError as error:
                answer = error
            try:
                connection.send(answer)
            except OSError:
                return


@dataclass(frozen=True, slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection


class WorkerPool:
    """Does jobs on `workers` processes, or inline if there is only one.

    Args:
        task: what is learned; picklable.
        settings: how clients train.
        workers: number of processes; 0 means as many as there are cores, but one where CUDA computes: several would
            share one GPU, and each takes half a gigabyte of its memory before it holds anything.
        held_bytes: how much memory each process's samples take, at most, from one job to the next.

    Raises:
        ConfigError: the settings' device is not there.
    """

    def __init__(
        self, task: LearningTask, settings: LocalSettings, workers: int = 0, held_bytes: int = HELD_BYTES
    ) -> None:
        self._task = task
        self._settings = settings
        self._held_bytes = held_bytes
        self._runner = _JobRunner(task, settings, held_bytes)
        self._count = workers or (1 if self._runner.device.type == "cuda" else usable_cores())
        self._workers: list[_Worker] = []

    def __enter__(self) -> WorkerPool:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the workers if they are not running, and wait until they are ready: no round's time includes it."""
        if self._workers or self._count == 1:
            return
        context = multiprocessing.get_context("spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            arguments = (theirs, self._task, self._settings, self._held_bytes)
            process = context.Process(target=_serve, args=arguments, daemon=True, name="privateyes-worker")
            process.start()
            theirs.close()  # else the worker's death would not end our side of the pipe
            self._workers.append(_Worker(process, ours))
        for worker in self._workers:
            self._receive(worker.connection)

    def train(self, jobs: Sequence[TrainJob]) -> list[ClientUpdate]:
        """One update per job, in the order of the jobs.

        Raises:
            TrainingError: training diverged, or a worker process died.
            DataError: the samples of an owner cannot be read.
        """
        return cast(list[ClientUpdate], self._do(jobs))

    def predict(self, jobs: Sequence[PredictJob]) -> list[NDArray[np.float32]]:
        """One array of predictions (N, ...) per job, in the order of the jobs; raises as `train` does."""
        return cast(list[NDArray[np.float32]], self._do(jobs))

    def close(self) -> None:
        """Stop the workers. The pool starts new ones if it is used again."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.join()

    def _do(self, jobs: Sequence[Job]) -> list[Result]:
        if self._count == 1:
            keep_freed_memory()
            with deterministic_torch(self._runner.device):
                return [self._runner.do(job) for job in jobs]
        try:
            return self._distribute(jobs)
        except BaseException:
            self.close()  # other workers may still be at jobs whose answers nobody awaits
            raise

    def _distribute(self, jobs: Sequence[Job]) -> list[Result]:
        waiting = list(enumerate(jobs))[::-1]
        results: dict[int, Result | None] = {}
        busy: dict[Connection, int] = {}
        self.start()
        idle = [worker.connection for worker in self._workers]
        while waiting or busy:
            while waiting and idle:
                index, job = waiting.pop()
                connection = idle.pop()
                busy[connection] = index
                self._send(connection, job)
            for ready in wait(list(busy)):
                connection = cast(Connection, ready)
                results[busy.pop(connection)] = self._receive(connection)
                idle.append(connection)
        return [cast(Result, results[index]) for index in range(len(jobs))]

    def _send(self, connection: Connection, job: Job) -> None:
        try:
            connection.send(job)
        except OSError as error:
            raise _worker_died() from error

    def _receive(self, connection: Connection) -> Result | None:
        try:
            answer = connection.recv()
        except (EOFError, OSError) as error:
            raise _worker_died() from error
        if isinstance(answer, PrivateyesError):
            raise answer
        return cast(Result | None, answer)


def _worker_died() -> TrainingError:
    remedy = "if memory ran out, set runtime.workers = 1 or a smaller data.image_limit; then run again with --resume"
    return TrainingError("a training worker process ended unexpectedly", remedy)


class PoolTrainer:
    """`federation.rounds.Trainer` on a worker pool.

    Args:
        pool: where the clients train.
        holdings: client -> the samples it trains on: names of owners who hold nothing else, or shares of what they
            hold; a client that is not listed holds its own.
        proximal: whether the clients' losses have FedProx's proximal term.
        policy: what every client does with what it trained.
    """

    def __init__(
        self,
        pool: WorkerPool,
        holdings: Mapping[str, tuple[str | Share, ...]] = MappingProxyType({}),
        proximal: bool = False,
        policy: HandOver = AS_TRAINED,
    ) -> None:
        self._pool = pool
        self._holdings = holdings
        self._proximal = proximal
        self._policy = policy

    def train(
        self,
        round_index: int,
        cohort: Sequence[str],
        vector: NDArray[np.float32],
        work: Mapping[str, float] = MappingProxyType({}),
    ) -> list[Participant]:
        """The members of `cohort`, in its order, all trained from the same `vector`; see `rounds.Trainer`."""
        jobs = [self._job(client, round_index, vector, work.get(client, 1.0)) for client in cohort]
        return [Participant(update, self._policy) for update in self._pool.train(jobs)]

    def train_each(self, round_index: int, vectors: Mapping[str, NDArray[np.float32]]) -> list[ClientUpdate]:
        """One update per client of `vectors`, in its order, each client from its own vector, float32 (d,)."""
        return self._pool.train([self._job(client, round_index, vector) for client, vector in vectors.items()])

    def _job(self, client: str, round_index: int, vector: NDArray[np.float32], work: float = 1.0) -> TrainJob:
        owners = self._holdings.get(client, (client,))
        return TrainJob(client, owners, round_index, vector, self._proximal, work)
