from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from privateyes.cli.main import app
from privateyes.storage.store import PartyStore

Call = Callable[..., Result]


@pytest.fixture
def run(trained: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def _files(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def _answered(run: Path, answer: str) -> Result:
    return CliRunner().invoke(app, ["clean", str(run)], input=answer)


def test_a_dry_run_shows_and_removes_nothing(call: Call, run: Path) -> None:
    before = _files(run)
    result = call("clean", run, "--dry-run")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "checkpoints/all/local.safetensors" in shown
    assert "pictures of test persons, with labels and predictions" in shown
    assert "federated.safetensors" not in shown
    assert _files(run) == before


def test_the_mirrors_that_are_emptied_are_named(call: Call, run: Path, tmp_path: Path) -> None:
    task, mirrors = run / "aggregation" / "all" / "private", [tmp_path / f"[disk] {number}" for number in range(3)]
    task.mkdir(parents=True)
    (task / "store.json").write_text(json.dumps({"folder": str(task), "mirrors": [str(mirror) for mirror in mirrors]}))
    PartyStore.create(*mirrors, parties=["hub"]).close()
    shutil.rmtree(mirrors[2])
    shown = "".join(call("clean", run, "--dry-run").stdout.split())
    assert ["".join(str(mirror).split()) in shown for mirror in mirrors] == [True, True, False]
    away = f"warning: the mirror in {mirrors[2]} could not be reached, and may still hold keys of all parties; "
    for _ in range(2):
        told = call("clean", run, "--yes")
        assert told.exit_code == 1
        assert away in told.stderr
        assert not any(mirror.exists() for mirror in mirrors)


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("", 1), ("y\n", 0)])
def test_it_asks_before_it_removes(run: Path, answer: str, code: int) -> None:
    before = _files(run)
    result = _answered(run, answer)
    assert result.exit_code == code
    assert "Remove all of this (" in result.stdout
    assert (_files(run) == before) == (code == 1)


def test_with_yes_it_does_not_ask(call: Call, run: Path) -> None:
    result = call("clean", run, "--yes")
    assert result.exit_code == 0
    assert "Remove all of this" not in result.stdout
    assert "not finished" not in result.stdout
    assert not (run / "samples.npz").exists()
    assert (run / "checkpoints/all/federated.safetensors").exists()
    assert call("clean", run).stdout.strip() == f"{run}: nothing to remove"


def test_all_removes_the_shared_models_too_and_the_page_stays_readable(call: Call, run: Path) -> None:
    assert call("clean", run, "--all", "--yes").exit_code == 0
    assert not (run / "checkpoints").exists()
    assert call("report", run).exit_code == 0
    assert call("evaluate", run).exit_code == 2


def test_a_run_that_is_not_finished_is_said_to_end_here(call: Call, run: Path) -> None:
    (run / "results.json").unlink()
    assert "cannot be continued afterwards" in call("clean", run, "--yes").stdout


def test_a_directory_without_a_run_is_one_line(call: Call, tmp_path: Path) -> None:
    result = call("clean", tmp_path, "--yes")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
