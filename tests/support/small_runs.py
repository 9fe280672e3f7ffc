"""Runs that many tests share, and an observer that listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, parse_spec


class Listener:
    """Keeps everything that a run tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note(self, text: str) -> None:
        self.told.append(("note", text))

    def planned(self, rounds: int, done: int) -> None:
        self.told.append(("planned", rounds, done))

    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None:
        self.told.append(("started", fold, method, done, rounds))

    def round_done(self, line: Mapping[str, Any]) -> None:
        self.told.append(("round", line["fold"], line["method"], line["round"]))

    def method_finished(self, fold: str, method: str) -> None:
        self.told.append(("finished", fold, method))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="session")
def silent() -> Listener:
    """An observer for fixtures that are kept longer than a test."""
    return Listener()


@pytest.fixture(scope="session")
def small_spec(eyes: Path, experiment_text: Callable[..., str]) -> Callable[..., ExperimentSpec]:
    def make(**changes: Any) -> ExperimentSpec:
        return parse_spec(experiment_text(changes.pop("data", eyes), **changes), "small.toml", Path())

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, small_spec: Callable[..., ExperimentSpec]) -> Path:
    """A run of three methods, read only."""
    directory = tmp_path_factory.mktemp("runs") / "small"
    run_experiment(small_spec(methods='["centralised", "local", "federated"]'), directory, Listener())
    return directory
