"""Experiments with a table [mpc], and the stub engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from privateyes.baselines.mpc.driver import Launcher
from privateyes.experiments.mpc.plan import MpcJob, plan_mpc
from privateyes.experiments.mpc.result import MpcResult
from privateyes.experiments.mpc.run import run_mpc
from privateyes.experiments.prepare import Preparation, prepare
from privateyes.experiments.spec import parse_spec


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step_done(self, fold: str, done: int, steps: int) -> None:
        self.steps.append((fold, done, steps))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@dataclass(frozen=True)
class Finished:
    """A training that went well, and what was told of it; read only."""

    job: MpcJob
    folder: Path
    result: MpcResult
    listener: Listener


@pytest.fixture(scope="session")
def finished(make_job: Callable[..., MpcJob], stub: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    job = make_job("samples_per_person = 4\nbatch_size = 6\nepochs = 2\nlearning_rate = 0.2")
    folder, listener = tmp_path_factory.mktemp("mpc") / "fold", Listener()
    return Finished(job, folder, run_mpc(job, folder, listener, stub), listener)


@pytest.fixture(scope="session")
def stub() -> Launcher:
    """The real program on an engine that computes nothing."""
    return Launcher(Path(sys.executable), Path(__file__).parents[2] / "support" / "stub_engine" / "program.py")


@pytest.fixture(scope="session")
def make_preparation(eyes: Path) -> Callable[..., Preparation]:
    """A prepared experiment on five persons with 24 images of 9x15; `mpc` is the text of the table."""

    def make(mpc: str = "", model: str = "small_cnn", split: str = 'test_persons = ["p03", "p04"]') -> Preparation:
        text = f"""
            name = "small"
            seed = 3
            [data]
            path = "{eyes}"
            [split]
            {split}
            [model]
            name = "{model}"
            [training]
            rounds = 4
            local_epochs = 2
            batch_size = 16
            [mpc]
            {mpc}
        """
        return prepare(parse_spec(text, "small.toml", Path()))

    return make


@pytest.fixture(scope="session")
def make_job(make_preparation: Callable[..., Preparation], eyes: Path) -> Callable[..., MpcJob]:
    """The first job of such an experiment."""

    def make(*arguments: Any, **keywords: Any) -> MpcJob:
        return plan_mpc(make_preparation(*arguments, **keywords), eyes)[0]

    return make
