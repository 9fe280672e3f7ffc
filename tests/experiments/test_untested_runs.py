"""Runs that train on everyone, so that nobody is left to test on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from privateyes.cli.main import app
from privateyes.engines.local.pool import WorkerPool
from privateyes.errors import ConfigError, TrainingError
from privateyes.experiments.calibrate import calibrate_run
from privateyes.experiments.compare.plan import check_settings
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.mpc.plan import plan_mpc
from privateyes.experiments.prepare import prepare
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import load_spec
from privateyes.tasks.gaze.trained import open_run_estimator


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, eyes: Path, experiment_text: Callable[..., str]) -> Path:
    path = tmp_path_factory.mktemp("untested") / "x.toml"
    text = experiment_text(eyes, '["centralised", "local", "federated", "private"]')
    path.write_text(text.replace('["p03", "p04"]', "[]"))
    return path


@pytest.fixture(scope="module")
def trained(experiment: Path) -> tuple[Path, Result]:
    """A run that `privateyes train` wrote, and what it printed; read only."""
    return experiment.parent / "run", _call("train", experiment, "--out", experiment.parent / "run")


def test_everyone_trains_and_the_tables_say_that_nobody_is_left_to_test_on(trained: tuple[Path, Result]) -> None:
    run, result = trained
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "nobody is left to test on" in told
    assert "how far these models are off on a new person" in told
    assert "mean predictor" not in told
    content = json.loads((run / "results.json").read_text())
    assert content["folds"] == [{"fold": "all", "train": ["p00", "p01", "p02", "p03", "p04"], "test": []}]
    assert content["mean_predictor"] is None
    assert {row["mean_error"] for row in content["rows"]} == {None}
    assert content["equality"]["error_difference"] is None
    assert not (run / "samples.npz").exists()


def test_the_page_says_so_too_and_shows_what_a_round_cost(trained: tuple[Path, Result]) -> None:
    page = re.sub(r"\s+", " ", (trained[0] / "report.html").read_text())
    assert "<b>nobody is left to test on</b>" in page
    assert "Nobody is left to test on, so there are no errors" in page
    assert "No round is complete yet" not in page
    assert "A client of private sends" in page


def test_the_models_can_be_used_and_tested_on_others(
    trained: tuple[Path, Result], tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    run, _ = trained
    assert open_run_estimator(run, "federated").facts.source.endswith("round 2")
    with pytest.raises(ConfigError, match=r"has nobody to test .*--persons, or other data with --data"):
        evaluate_run(run, "federated")
    assert evaluate_run(run, "federated", persons=["p00"]).trained_on == {"p00"}
    others = make_eyes(tmp_path / "others.h5", persons=2, images=5)
    assert evaluate_run(run, "federated", data=others).images == {"p00": 5, "p01": 5}
    with pytest.raises(ConfigError, match="no test persons"):
        calibrate_run(run, method="federated")


def test_a_run_that_is_resumed_has_the_same_results(trained: tuple[Path, Result]) -> None:
    before = (trained[0] / "results.json").read_bytes()
    assert _call("train", trained[0], "--resume").exit_code == 0
    assert (trained[0] / "results.json").read_bytes() == before


def test_what_is_of_errors_alone_is_refused(experiment: Path, eyes: Path) -> None:
    spec = load_spec(experiment)
    with pytest.raises(ConfigError, match="a comparison is of errors"):
        check_settings(spec)
    with pytest.raises(ConfigError, match="mpc is compared by its errors"):
        plan_mpc(prepare(spec), eyes)


def test_training_that_diverges_is_noticed_though_nobody_is_tested(
    experiment: Path, tmp_path: Path, listener: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = WorkerPool.predict
    monkeypatch.setattr(
        WorkerPool, "predict", lambda pool, jobs: [np.full_like(given, np.nan) for given in real(pool, jobs)]
    )
    with pytest.raises(TrainingError, match="centralised: training diverged"):
        run_experiment(load_spec(experiment), tmp_path / "run", listener)  # type: ignore[arg-type]
