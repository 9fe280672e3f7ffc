from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from privateyes.experiments.compare.dispatch import Failure
from privateyes.experiments.compare.plan import SubRun
from privateyes.experiments.compare.run import Outcome
from privateyes.experiments.spec import load_spec

Call = Callable[..., Result]
_MAIN = "from privateyes.cli.main import main; main()"


@pytest.fixture(scope="module")
def experiment_file(tmp_path_factory: pytest.TempPathFactory, eyes: Path, experiment_text: Callable[..., str]) -> Path:
    path = tmp_path_factory.mktemp("compare") / "small.toml"
    path.write_text(experiment_text(eyes, methods='["centralised", "adaptive"]', tail="[compare]\nparallel = 2"))
    return path


@pytest.fixture(scope="module")
def compared(experiment_file: Path, call: Call) -> tuple[Path, Result]:
    """A comparison that the command made, and what it printed; read only."""
    directory = experiment_file.parent / "c"
    return directory, call("compare", experiment_file, "--out", directory)


def test_it_prints_the_tables_and_where_the_files_are(compared: tuple[Path, Result]) -> None:
    directory, result = compared
    assert result.exit_code == 0
    for expected in ("centralised", "adaptive", "mean predictor", "95 % interval", "Equal budgets", "est. Wh"):
        assert expected in result.stdout
    assert f"page: {directory / 'comparison.html'}" in result.stdout.replace("\n", " ")
    for name in ("comparison.json", "comparison.csv", "errors.csv", "comparison.html", "compare.toml"):
        assert (directory / name).is_file()


def test_the_table_is_printed_again_without_training(compared: tuple[Path, Result], call: Call) -> None:
    directory, first = compared
    before = sorted(path.stat().st_mtime_ns for path in directory.glob("seed-*/**/*"))
    again = call("compare", directory, "--table")
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert sorted(path.stat().st_mtime_ns for path in directory.glob("seed-*/**/*")) == before


def test_what_the_persons_are_can_be_said_afterwards(compared: tuple[Path, Result], call: Call, tmp_path: Path) -> None:
    directory = tmp_path / "c"
    shutil.copytree(compared[0], directory)
    toml = directory / "compare.toml"
    toml.write_text(toml.read_text().replace('persons_are = "persons"', 'persons_are = "[/day] blocks"'))
    result = call("compare", directory, "--table")
    assert result.exit_code == 0
    table = " ".join(result.stdout.split())
    for said in ("error on 2 [/day] blocks never trained on", "SD over [/day] blocks", "on the same [/day] blocks,"):
        assert said in table
    assert not re.search(r"\bpersons?\b", table.replace("What the data name as persons are", ""))


@pytest.mark.parametrize(("above", "code"), [("1000", 0), ("0", 1)])
def test_check_says_whether_the_relations_hold(
    compared: tuple[Path, Result], call: Call, experiment_file: Path, tmp_path: Path, above: str, code: int
) -> None:
    shutil.copytree(compared[0], tmp_path / "c")
    results = json.loads((tmp_path / "c" / "comparison.json").read_text())
    path = tmp_path / "asked.toml"
    relations = f"\n[compare.relations]\nabove_centralised = {above}\n"
    path.write_text(experiment_file.read_text() + relations)
    difference = results["relations"][0]["difference"]["mean"]
    expected = code if difference > 0 else 0
    assert call("compare", path, "--out", tmp_path / "c", "--table", "--check").exit_code == expected
    assert call("compare", path, "--out", tmp_path / "c", "--table").exit_code == 0


def test_check_without_a_relation_is_an_error(compared: tuple[Path, Result], call: Call, tmp_path: Path) -> None:
    directory = tmp_path / "c"
    shutil.copytree(compared[0], directory)
    toml = directory / "compare.toml"
    toml.write_text(toml.read_text().replace('adaptive_method = "adaptive"', 'adaptive_method = "fedyogi"'))
    result = call("compare", directory, "--table", "--check")
    assert result.exit_code == 2
    assert "none of the methods have a relation" in result.stderr


def test_a_run_that_is_missing_fails_the_check(compared: tuple[Path, Result], call: Call, tmp_path: Path) -> None:
    directory = tmp_path / "c"
    shutil.copytree(compared[0], directory)
    toml = directory / "compare.toml"
    toml.write_text(toml.read_text().replace("above_centralised = 0.2", "above_centralised = 1000.0"))
    assert call("compare", directory, "--table", "--check").exit_code == 0
    (directory / "seed-3" / "all" / "results.json").unlink()
    result = call("compare", directory, "--table", "--check")
    assert result.exit_code == 1
    assert "missing: seed 3: not finished" in result.stdout


