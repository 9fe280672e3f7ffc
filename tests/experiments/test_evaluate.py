from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec


@pytest.mark.parametrize("method", ["centralised", "local", "federated"])
def test_an_evaluation_repeats_the_runs_own_numbers(finished_run: Path, method: str) -> None:
    rows = json.loads((finished_run / "results.json").read_text())["rows"]
    evaluation = evaluate_run(finished_run, method)
    assert evaluation.error == next(row["per_person"] for row in rows if row["method"] == method)
    assert evaluation.round == 2
    assert evaluation.trained_on == frozenset()


def test_by_default_it_is_the_last_method(finished_run: Path) -> None:
    assert evaluate_run(finished_run).method == "federated"


def test_persons_that_the_model_was_trained_on_are_marked(finished_run: Path) -> None:
    evaluation = evaluate_run(finished_run, persons=["p00", "p04"])
    assert evaluation.trained_on == {"p00"}
    assert evaluation.images == {"p00": 24, "p04": 24}


def test_other_data_are_tested_whole(finished_run: Path, tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    evaluation = evaluate_run(finished_run, data=make_eyes(tmp_path / "others.h5", persons=2, images=5))
    assert evaluation.images == {"p00": 5, "p01": 5}
    assert evaluation.trained_on == frozenset()


def test_other_data_are_tested_whole_though_the_run_limits_its_own(
    small_spec: Callable[..., ExperimentSpec], tmp_path: Path, make_eyes: Callable[..., Path], listener: Any
) -> None:
    spec = small_spec(rounds=1)
    limited = spec.model_copy(update={"data": spec.data.model_copy(update={"image_limit": 4})})
    run_experiment(limited, tmp_path / "run", listener)
    assert evaluate_run(tmp_path / "run").images == {"p03": 4, "p04": 4}
    others = make_eyes(tmp_path / "others.h5", persons=2, images=9)
    assert evaluate_run(tmp_path / "run", data=others).images == {"p00": 9, "p01": 9}


def test_unknown_methods_folds_and_persons_are_refused(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="--method private: the run has no such method"):
        evaluate_run(finished_run, "private")
    with pytest.raises(ConfigError, match="--fold p00: the run has no such fold"):
        evaluate_run(finished_run, fold="p00")
    with pytest.raises(DataError, match="there is no person p99"):
        evaluate_run(finished_run, persons=["p99"])


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run directory"):
        evaluate_run(tmp_path)


def test_a_run_made_on_a_gpu_can_be_evaluated_without_one(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    copy = Path(shutil.copytree(finished_run, tmp_path / "copy"))
    text = (copy / "experiment.toml").read_text()
    assert 'device = "cpu"' in text
    (copy / "experiment.toml").write_text(text.replace('device = "cpu"', 'device = "cuda"'))
    assert evaluate_run(copy, "federated").error == evaluate_run(finished_run, "federated").error
