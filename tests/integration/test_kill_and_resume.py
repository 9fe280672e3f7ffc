"""A run that is killed without warning, at any moment and again and again, ends as one that was left in peace."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

METHODS = '["centralised", "local", "federated", "private"]'
# Session ids follow from the parties' keys; a session that a kill cut short costs messages of its own.
_OF_KEYS = ("sid", "setup_bytes", "traffic", "attempts", "bytes_")
_MAIN = "from privateyes.cli.main import main; main()"
# Kills the process by itself, at the n-th of the steps by which files reach the disk.
_KILLED_AT_STEP = """
import os, signal, sys
steps = int(sys.argv.pop(1))
def counted(real):
    def step(*arguments, **options):
        global steps
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return step
os.fsync = counted(os.fsync)
os.replace = counted(os.replace)
import pathlib
pathlib.Path.replace = counted(pathlib.Path.replace)
from privateyes.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, eyes: Path, experiment_text: Callable[..., str]) -> Path:
    path = tmp_path_factory.mktemp("experiment") / "x.toml"
    path.write_text(experiment_text(eyes, methods=METHODS, rounds=4))
    return path


@pytest.fixture(scope="module")
def in_peace(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("peace") / "run"
    assert _start(_MAIN, experiment, directory).wait() == 0
    return _outcome(directory)


def _start(program: str, experiment: Path, directory: Path, *first: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, *first, "train", str(experiment), "--out", str(directory), "--resume"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _outcome(directory: Path) -> dict[str, Any]:
    """Everything that must not depend on kills: all but timings, and what follows from the fresh keys of `private`."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    paths = sorted((directory / "checkpoints").rglob("*.safetensors"))
    return {
        "checkpoints": {path.stem: path.read_bytes() for path in paths if path.stem != "private"},
        "private model": load_file(directory / "checkpoints" / "all" / "private.safetensors")["model"].tobytes(),
        "samples": (directory / "samples.npz").read_bytes(),
        "metrics": _comparable(lines),
        "results": _comparable(json.loads((directory / "results.json").read_text())),
    }


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: entry for key, entry in value.items() if not key.startswith(("seconds", *_OF_KEYS))}
        return {key: _comparable(entry) for key, entry in kept.items()}
    return [_comparable(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, 40, 3))
def test_killed_at_a_step_of_writing_and_resumed_it_is_the_same(
    experiment: Path, in_peace: dict[str, Any], tmp_path: Path, step: int
) -> None:
    directory = tmp_path / "run"
    assert _start(_KILLED_AT_STEP, experiment, directory, str(step)).wait() == -signal.SIGKILL
    assert _start(_MAIN, experiment, directory).wait() == 0
    assert _outcome(directory) == in_peace


def test_killed_at_random_moments_and_resumed_it_is_the_same(
    experiment: Path, in_peace: dict[str, Any], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    moments = random.Random(7)
    kills = 0
    for _ in range(20):
        process = _start(_MAIN, experiment, directory)
        lines = _count_lines(directory)
        while process.poll() is None and _count_lines(directory) == lines:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.15))
        if process.poll() is not None:
            break
        process.kill()
        kills += 1
        process.wait()
        if kills == 3:
            assert _start(_MAIN, experiment, directory).wait() == 0
            break
    assert kills >= 2
    assert _outcome(directory) == in_peace


def _count_lines(directory: Path) -> int:
    path = directory / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_workers_leave_when_their_parent_is_killed(
    eyes: Path, experiment_text: Callable[..., str], tmp_path: Path
) -> None:
    experiment = tmp_path / "x.toml"
    experiment.write_text(experiment_text(eyes, rounds=1000).replace("workers = 1", "workers = 2"))
    process = _start(_MAIN, experiment, tmp_path / "run")
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.02)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(workers) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()
