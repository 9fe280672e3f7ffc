from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.engines.local.pool import WorkerPool
from privateyes.errors import TrainingError
from privateyes.experiments.calibrate import calibrate_run
from privateyes.experiments.checkpoint import write_checkpoint
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec
from privateyes.tasks.gaze.trained import open_run_estimator
from privateyes.training.calibration_settings import CalibrationSettings

Make = Callable[..., ExperimentSpec]
SIX = ["centralised", "local", "federated", "fedadam", "private", "private-adaptive"]


def test_finite_values_are_no_case_for_a_word(small_spec: Make) -> None:
    require_finite(np.array([1.0, -3e38]), small_spec(), "federated", "it")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_error_names_the_method_the_values_and_every_rate_that_could_be_lowered(
    small_spec: Make, value: float
) -> None:
    spec = small_spec(extra_training="learning_rate = 1e3")
    with pytest.raises(TrainingError) as caught:
        require_finite(np.array([1.0, value]), spec, "private-adaptive", "the model of round 3")
    assert "private-adaptive: training diverged, for the model of round 3" in caught.value.problem
    assert "training.learning_rate (it is 1000)" in caught.value.remedy
    assert "federation.fedadam.learning_rate (it is 0.06)" in caught.value.remedy
    with pytest.raises(TrainingError) as caught:
        require_finite(np.array([value]), spec, "centralised", "it")
    assert "federation" not in caught.value.remedy


@pytest.mark.parametrize("method", SIX)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_divergence_that_shows_only_at_evaluation_ends_every_method_and_its_resumption(
    small_spec: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, method: str, value: float
) -> None:
    real = WorkerPool.predict
    monkeypatch.setattr(
        WorkerPool, "predict", lambda pool, jobs: [np.full_like(given, value) for given in real(pool, jobs)]
    )
    for resume in (False, True):
        with pytest.raises(
            TrainingError, match=rf"{method}: training diverged, for what the model of round 1 predicts"
        ):
            run_experiment(small_spec(methods=f'["{method}"]'), tmp_path / "run", listener, resume)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_weights_that_are_infinite_are_found_in_rounds_without_an_evaluation_too(
    small_spec: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = WorkerPool.train

    def train(pool: WorkerPool, jobs: Any) -> Any:
        from_zero = [replace(job, vector=np.zeros_like(job.vector)) for job in jobs]
        return [replace(update, delta=np.full_like(update.delta, 3e38)) for update in real(pool, from_zero)]

    monkeypatch.setattr(WorkerPool, "train", train)
    spec = small_spec(methods='["local"]', rounds=4, extra_training="evaluate_every = 4")
    with pytest.raises(TrainingError, match="local: training diverged, for the model of round 2"):
        run_experiment(spec, tmp_path / "run", listener)


@pytest.fixture
def diverged_run(finished_run: Path, tmp_path: Path) -> Path:
    """A run whose model answers with infinities, from weights that are finite."""
    run = RunDirectory(Path(shutil.copytree(finished_run, tmp_path / "run")))
    checkpoint = run.read_result("all", "federated")
    assert checkpoint is not None
    vectors = {name: np.full_like(vector, 3e38) for name, vector in checkpoint.vectors.items()}
    write_checkpoint(run.checkpoint_path("all", "federated"), replace(checkpoint, vectors=vectors))
    return run.path


def test_a_diverged_model_can_be_neither_evaluated_nor_calibrated(diverged_run: Path) -> None:
    with pytest.raises(TrainingError, match="federated: training diverged, for what the model of round 2 predicts"):
        evaluate_run(diverged_run, "federated")
    with pytest.raises(TrainingError, match="federated: training diverged, for what the model of round 2 predicts"):
        calibrate_run(diverged_run, CalibrationSettings((1,)), "federated")


def test_weights_that_are_no_numbers_are_no_estimator(diverged_run: Path) -> None:
    run = RunDirectory(diverged_run)
    checkpoint = run.read_result("all", "federated")
    assert checkpoint is not None
    vectors = {name: np.full_like(vector, np.nan) for name, vector in checkpoint.vectors.items()}
    write_checkpoint(run.checkpoint_path("all", "federated"), replace(checkpoint, vectors=vectors))
    with pytest.raises(TrainingError, match="federated: training diverged, for the model of round 2"):
        open_run_estimator(diverged_run, "federated")
