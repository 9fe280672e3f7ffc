"""Small trainings, and the stub engine that runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.baselines.mpc.driver import Launcher
from privateyes.baselines.mpc.job import Network, Owner, Sgd, TrainingJob, plan_batches

STUB = Path(__file__).parents[2] / "support" / "stub_engine" / "program.py"


@pytest.fixture
def stub() -> Launcher:
    """The real program on an engine that computes nothing."""
    return Launcher(Path(sys.executable), STUB)


@pytest.fixture(scope="session")
def make_job() -> Callable[..., TrainingJob]:
    """A perceptron of 7 inputs, for two owners; anything can be changed."""

    def make(**changes: Any) -> TrainingJob:
        generator = np.random.default_rng(5)
        owners = tuple(
            Owner(name, generator.random((count, 7), dtype=np.float32), generator.random((count, 2), dtype=np.float32))
            for name, count in (("p00", 6), ("p01", 4))
        )
        network = Network("perceptron", ((3, 7), (3,), (2, 3), (2,)))
        settings: dict[str, Any] = {
            "protocol": "aby3",
            "parties": 3,
            "owners": owners,
            "network": network,
            "initial": generator.normal(0, 0.5, network.parameters).astype(np.float32),
            "sgd": Sgd(0.1, 0.9, "l2"),
            "plan": plan_batches(10, 4, 2, seed=3),
            "silence_s": 60,
        }
        return TrainingJob(**{**settings, **changes})

    return make