def test_pictures_are_written_where_asked(compared: tuple[Path, Result], call: Call, tmp_path: Path) -> None:
    result = call("compare", compared[0], "--table", "--pictures", tmp_path / "pictures")
    assert result.exit_code == 0
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 8
    assert "errors-dark.png" in result.stdout


def test_a_directory_that_is_occupied_is_refused(
    compared: tuple[Path, Result], call: Call, experiment_file: Path
) -> None:
    result = call("compare", experiment_file, "--out", compared[0])
    assert result.exit_code == 2
    assert "already holds this comparison; continue it with --resume" in result.stderr
    assert call("compare", compared[0]).exit_code == 2


def test_a_single_run_is_no_comparison(compared: tuple[Path, Result], call: Call) -> None:
    result = call("compare", compared[0] / "seed-1" / "all", "--table")
    assert result.exit_code == 2
    assert "holds no comparison" in result.stderr


def test_a_failed_run_is_named_and_exits_with_1(compared: tuple[Path, Result], call: Call, tmp_path: Path) -> None:
    from privateyes.experiments.record import exclusive

    directory = tmp_path / "c"
    shutil.copytree(compared[0], directory)
    shutil.rmtree(directory / "seed-2")
    (directory / "seed-2" / "all").mkdir(parents=True)
    with exclusive(directory / "seed-2" / "all"):
        result = call("compare", directory, "--resume")
    assert result.exit_code == 1
    assert "failed: seed 2: another process is working in" in result.stderr
    assert "2 of 3 runs" in result.stdout


def _start(experiment: Path, directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _MAIN, "compare", str(experiment), "--out", str(directory), "--resume"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def _wait_for_rounds(process: subprocess.Popen[str], directory: Path) -> list[int]:
    """Until both processes train; their numbers."""
    while len(list(directory.glob("seed-*/all/metrics.jsonl"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in listed]


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.fixture
def long_experiment(tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]) -> Path:
    path = tmp_path / "long.toml"
    path.write_text(experiment_text(eyes, methods='["federated"]', tail="[compare]\nparallel = 2", rounds=100_000))
    return path


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_a_comparison(long_experiment: Path, tmp_path: Path, end: signal.Signals) -> None:
    process = _start(long_experiment, tmp_path / "c")
    children = _wait_for_rounds(process, tmp_path / "c")
    assert len(children) >= 2
    os.kill(process.pid, end)
    _, errors = process.communicate(timeout=60)
    assert _gone(children)
    if end != signal.SIGKILL:
        assert process.returncode == 128 + end
        assert f"continue the comparison with `privateyes compare {tmp_path / 'c'} --resume`" in errors
        assert "Traceback" not in errors


def _comparable(value: Any) -> Any:
    left_out = ("seconds", "energy", "measured_on", "environment")
    if isinstance(value, dict):
        return {key: _comparable(entry) for key, entry in value.items() if not key.startswith(left_out)}
    return [_comparable(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_killed_without_warning_and_resumed_it_is_the_same(
    compared: tuple[Path, Result], experiment_file: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "c"
    process = _start(experiment_file, directory)
    _wait_for_rounds(process, directory)
    process.kill()
    process.communicate()
    process = _start(experiment_file, directory)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    ours, theirs = (json.loads((path / "comparison.json").read_text()) for path in (directory, compared[0]))
    assert _comparable(ours) == _comparable(theirs)


def test_quick_makes_it_small(experiment_file: Path, call: Call, tmp_path: Path) -> None:
    result = call("compare", experiment_file, "--out", tmp_path / "c", "--quick")
    assert result.exit_code == 0
    assert "small-quick" in result.stdout
    assert 'name = "small-quick"' in (tmp_path / "c" / "compare.toml").read_text()


def test_a_comparison_of_which_every_run_diverged_exits_with_2(
    call: Call, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SubRun(seed=1, fold="all", spec=load_spec(experiment), directory=tmp_path / "seed-1" / "all")
    failure = Failure(run, "federated: training diverged; lower training.learning_rate")
    monkeypatch.setattr(
        "privateyes.experiments.compare.run.run_comparison", lambda *_: Outcome(results=None, failures=(failure,))
    )
    result = call("compare", experiment, "--out", tmp_path / "c")
    assert result.exit_code == 2
    assert "failed: seed 1: federated: training diverged; lower training.learning_rate" in result.stderr
    assert "no run is finished; after the remedy" in result.stderr
