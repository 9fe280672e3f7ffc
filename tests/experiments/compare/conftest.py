"""A finished comparison that many tests read, and an observer that listens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.compare.folder import ComparisonFolder
from privateyes.experiments.compare.run import run_comparison
from privateyes.experiments.spec import ExperimentSpec, parse_spec


class CompareListener:
    """Keeps everything that a comparison tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note(self, text: str) -> None:
        self.told.append(("note", text))

    def planned(self, runs: int, finished: int, rounds: int, rounds_done: int) -> None:
        self.told.append(("planned", runs, finished, rounds, rounds_done))

    def run_started(self, name: str, rounds: int) -> None:
        self.told.append(("started", name, rounds))

    def round_done(self, name: str, line: Mapping[str, Any]) -> None:
        self.told.append(("round", name, line["method"], line["round"]))

    def step_done(self, fold: str, done: int, steps: int) -> None:
        self.told.append(("step", fold, done, steps))

    def run_finished(self, name: str, seconds: float) -> None:
        self.told.append(("finished", name))

    def run_failed(self, name: str, problem: str) -> None:
        self.told.append(("failed", name, problem))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.told if entry[0] == kind]


@pytest.fixture
def compare_listener() -> CompareListener:
    return CompareListener()


@pytest.fixture(scope="session")
def comparison_text(eyes: Path) -> Callable[..., str]:
    """An experiment file's text: two persons left out in turn, two rounds."""

    def text(
        methods: str = '["centralised", "federated", "adaptive", "private"]',
        split: str = 'leave_one_out = true\nfolds = ["p00", "p01"]',
        compare: str = "",
        tail: str = "",
        rounds: int = 2,
    ) -> str:
        return f"""
name = "small"
seed = 3
methods = {methods}
[data]
path = "{eyes}"
[split]
{split}
[model]
name = "resnet_preact_8"
[training]
rounds = {rounds}
batch_size = 8
[compare]
{compare}
{tail}
"""

    return text


@pytest.fixture(scope="session")
def comparison_spec(comparison_text: Callable[..., str]) -> Callable[..., ExperimentSpec]:
    def make(**changes: Any) -> ExperimentSpec:
        return parse_spec(comparison_text(**changes), "small.toml", Path())

    return make


@pytest.fixture(scope="session")
def finished_comparison(
    tmp_path_factory: pytest.TempPathFactory, comparison_spec: Callable[..., ExperimentSpec]
) -> tuple[Path, Mapping[str, Any]]:
    """A comparison of two folds and three seeds, two runs at a time, and its results; read only."""
    folder = ComparisonFolder(tmp_path_factory.mktemp("comparisons") / "small")
    outcome = run_comparison(comparison_spec(compare="parallel = 2"), folder, CompareListener())
    assert not outcome.failures
    assert outcome.results is not None
    return folder.path, outcome.results


@pytest.fixture
def comparison_results(finished_comparison: tuple[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """Results that a test may change."""
    return copy.deepcopy(dict(finished_comparison[1]))
