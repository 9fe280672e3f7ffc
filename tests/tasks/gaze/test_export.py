from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.export import export_run
from privateyes.tasks.gaze.trained import MODEL_FILE, open_estimator, open_run_estimator

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="the extra privateyes[onnx] is not installed")


def test_an_exported_run_estimates_as_the_run_does(finished_run: Path, eyes: Path, tmp_path: Path) -> None:
    exported = export_run(finished_run, tmp_path / "x.onnx", "federated")
    assert exported.facts.source == "small: federated, fold all, round 2"
    person = load_persons(eyes, ["p03"])[0]
    columns = {"image": person.image, "pose": person.pose}
    original, read = open_run_estimator(finished_run, "federated"), open_estimator(tmp_path / "x.onnx")
    assert read.facts == original.facts
    np.testing.assert_allclose(read.estimate(columns), original.estimate(columns), rtol=1e-5, atol=1e-5)


def test_the_licence_that_the_data_state_goes_with_the_model(finished_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    noted = json.loads((run / MODEL_FILE).read_text())
    (run / MODEL_FILE).write_text(json.dumps(noted | {"licence": "CC BY 4.0"}))
    exported = export_run(run, tmp_path / "x.onnx", "federated")
    assert "whose file states: CC BY 4.0" in exported.licence
    assert open_estimator(tmp_path / "x.onnx").facts.licence == "CC BY 4.0"


@pytest.mark.parametrize("name", ["x.pt", "x", "onnx"])
def test_other_endings_are_refused(finished_run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an ONNX file"):
        export_run(finished_run, tmp_path / name)


def test_nothing_is_overwritten_and_folders_are_not_made(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        export_run(finished_run, tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_text() == "mine"
    with pytest.raises(DataError, match="does not exist; create it first"):
        export_run(finished_run, tmp_path / "none" / "x.onnx")


def test_what_is_no_run_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError):
        export_run(tmp_path, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
