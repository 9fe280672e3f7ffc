from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import ConfigError, RunDirectoryError, UsageError
from privateyes.experiments.checkpoint import write_checkpoint
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.spec import ExperimentSpec
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.metrics import mean_angular_error_deg
from privateyes.tasks.gaze.predict.estimator import RENDERED
from privateyes.tasks.gaze.task import GazeTask
from privateyes.tasks.gaze.trained import MODEL_FILE, describe_model, open_estimator, open_run_estimator


@pytest.fixture
def copied_run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.mark.parametrize("method", ["centralised", "federated"])
def test_an_estimator_errs_as_the_evaluation_says(finished_run: Path, eyes: Path, method: str) -> None:
    estimator = open_run_estimator(finished_run, method)
    evaluation = evaluate_run(finished_run, method)
    for person in load_persons(eyes, list(evaluation.error)):
        estimated = estimator.estimate({"image": person.image, "pose": person.pose})
        assert mean_angular_error_deg(estimated, person.gaze) == pytest.approx(evaluation.error[person.name])


def test_the_facts_name_model_method_fold_and_round(finished_run: Path) -> None:
    facts = open_run_estimator(finished_run, "federated").facts
    assert (facts.model, facts.inputs, facts.image_shape) == ("resnet_preact_8", ("image", "pose"), (9, 15))
    assert facts.source == "small: federated, fold all, round 2"


def test_the_last_method_is_the_default(finished_run: Path) -> None:
    assert "federated" in open_run_estimator(finished_run).facts.source


def test_where_everyone_has_a_model_one_has_to_be_chosen(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="every client has a model of its own; choose one with --client: p00, p01"):
        open_run_estimator(finished_run, "local")
    first, second = (open_run_estimator(finished_run, "local", client=client) for client in ("p00", "p01"))
    assert "local of p00" in first.facts.source
    assert not np.array_equal(first.vector, second.vector)
    checkpoint = RunDirectory(finished_run).read_checkpoint("all", "local")
    assert checkpoint is not None
    np.testing.assert_array_equal(first.vector, checkpoint.vectors["p00"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"method": "federatde"}, "--method federatde: the run has no such method; did you mean federated"),
        ({"fold": "p00"}, "--fold p00: the run has no such fold"),
        ({"method": "local", "client": "p77"}, "--client p77: the run has no such client"),
        ({"method": "federated", "client": "p00"}, "in federated everyone has the same model"),
    ],
    ids=str,
)
def test_choices_that_the_run_does_not_offer_are_refused(
    finished_run: Path, choice: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_run_estimator(finished_run, **choice)


def test_the_data_need_not_be_there(copied_run: Path, small_spec: Callable[..., ExperimentSpec]) -> None:
    """A model is used where the data are not."""
    text = (copied_run / "experiment.toml").read_text()
    path = next(line for line in text.splitlines() if line.startswith("path = "))
    (copied_run / "experiment.toml").write_text(text.replace(path, 'path = "/nowhere/eyes.h5"'))
    assert open_run_estimator(copied_run, "federated").facts.image_shape == (9, 15)


def test_runs_without_the_note_ask_their_data(copied_run: Path) -> None:
    noted = open_run_estimator(copied_run, "federated").facts
    (copied_run / MODEL_FILE).unlink()
    assert open_run_estimator(copied_run, "federated").facts == noted


def test_where_a_best_round_is_kept_it_is_the_model(copied_run: Path) -> None:
    run = RunDirectory(copied_run)
    best = run.read_checkpoint("all", "centralised")
    assert best is not None
    write_checkpoint(run.best_path("all", "federated"), best)
    np.testing.assert_array_equal(open_run_estimator(copied_run, "federated").vector, best.vectors[""])


def test_a_damaged_note_is_refused_by_name(copied_run: Path) -> None:
    (copied_run / MODEL_FILE).write_text(json.dumps({"model": "lenet"}))
    with pytest.raises(RunDirectoryError, match=r"model\.json: the model's description is damaged .*delete the file"):
        open_run_estimator(copied_run, "federated")


def test_a_run_that_has_not_begun_or_not_come_so_far_has_no_model(copied_run: Path) -> None:
    (copied_run / "checkpoints/all/federated.safetensors").unlink()
    with pytest.raises(RunDirectoryError, match="no checkpoint of federated in fold all"):
        open_run_estimator(copied_run, "federated")
    shutil.rmtree(copied_run / "checkpoints")
    there = re.escape(
        f"has no checkpoint yet; train it first, or continue with `privateyes train {copied_run} --resume`"
    )
    with pytest.raises(RunDirectoryError, match=there):
        open_run_estimator(copied_run, "federated")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        open_estimator(tmp_path)
    with pytest.raises(RunDirectoryError, match="there is no such run"):
        open_estimator(tmp_path / "model.pth")


def test_a_file_has_one_model_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds one model only"):
        open_estimator(tmp_path / "x.onnx", method="private")
    with pytest.raises(UsageError):
        open_estimator(tmp_path / "x.onnx")


def test_the_note_tells_the_data_set_where_the_file_does(eyes: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(eyes, tmp_path / "eyes.h5"))
    task = GazeTask(path, "resnet_preact_8", (9, 15))
    assert describe_model(task, rendered=False)["dataset"] is None
    with h5py.File(path, "a") as file:
        file.attrs["dataset"] = "mpiigaze"
    assert describe_model(task, rendered=False)["dataset"] == "mpiigaze"
    assert describe_model(task, rendered=True)["dataset"] == RENDERED


@pytest.mark.parametrize("name", ["licence", "license"])
def test_the_note_tells_the_licence_where_the_file_does(eyes: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(eyes, tmp_path / "eyes.h5"))
    task = GazeTask(path, "resnet_preact_8", (9, 15))
    assert describe_model(task, rendered=False)["licence"] is None
    with h5py.File(path, "a") as file:
        file.attrs[name] = "CC BY-NC-SA 4.0\n\x1b[2J"
    assert describe_model(task, rendered=False)["licence"] == "CC BY-NC-SA 4.0 [2J"
    assert describe_model(task, rendered=True)["licence"] is None


def test_runs_that_did_not_note_the_licence_ask_their_data(copied_run: Path, eyes: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(eyes, tmp_path / "eyes.h5"))
    with h5py.File(path, "a") as file:
        file.attrs["licence"] = "CC0"
    text = (copied_run / "experiment.toml").read_text()
    written = next(line for line in text.splitlines() if line.startswith("path = "))
    (copied_run / "experiment.toml").write_text(text.replace(written, f'path = "{path}"'))
    noted = json.loads((copied_run / MODEL_FILE).read_text())
    assert open_run_estimator(copied_run, "federated").facts.licence is None, "what was noted counts"
    del noted["licence"]
    (copied_run / MODEL_FILE).write_text(json.dumps(noted))
    assert open_run_estimator(copied_run, "federated").facts.licence == "CC0"
    path.unlink()
    assert open_run_estimator(copied_run, "federated").facts.licence is None
