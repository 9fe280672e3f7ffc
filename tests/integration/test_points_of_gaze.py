"""Two eyes, a face and its place in the frame, learned as points in cm: from the file to the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from privateyes.cli.main import app
from privateyes.errors import ConfigError
from privateyes.experiments.prepare import prepare
from privateyes.experiments.report import write_report
from privateyes.experiments.report.files import read_samples
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, parse_spec

EXPERIMENT = """
name = "points"
seed = 2
methods = {methods}
[data]
path = "{data}"
label = "point"
{more}
[split]
test_persons = ["00003"]
[model]
name = "{model}"
[training]
rounds = {rounds}
batch_size = 8
optimiser = "adam"
learning_rate = 0.001
[runtime]
workers = {workers}
{tail}
"""


class _Silent:
    def note(self, text: str) -> None: ...
    def planned(self, rounds: int, done: int) -> None: ...
    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None: ...
    def round_done(self, line: Mapping[str, Any]) -> None: ...
    def method_finished(self, fold: str, method: str) -> None: ...


def spec_of(data: Path, **changes: Any) -> ExperimentSpec:
    values = {
        "methods": '["federated", "private"]',
        "more": "",
        "model": "itracker",
        "rounds": 2,
        "workers": 1,
        "tail": "",
    }
    return parse_spec(EXPERIMENT.format(data=data, **{**values, **changes}), "points.toml", Path())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> tuple[Path, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("runs") / "points"
    return directory, run_experiment(spec_of(faces), directory, _Silent())


def test_errors_are_centimetres_in_every_file(run: tuple[Path, dict[str, Any]]) -> None:
    directory, results = run
    assert results["unit"] == "cm"
    assert json.loads((directory / "results.json").read_text())["unit"] == "cm"
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert {line["unit"] for line in lines if line["event"] == "round"} == {"cm"}
    # The points lie within 4 cm to either side and 10 cm below the camera.
    assert 1.0 < results["mean_predictor"]["mean_error"] < 5.0
    assert all(0.1 < row["mean_error"] < 10.0 for row in results["rows"])


def test_private_equals_federated(run: tuple[Path, dict[str, Any]]) -> None:
    _, results = run
    assert results["equality"]["largest_deviation"] <= results["equality"]["bound"]
    federated, private = (row["mean_error"] for row in results["rows"])
    assert private == pytest.approx(federated, abs=1e-3)


def test_the_page_tells_centimetres_and_draws_no_arrow(run: tuple[Path, dict[str, Any]]) -> None:
    directory, results = run
    page = write_report(directory).read_text(encoding="utf-8")
    assert f"{results['rows'][0]['mean_error']:.2f} cm" in page
    assert "mean distance" in page
    assert "degree" not in page.lower()
    assert "angular" not in page.lower()
    assert "An arrow is" not in page
    assert "the distance between each prediction and the true point" in page


def test_sample_pictures_are_grey_faces(run: tuple[Path, dict[str, Any]]) -> None:
    samples = read_samples(run[0] / "samples.npz")
    assert samples.images.shape[1:] == (48, 48)
    assert samples.images.dtype == np.uint8
    assert np.abs(samples.true).max() > 1.0


def test_evaluation_and_the_table_are_in_centimetres(run: tuple[Path, dict[str, Any]]) -> None:
    result: Result = CliRunner().invoke(app, ["evaluate", str(run[0]), "--method", "federated"])
    assert result.exit_code == 0, result.output
    assert " cm" in result.output
    assert "°" not in result.output


def test_the_loss_falls_from_the_first_round_to_the_last(run: tuple[Path, dict[str, Any]]) -> None:
    lines = [json.loads(line) for line in (run[0] / "metrics.jsonl").read_text().splitlines()]
    losses = [line["train_loss"] for line in lines if line["event"] == "round" and line["method"] == "federated"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_two_eyes_a_face_and_a_grid_tell_more_than_the_mean_point(tmp_path: Path, faces: Path) -> None:
    spec = spec_of(faces, methods='["federated"]', rounds=8)
    longer = spec.training.model_copy(update={"local_epochs": 4, "loss": "l2"})
    results = run_experiment(spec.model_copy(update={"training": longer}), tmp_path / "run", _Silent())
    assert results["rows"][0]["mean_error"] < 0.9 * results["mean_predictor"]["mean_error"]


@pytest.mark.slow
def test_a_second_worker_changes_nothing(tmp_path: Path, faces: Path, run: tuple[Path, dict[str, Any]]) -> None:
    spec = spec_of(faces, methods='["federated"]', workers=2)
    results = run_experiment(spec, tmp_path / "run", _Silent())
    assert results["rows"][0]["per_person"] == run[1]["rows"][0]["per_person"]


def test_training_images_are_augmented_and_test_images_are_not(
    tmp_path: Path, faces: Path, run: tuple[Path, dict[str, Any]]
) -> None:
    tail = "[augmentation]\nmirror = 0.5\nbrightness = 0.2"
    runs = [
        run_experiment(spec_of(faces, methods='["federated"]', tail=tail), tmp_path / f"run{index}", _Silent())
        for index in range(2)
    ]
    assert runs[0]["rows"][0]["per_person"] == runs[1]["rows"][0]["per_person"]
    assert runs[0]["rows"][0]["per_person"] != run[1]["rows"][0]["per_person"]
    assert runs[0]["mean_predictor"] == run[1]["mean_predictor"]


def test_smaller_grey_pictures_are_learned_too(tmp_path: Path, faces: Path) -> None:
    more = "resize = [36, 36]\ngrey = true\nequalise = true"
    results = run_experiment(spec_of(faces, methods='["federated"]', more=more), tmp_path / "run", _Silent())
    assert results["unit"] == "cm"
    assert read_samples(tmp_path / "run" / "samples.npz").images.shape[1:] == (36, 36)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "lenet"},
            'model lenet learns gaze angles, and data.label = "point" asks for points of gaze.*itracker',
        ),
        ({"more": "resize = [20, 20]"}, "itracker cannot take 20x20 images: it accepts 35x35"),
        ({"more": "equalise = true"}, "data.equalise needs grey images, and these are RGB; set data.grey = true"),
        ({"tail": "[augmentation]\nrotation_deg = 5.0"}, "augmentation.rotation_deg needs normalised images"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_written(
    faces: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(spec_of(faces, **changes))


def test_angles_are_refused_where_there_are_points_only(faces: Path, small_text: Callable[[Path], str]) -> None:
    with pytest.raises(
        ConfigError, match=r'data.label = "gaze": person 00000 of .* has no gaze; set data.label = "point"'
    ):
        prepare(parse_spec(small_text(faces), "x.toml", Path()))


@pytest.fixture
def small_text() -> Callable[[Path], str]:
    return lambda data: EXPERIMENT.format(
        data=data, methods='["federated"]', more="", model="resnet_14", rounds=1, workers=1, tail=""
    ).replace('label = "point"', "")
