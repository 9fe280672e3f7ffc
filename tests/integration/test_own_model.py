"""A torch module of one's own, from the experiment file to the results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from privateyes.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def examples_are_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))  # what worker processes start from
    yield
    sys.modules.pop("own_model", None)


def _train(text: str, folder: Path) -> Result:
    file = folder / "own.toml"
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["train", str(file), "--out", str(folder / "run")])


def _text(make: Callable[..., str], eyes: Path, model: str, workers: int = 1) -> str:
    text = make(eyes, methods='["federated", "private"]').replace("resnet_preact_8", model)
    return text.replace("workers = 1", f"workers = {workers}")


def test_the_example_trains_federated_and_private(
    tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]
) -> None:
    result = _train(_text(experiment_text, eyes, "own_model:PoseTurnedNet"), tmp_path)
    assert result.exit_code == 0, result.output
    assert "private" in result.stdout
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.slow
def test_worker_processes_import_it_too(tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]) -> None:
    result = _train(_text(experiment_text, eyes, "own_model:PoseTurnedNet", workers=2), tmp_path)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_the_examples_own_file_runs_as_it_stands(tmp_path: Path) -> None:
    text = (EXAMPLES / "own_model.toml").read_text(encoding="utf-8")
    result = _train(text.replace("images_per_person = 200", "images_per_person = 40"), tmp_path)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_model:NoSuchNet", "own_model has no NoSuchNet; it has PoseTurnedNet"),
        ("no_such_module:Net", "there is no module no_such_module; install it, or run with PYTHONPATH=/its/folder"),
    ],
)
def test_a_model_that_is_not_there_is_one_line_and_nothing_is_written(
    tmp_path: Path, eyes: Path, experiment_text: Callable[..., str], model: str, message: str
) -> None:
    result = _train(_text(experiment_text, eyes, model), tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
