from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privateyes.engines.local.pool import PoolTrainer, PredictJob, TrainJob, WorkerPool
from privateyes.errors import ConfigError, DataError, TrainingError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.partition import Share
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.determinism import deterministic_torch
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import pool_examples
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


def updates_of(trainer: PoolTrainer, *arguments: Any) -> list[ClientUpdate]:
    return [participant.hand_over() for participant in trainer.train(*arguments)]


def test_updates_are_the_same_bytes_whatever_the_number_of_workers(
    inline: WorkerPool, two: WorkerPool, vector: NDArray[np.float32]
) -> None:
    holdings = {"everybody": tuple(CLIENTS)}
    for clients in (CLIENTS, CLIENTS[::-1], ["everybody"]):
        one, other = (updates_of(PoolTrainer(pool, holdings), 1, clients, vector) for pool in (inline, two))
        assert [update.client for update in one] == clients
        for first, second in zip(one, other, strict=True):
            assert (first.client, first.weight, first.loss) == (second.client, second.weight, second.loss)
            assert first.delta.tobytes() == second.delta.tobytes()


def test_a_client_may_hold_shares_of_several_owners(
    inline: WorkerPool, two: WorkerPool, task: GazeTask, vector: NDArray[np.float32]
) -> None:
    first, second = np.array([1, 5, 20]), np.array([0, 23])
    holdings = {"c1": (Share("p00", first), Share("p03", second)), "c2": ("p01", Share("p00", np.arange(1)))}
    one, other = (updates_of(PoolTrainer(pool, holdings), 0, ["c1", "c2"], vector) for pool in (inline, two))
    assert [update.weight for update in one] == [5, 25]
    for ours, theirs in zip(one, other, strict=True):
        assert ours.delta.tobytes() == theirs.delta.tobytes()
    rows = [task.examples(name).rows(torch.from_numpy(index)) for name, index in (("p00", first), ("p03", second))]
    with deterministic_torch():
        alone = train_locally(task, SETTINGS, pool_examples(rows), Assignment("c1", 0), vector)
    assert alone.delta.tobytes() == one[0].delta.tobytes()


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
    assert updates[0].delta.tobytes() == updates_of(trainer, 0, ["p00"], vector)[0].delta.tobytes()
    assert updates[1].delta.tobytes() == updates_of(trainer, 0, ["p01"], other)[0].delta.tobytes()


def test_a_pooling_client_weighs_as_much_as_its_owners(inline: WorkerPool, vector: NDArray[np.float32]) -> None:
    update = updates_of(PoolTrainer(inline, {"everybody": ("p00", "p01")}), 0, ["everybody"], vector)[0]
    assert update.weight == 48


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_clients_trained_in_either_order_on_one_worker_end_in_the_same_bytes(
    task: GazeTask, vector: NDArray[np.float32], optimiser: str
) -> None:
    """Neither momentum nor moments nor anything a module keeps passes from one client to the next."""
    settings = replace(SETTINGS, optimiser=optimiser, local_epochs=2)  # type: ignore[arg-type]
    found = []
    for order in (CLIENTS, CLIENTS[::-1], ["p03", "p00", "p03", *CLIENTS]):
        with WorkerPool(task, settings, workers=1) as pool:
            found.append({one.client: one.delta.tobytes() for one in updates_of(PoolTrainer(pool), 0, order, vector)})
    assert found[0] == found[1] == found[2]


def test_one_pool_trains_clients_with_the_proximal_term_and_without(
    task: GazeTask, vector: NDArray[np.float32]
) -> None:
    with WorkerPool(task, replace(SETTINGS, proximal_mu=0.5), workers=1) as pool:
        plain, pulled, again = (
            updates_of(PoolTrainer(pool, proximal=proximal), 0, ["p00"], vector)[0] for proximal in (False, True, False)
        )
    assert plain.delta.tobytes() == again.delta.tobytes()
    assert pulled.delta.tobytes() != plain.delta.tobytes()


def test_a_straggler_does_its_share_and_weighs_as_much_as_ever(
    inline: WorkerPool, two: WorkerPool, vector: NDArray[np.float32]
) -> None:
    for pool in (inline, two):
        whole, part = (
            updates_of(PoolTrainer(pool), 0, ["p00"], vector, work)[0] for work in ({}, {"p00": 0.3, "p01": 0.5})
        )
        assert whole.weight == part.weight == 24
        assert 0 < np.linalg.norm(part.delta) < np.linalg.norm(whole.delta)


def test_where_cuda_computes_one_process_is_the_default(task: GazeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    before = set(_children())
    with WorkerPool(task, replace(SETTINGS, device="auto")):
        assert set(_children()) == before


def test_cuda_that_is_not_there_is_refused_before_a_worker_starts(
    task: GazeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no CUDA device"):
        WorkerPool(task, replace(SETTINGS, device="cuda"), workers=2)


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
