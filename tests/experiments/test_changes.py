from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import RunDirectoryError
from privateyes.experiments.calibrate import calibrate_run
from privateyes.experiments.changes import BEGUN, differences, listed, require_as_begun
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.record import EXPERIMENT, RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, load_spec
from privateyes.tasks.gaze.trained import open_run_estimator

Make = Callable[..., ExperimentSpec]
SOURCE = """
import torch
from torch import nn
from {module}_base import Base

class Net(Base):
    def forward(self, image, pose):
        return self.layer(torch.cat([image.flatten(1), pose], dim=1))
"""
BASE = """
from torch import nn

class Base(nn.Module):
    def __init__(self, shapes):
        super().__init__()
        channels, height, width = shapes["image"]
        self.layer = nn.Linear(channels * height * width + 2, 2)
"""


@pytest.fixture
def copied_run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def edit(run: Path, old: str, new: str) -> ExperimentSpec:
    text = (run / EXPERIMENT).read_text()
    assert text.count(old) == 1
    (run / EXPERIMENT).write_text(text.replace(old, new))
    return RunDirectory(run).read_spec()


def test_differences_name_keys_with_their_values() -> None:
    before = {"seed": 1, "training": {"rounds": 3, "patience": None}, "data": {"path": "a"}}
    after = {"seed": 1, "training": {"rounds": 4, "patience": 5}, "data": {"path": "a", "image_limit": 7}}
    found = differences(before, after)
    assert found == [
        "training.rounds was 3 and is 4",
        "training.patience was not there and is 5",
        "data.image_limit was not there and is 7",
    ]
    assert listed(found) == "; ".join(found)
    assert listed([*found, "x was 1 and is 2", "y was 1 and is 2"]).endswith("; and 2 more")
    assert differences(before, before) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rounds = 2\n", "rounds = 3\n", "training.rounds was 2 and is 3"),
        ("learning_rate = 0.05\n", "learning_rate = 0.5\n", "training.learning_rate was 0.05 and is 0.5"),
        ('    "p03",\n    "p04",\n', '    "p03",\n', 'split.test_persons was ["p03", "p04"] and is'),
    ],
)
def test_a_runs_own_experiment_that_was_edited_is_refused_at_resume_and_named(
    copied_run: Path, listener: Any, old: str, new: str, told: str
) -> None:
    (copied_run / "results.json").unlink()
    before = {path: path.read_bytes() for path in copied_run.rglob("*") if path.is_file()}
    spec = edit(copied_run, old, new)
    with pytest.raises(RunDirectoryError, match="was changed since the run began") as caught:
        run_experiment(spec, copied_run, listener, resume=True)
    assert told in caught.value.problem
    before[copied_run / EXPERIMENT] = (copied_run / EXPERIMENT).read_bytes()
    assert {path: path.read_bytes() for path in copied_run.rglob("*") if path.is_file()} == before


def test_what_a_resumed_run_may_change_may_be_edited_in_its_own_copy_too(copied_run: Path, listener: Any) -> None:
    run_experiment(edit(copied_run, "workers = 1\n", "workers = 2\n"), copied_run, listener, resume=True)


def test_another_experiment_file_is_refused_by_the_key_that_differs(
    copied_run: Path, small_spec: Make, listener: Any
) -> None:
    spec = small_spec(methods='["centralised", "local", "federated"]', rounds=5)
    with pytest.raises(RunDirectoryError, match=r"another run .*training\.rounds was 2 and is 5"):
        run_experiment(spec, copied_run, listener, resume=True)


@pytest.mark.parametrize("use", [evaluate_run, calibrate_run, open_run_estimator])
def test_an_edited_run_is_not_used_for_anything_else_either(copied_run: Path, use: Callable[[Path], Any]) -> None:
    edit(copied_run, "equalise = false", "equalise = true")
    with pytest.raises(RunDirectoryError, match=r"data\.equalise was false and is true"):
        use(copied_run)


def test_data_that_were_moved_may_be_named_anew_to_evaluate(copied_run: Path, eyes: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copy(eyes, tmp_path / "moved.h5"))
    edit(copied_run, str(eyes), str(moved))
    assert evaluate_run(copied_run).images == {"p03": 24, "p04": 24}


def test_a_run_of_an_earlier_version_is_believed_and_one_without_later_keys_is_no_other(copied_run: Path) -> None:
    spec = RunDirectory(copied_run).read_spec()
    content = json.loads((copied_run / BEGUN).read_text())
    del content["experiment"]["training"]["evaluate_every"]  # as if the key had come later
    (copied_run / BEGUN).write_text(json.dumps(content))
    require_as_begun(copied_run, spec)
    (copied_run / BEGUN).unlink()
    require_as_begun(copied_run, spec)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"experiment": 3}', '{"experiment": {"name": "x"}}'])
def test_a_damaged_note_of_the_beginning_is_named(copied_run: Path, content: str) -> None:
    (copied_run / BEGUN).write_text(content)
    with pytest.raises(RunDirectoryError, match=r"begun\.json is damaged"):
        require_as_begun(copied_run, RunDirectory(copied_run).read_spec())


@pytest.fixture
def own_run(
    tmp_path: Path, eyes: Path, experiment_text: Callable[..., str], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Path]]:
    """A finished run of a model of one's own, and the folder of its source."""
    monkeypatch.syspath_prepend(tmp_path)
    module = f"own_changes_{abs(hash(tmp_path))}"
    (tmp_path / f"{module}.py").write_text(SOURCE.format(module=module))
    (tmp_path / f"{module}_base.py").write_text(BASE)
    (tmp_path / "x.toml").write_text(experiment_text(eyes, rounds=1).replace("resnet_preact_8", f"{module}:Net"))
    run_experiment(load_spec(tmp_path / "x.toml"), tmp_path / "run", listener)
    yield tmp_path / "run", tmp_path
    for name in (module, f"{module}_base"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("which", ["", "_base"])
def test_a_models_source_that_was_changed_is_refused_by_name_wherever_the_model_is_used(
    own_run: tuple[Path, Path], listener: Any, which: str
) -> None:
    run, folder = own_run
    spec = RunDirectory(run).read_spec()
    run_experiment(spec, run, listener, resume=True)
    file = folder / f"{spec.model.name.partition(':')[0]}{which}.py"
    file.write_text(file.read_text() + "\n# another model\n")
    with pytest.raises(RunDirectoryError, match=f"the source of model {spec.model.name} .*has changed since the run"):
        run_experiment(spec, run, listener, resume=True)
    for use in (evaluate_run, calibrate_run, open_run_estimator):
        with pytest.raises(RunDirectoryError, match="the source of model"):
            use(run)
