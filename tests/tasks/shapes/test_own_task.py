"""A task that privateyes has never heard of goes the whole method: train, private, resume, page, evaluate, compare.

It is tests/support/shapes_task.py, which segments drawn shapes and is judged by a score that is better when higher.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import shapes_task
from privateyes.cli.main import app
from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.report import write_report
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, dump_spec, parse_spec
from small_runs import Listener

METHODS = '["centralised", "local", "federated", "private"]'
FOREIGN = re.compile(r"\bgaze|\beyes?\b|\bdegrees?\b(?! of freedom)|°|\bangular|\berrors?\b", re.IGNORECASE)
"""Words of another task."""


def text(methods: str = METHODS, rounds: int = 3, data: str = "", tail: str = "") -> str:
    made = "[data.synthetic]\npersons = 4\nimages_per_person = 24"
    return f"""
name = "shapes"
task = "shapes_task:SHAPES"
seed = 5
methods = {methods}
[data]
{data or made}
[drawing]
noise = 30
[split]
test_persons = ["r03"]
[model]
name = "two_layers"
[training]
rounds = {rounds}
batch_size = 8
learning_rate = 0.1
[runtime]
workers = 1
[aggregation]
field = "wide"
{tail}
"""


def spec(**changes: Any) -> ExperimentSpec:
    return parse_spec(text(**changes), "shapes.toml", Path())


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run that `privateyes train` wrote, and what it printed; read only."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "shapes.toml").write_text(text())
    result = call("train", folder / "shapes.toml", "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return folder / "run", result


def results_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "results.json").read_text())
    return content


def test_every_method_learns_and_private_equals_federated(trained: tuple[Path, Result]) -> None:
    results = results_of(trained[0])
    rows = {row["method"]: row for row in results["rows"]}
    assert (results["task"], results["unit"]) == ("shapes_task:SHAPES", "dice")
    assert rows["centralised"]["mean_error"] > results["mean_predictor"]["mean_error"] + 0.1
    assert rows["private"]["mean_error"] == pytest.approx(rows["federated"]["mean_error"], abs=1e-6)
    assert results["equality"]["ratio"] <= 1
    assert all(verdict["refused"] for verdict in results["replay"]["verdicts"])
    for row in rows.values():
        assert 0 <= row["mean_error"] <= 1
        assert 0 <= row["measures"]["missed"]["mean"] <= 100


def test_terminal_and_page_speak_of_scores_and_of_nothing_else(trained: tuple[Path, Result]) -> None:
    directory, result = trained
    row = next(row for row in results_of(directory)["rows"] if row["method"] == "private")
    score, missed = f"{row['mean_error']:.3f}", f"{row['measures']['missed']['mean']:.1f} %"
    printed = " ".join(result.output.split())
    assert "mean Dice score" in printed
    assert "drawing 4 persons with 24 pictures each" in printed
    page = write_report(directory).read_text(encoding="utf-8")
    body = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert "private training on drawn shapes" in body
    assert re.search(rf"private training reaches a Dice score of\s+{score}", body)
    assert "Always answering with the mean mask would reach" in body
    assert "Sample shapes" in body
    assert "Images and masks" in body
    for told in (score, missed):
        assert told in printed
        assert told in body
    body = body.partition("How to reproduce it")[0]  # what follows are keys and settings
    for whole in (body, result.output):
        assert not FOREIGN.findall(whole)


def test_the_page_can_go_without_the_tasks_pictures(trained: tuple[Path, Result], tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    page = write_report(run, with_pictures=False).read_text(encoding="utf-8")
    assert "Sample shapes" not in page
    assert "Sample shapes" in write_report(run).read_text(encoding="utf-8")


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        own_keys = ("seconds", "sid", "setup_bytes", "traffic", "attempts", "bytes_")
        return {key: _comparable(entry) for key, entry in value.items() if not key.startswith(own_keys)}
    return [_comparable(entry) for entry in value] if isinstance(value, list) else value


def test_a_run_that_was_killed_ends_as_one_that_was_not(trained: tuple[Path, Result], tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom privateyes.experiments.record import RunDirectory\nreal = RunDirectory.record_round\n"
        "def record(self, line, *rest, **options):\n"
        "    real(self, line, *rest, **options)\n"
        "    if (line['method'], line['round']) == ('private', 2): os.kill(os.getpid(), signal.SIGKILL)\n"
        "RunDirectory.record_round = record\nfrom privateyes.cli.main import main\nmain()"
    )
    (tmp_path / "shapes.toml").write_text(text())
    command = ["train", str(tmp_path / "shapes.toml"), "--out", str(tmp_path / "run")]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, *command], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "run" / "results.json").exists()
    assert call(*command, "--resume").exit_code == 0
    assert _comparable(results_of(tmp_path / "run")) == _comparable(results_of(trained[0]))
    assert (tmp_path / "run" / "samples.npz").read_bytes() == (trained[0] / "samples.npz").read_bytes()


def test_a_model_is_tested_by_both_metrics(trained: tuple[Path, Result]) -> None:
    evaluation = evaluate_run(trained[0], "private")
    row = next(row for row in results_of(trained[0])["rows"] if row["method"] == "private")
    assert evaluation.error == row["per_person"]
    assert {metric.key: values for metric, values in evaluation.further.items()} == {
        "missed": row["measures"]["missed"]["per_person"]
    }
    told = call("evaluate", trained[0], "--method", "private").output
    assert "mean Dice score" in told
    assert "mean missed area" in told


def test_a_comparison_follows_the_direction_of_the_score(tmp_path: Path) -> None:
    tail = "[compare]\nseeds = [1, 2, 3]\nparallel = 1\n[compare.relations]\nabove_centralised = 0.5\n"
    experiment = tmp_path / "shapes.toml"
    experiment.write_text(text(methods='["centralised", "federated", "private", "adaptive"]', rounds=2, tail=tail))
    result = call("compare", experiment, "--out", tmp_path / "c", "--pictures", tmp_path / "png")
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert (results["task"], results["unit"]) == ("shapes_task:SHAPES", "dice")
    means = {entry["method"]: entry["mean"] for entry in results["methods"]}
    relations = {(entry["demand"], entry["second"]): entry for entry in results["relations"]}
    worse = means["centralised"] - means["adaptive"]
    assert relations["not_above", "centralised"]["holds"] == (worse <= 0.5)
    assert relations["below", "federated"]["holds"] == (means["adaptive"] > means["federated"])
    targets = results["targets"]["errors"]
    assert targets == sorted(targets)
    assert all(results["mean_predictor"]["mean"] < level <= max(means.values()) for level in targets)
    page = (tmp_path / "c" / "comparison.html").read_text(encoding="utf-8")
    body = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    assert "adaptive at most 0.5 below centralised" in body
    assert "adaptive above federated" in body
    assert "Dice scores on persons never trained on" in body
    printed = re.sub(r"\S+\.png\b", "", result.output)
    for whole in (body.partition("All numbers are in")[0], printed):
        assert not FOREIGN.findall(whole)
    assert (tmp_path / "png" / "errors-light.png").stat().st_size > 10_000
    assert (tmp_path / "c" / "shapes.npz").exists()
    assert not list((tmp_path / "c").glob("seed-*/**/shapes.npz")), "all seeds share what was drawn"
    header = (tmp_path / "c" / "comparison.csv").read_text().splitlines()[0]
    assert "error_dice" in header


def test_patience_keeps_the_round_with_the_highest_score(tmp_path: Path) -> None:
    chosen = spec(methods='["federated"]', rounds=4).model_dump(exclude_none=True)
    chosen["split"]["validation_persons"] = ["r02"]
    chosen["training"]["patience"] = 1
    directory = tmp_path / "run"
    run_experiment(parse_spec(dump_spec(shapes_task.ShapesExperiment.model_validate(chosen)), "x", tmp_path), directory,
                   Listener())  # fmt: skip
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    scores = {line["round"]: line["validation_error"] for line in lines}
    assert lines[-1]["best_round"] == max(sorted(scores), key=lambda number: scores[number])


def test_a_task_says_by_what_persons_are_divided(tmp_path: Path) -> None:
    tail = '[partition]\nby = "label_skew"\nclients = 4\nalpha = 0.5\n'
    results = run_experiment(spec(methods='["federated"]', rounds=1, tail=tail), tmp_path / "run", Listener())
    assert sum(row["samples"] for row in results["clients"]["rows"]) == 3 * 24
    assert results["clients"]["count"] == 4
    assert "label skew with alpha 0.5" in write_report(tmp_path / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tail": "[calibration]\n"}, r"\[calibration\]: this task has nothing to calibrate"),
        ({"methods": '["federated", "mpc"]'}, r'methods names "mpc", which cannot learn this task'),
        ({"tail": "[augmentation]\nnoise = 0.1\n"}, "augmentation is not a known key"),
        ({"tail": "[drawing2]\n"}, "drawing2 is not a known key; did you mean drawing"),
    ],
)
def test_what_the_task_does_not_have_is_refused(changed: Mapping[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        spec(**changed)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("shape", r'x.toml: task = "shape" is not known; choose from: gaze, or name one of your own'),
        (
            "no_such_module:TASK",
            r"cannot be had \(ModuleNotFoundError: No module named 'no_such_module'\); install its package",
        ),
        ("shapes_task:SHAPE", "cannot be had .*has no attribute"),
        ("..shapes_task:SHAPES", 'names nothing; write "package.module:Object"'),
        ("shapes_task:DICE", "is no task; derive its class from"),
    ],
)
def test_a_task_that_is_none_is_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_spec(text().replace("shapes_task:SHAPES", name), "x.toml", Path())


def test_an_unknown_metric_in_a_runs_files_is_refused(trained: tuple[Path, Result], tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    (run / "results.json").write_text(json.dumps({**results_of(run), "unit": "deg"}))
    with pytest.raises(DataError, match=r'unit "deg" is not known to this task; it knows dice, missed'):
        write_report(run)


def test_a_task_whose_source_has_changed_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(shapes_task.__file__).read_text()
    (tmp_path / "changing_task.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = text(methods='["federated"]', rounds=1).replace("shapes_task:SHAPES", "changing_task:SHAPES")
    experiment = parse_spec(chosen, "x.toml", tmp_path)
    run_experiment(experiment, tmp_path / "run", Listener())
    assert "task_sha256" in json.loads((tmp_path / "run" / "environment.json").read_text())
    (tmp_path / "changing_task.py").write_text(source.replace(">= 0.5", ">= 0.4"))
    with pytest.raises(RunDirectoryError, match=r"the source of task changing_task:SHAPES .*has changed since the run"):
        evaluate_run(tmp_path / "run")
