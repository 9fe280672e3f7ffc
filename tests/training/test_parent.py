from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.training.parent import leave_with_parent

# A pool of two workers at a job that would take hours: of training, or of predictions.
_POOL = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from privateyes.engines.local.pool import PredictJob, TrainJob, WorkerPool
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.settings import LocalSettings
from privateyes.training.vector import vector_from_model

class Long(GazeTask):
    def examples(self, owner):
        return super().examples(owner).rows(torch.zeros(5_000_000, dtype=torch.int64))

if __name__ == "__main__":
    task = Long(path=Path(sys.argv[1]), model="lenet", image_shape=(36, 60))
    settings = LocalSettings(
        seed=1, rounds=1, local_epochs=1, batch_size=8, optimiser="sgd", learning_rate=1e-9, momentum=0.0,
        weight_decay=0.0, schedule="constant",
    )
    vector = vector_from_model(task.build_model(1))
    with WorkerPool(task, settings, workers=2) as pool:
        print("ready", flush=True)
        if sys.argv[2] == "train":
            pool.train([TrainJob(name, (name,), 0, vector) for name in ("p00", "p01")])
        else:
            pool.predict([PredictJob(name, vector) for name in ("p00", "p01")])
"""


def test_a_process_that_nobody_started_waits_for_nobody() -> None:
    before = threading.active_count()
    leave_with_parent()
    assert threading.active_count() == before


def test_a_worker_waits_for_its_parent_once_and_leaves_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, left = threading.Event(), threading.Event()

    class Process:
        def join(self) -> None:
            gone.wait(10)

    monkeypatch.setattr(multiprocessing, "parent_process", Process)
    monkeypatch.setattr(os, "_exit", lambda _: left.set())
    before = threading.active_count()
    leave_with_parent()
    leave_with_parent()
    assert threading.active_count() == before + 1
    assert not left.is_set()
    gone.set()
    assert left.wait(10)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
@pytest.mark.parametrize("job", ["train", "predict"])
def test_workers_in_the_middle_of_a_long_job_notice_within_seconds_that_their_parent_was_killed(
    job: str, tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    program = tmp_path / "pool.py"
    program.write_text(_POOL.replace("(36, 60)", "(9, 15)").replace('"lenet"', '"small_cnn"'))
    data = make_eyes(tmp_path / "eyes.h5", persons=2, images=4)
    started = subprocess.Popen([sys.executable, program, data, job], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    with started.stdout as lines:
        assert lines.readline() == "ready\n"
        workers = [pid for pid in _children_of(started.pid) if b"spawn_main" in _command(pid)]
        assert len(workers) == 2
        time.sleep(3)  # until they are at their jobs
        assert all(_runs(pid) for pid in workers), "they are at work"
        os.kill(started.pid, signal.SIGKILL)
        started.wait(10)
    deadline = time.monotonic() + 5
    while any(map(_runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [pid for pid in workers if _runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
