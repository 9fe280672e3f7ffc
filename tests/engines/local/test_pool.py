from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.engines.local.pool import PoolTrainer, PredictJob, TrainJob, WorkerPool
from privateyes.errors import DataError, TrainingError
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.local import LocalSettings
from privateyes.training.vector import vector_from_model

SETTINGS = LocalSettings(
    seed=1, rounds=2, local_epochs=1, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=1e-4, schedule="cosine",
)  # fmt: skip
CLIENTS = ["p00", "p01", "p02", "p03", "p04"]


@pytest.fixture(scope="module")
def task(eyes: Path) -> GazeTask:
    return GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15))


@pytest.fixture(scope="module")
def vector(task: GazeTask) -> NDArray[np.float32]:
    return vector_from_model(task.build_model(1))


@pytest.fixture(scope="module")
def inline(task: GazeTask) -> WorkerPool:
    return WorkerPool(task, SETTINGS, workers=1)


@pytest.fixture(scope="module")
def two(task: GazeTask) -> Iterator[WorkerPool]:
    with WorkerPool(task, SETTINGS, workers=2) as pool:
        yield pool


def test_updates_are_the_same_bytes_whatever_the_number_of_workers(
    inline: WorkerPool, two: WorkerPool, vector: NDArray[np.float32]
) -> None:
    holdings = {"everybody": tuple(CLIENTS)}
    for clients in (CLIENTS, CLIENTS[::-1], ["everybody"]):
        one, other = (PoolTrainer(pool, holdings).train(1, clients, vector) for pool in (inline, two))
        assert [update.client for update in one] == clients
        for first, second in zip(one, other, strict=True):
            assert (first.client, first.weight, first.loss) == (second.client, second.weight, second.loss)
            assert first.delta.tobytes() == second.delta.tobytes()


def test_predictions_are_the_same_bytes_and_in_the_order_of_the_jobs(
    inline: WorkerPool, two: WorkerPool, vector: NDArray[np.float32]
) -> None:
    jobs = [PredictJob(person, vector) for person in CLIENTS[::-1]]
    for first, second in zip(inline.predict(jobs), two.predict(jobs), strict=True):
        assert first.tobytes() == second.tobytes()


def test_each_client_can_start_from_a_vector_of_its_own(inline: WorkerPool, vector: NDArray[np.float32]) -> None:
    trainer = PoolTrainer(inline)
    other = vector + np.float32(0.01)
    updates = trainer.train_each(0, {"p00": vector, "p01": other})
    assert updates[0].delta.tobytes() == trainer.train(0, ["p00"], vector)[0].delta.tobytes()
    assert updates[1].delta.tobytes() == trainer.train(0, ["p01"], other)[0].delta.tobytes()


def test_a_pooling_client_weighs_as_much_as_its_owners(inline: WorkerPool, vector: NDArray[np.float32]) -> None:
    update = PoolTrainer(inline, {"everybody": ("p00", "p01")}).train(0, ["everybody"], vector)[0]
    assert update.weight == 48


def test_an_error_in_a_worker_arrives_as_it_was_and_the_pool_works_on(
    two: WorkerPool, vector: NDArray[np.float32]
) -> None:
    with pytest.raises(DataError, match="there is no person p99"):
        two.train([TrainJob(client, (client,), 0, vector) for client in ("p00", "p99", "p01")])
    assert len(two.train([TrainJob("p00", ("p00",), 0, vector)])) == 1


def test_a_worker_that_dies_is_an_error_with_a_remedy(task: GazeTask, vector: NDArray[np.float32]) -> None:
    with WorkerPool(task, SETTINGS, workers=2) as pool:
        os.kill(_children()[-1], signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"worker process ended unexpectedly; if memory ran out"):
            pool.train([TrainJob(client, (client,), 0, vector) for client in CLIENTS])


def test_workers_are_gone_after_closing(task: GazeTask) -> None:
    before = set(_children())
    with WorkerPool(task, SETTINGS, workers=2):
        assert len(set(_children()) - before) >= 2
    deadline = time.monotonic() + 10
    while set(_children()) - before - _trackers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(_children()) - before - _trackers() == set()


def _children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()]


def _trackers() -> set[int]:
    """The standard library's own resource tracker, which lives as long as the test process."""
    found = set()
    for pid in _children():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"resource_tracker" in command:
            found.add(pid)
    return found
