from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.errors import RunDirectoryError
from privateyes.experiments import record
from privateyes.experiments.checkpoint import SHARED, Checkpoint
from privateyes.experiments.record import RunDirectory, check_run_directory, exclusive, open_run
from privateyes.experiments.spec import ExperimentSpec, parse_spec

ENVIRONMENT = {"data_sha256": "00"}


def spec(rounds: int = 3, workers: int = 1) -> ExperimentSpec:
    text = f"""
name = "x"
[data]
path = "/e.h5"
[split]
leave_one_out = true
[model]
name = "lenet"
[training]
rounds = {rounds}
[runtime]
workers = {workers}
"""
    return parse_spec(text, "x.toml", Path())


def line(round_number: int, method: str = "federated") -> dict[str, Any]:
    return {"event": "round", "fold": "all", "method": method, "round": round_number, "mean_error": 0.1 + round_number}


def checkpoint(round_number: int) -> Checkpoint:
    return Checkpoint(round_number, {SHARED: np.full(3, round_number, dtype=np.float32)})


def test_a_new_run_keeps_its_experiment_and_environment(tmp_path: Path) -> None:
    run = open_run(tmp_path / "deep" / "run", spec(), ENVIRONMENT, resume=False)
    assert run.read_spec() == spec()
    assert run.read_json("environment.json") == ENVIRONMENT
    assert run.read_json("begun.json") == {"experiment": spec().result_key()}


def test_the_same_run_needs_resume(tmp_path: Path) -> None:
    open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    with pytest.raises(
        RunDirectoryError, match=r"already holds this run, not finished; continue it with --resume.*privateyes clean"
    ):
        open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    assert open_run(tmp_path, spec(workers=5), ENVIRONMENT, resume=True).path == tmp_path


@pytest.mark.parametrize("resume", [False, True])
def test_another_run_is_refused_and_untouched(tmp_path: Path, resume: bool) -> None:
    open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunDirectoryError, match="holds another run"):
        open_run(tmp_path, spec(rounds=4), ENVIRONMENT, resume=resume)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunDirectoryError, match=r"no run \(thesis\.tex\)"):
        check_run_directory(tmp_path, spec(), resume=True)
    with pytest.raises(RunDirectoryError, match="is a file"):
        check_run_directory(tmp_path / "thesis.tex", spec(), resume=False)


def test_a_run_that_was_killed_while_it_began_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("{}")
    (tmp_path / ".experiment.toml.part").write_text("na")
    assert open_run(tmp_path, spec(), ENVIRONMENT, resume=False).read_spec() == spec()


def test_data_that_changed_since_the_run_began_are_refused(tmp_path: Path) -> None:
    open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    with pytest.raises(RunDirectoryError, match="data file has changed"):
        open_run(tmp_path, spec(), {"data_sha256": "01"}, resume=True)


def test_lines_that_no_checkpoint_covers_are_dropped(tmp_path: Path) -> None:
    run = open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    for number in (1, 2):
        run.record_round(line(number), checkpoint(number))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(json.dumps(line(3)).encode() + b"\n")
        file.write(json.dumps(line(1, "private")).encode() + b"\n")
        file.write(b'{"event": "rou')
    run.drop_uncovered_metrics()
    assert run.read_metrics() == [line(1), line(2)]
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"}\n")


def test_complete_metrics_are_left_as_they_are(tmp_path: Path) -> None:
    run = open_run(tmp_path, spec(), ENVIRONMENT, resume=False)
    run.record_round(line(1), checkpoint(1))
    before = (tmp_path / "metrics.jsonl").stat()
    run.drop_uncovered_metrics()
    assert (tmp_path / "metrics.jsonl").stat().st_ino == before.st_ino


def test_the_line_is_on_disk_before_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(tmp_path, spec(), ENVIRONMENT, resume=False)

    def killed(path: Path, content: Checkpoint) -> None:
        assert run.read_metrics() == [line(1)]
        raise KeyboardInterrupt

    monkeypatch.setattr("privateyes.experiments.record.write_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        run.record_round(line(1), checkpoint(1))
    assert run.read_checkpoint("all", "federated") is None
    run.drop_uncovered_metrics()
    assert run.read_metrics() == []


def test_arrays_are_the_same_bytes_every_time_and_numpy_reads_them(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    arrays = {"images": np.zeros((2, 3, 4), dtype=np.uint8), "person": np.array(["a", "bc"])}
    for name in ("one.npz", "two.npz"):
        run.write_arrays(name, arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as archive:
        assert archive["person"].tolist() == ["a", "bc"]


def test_a_directory_without_a_run_is_refused_on_reading(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run directory"):
        RunDirectory(tmp_path).read_spec()
    (tmp_path / "experiment.toml").write_text("rubbish")
    with pytest.raises(RunDirectoryError, match=r"cannot be used: .*experiment\.toml"):
        RunDirectory(tmp_path).read_spec()


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record, "dump_spec", lambda spec: full(tmp_path, b""))
    with pytest.raises(RunDirectoryError, match=r"cannot be written \(No space left on device\)"):
        open_run(tmp_path / "run", spec(), {"python": "3"}, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_cannot_work_in_one_directory(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from privateyes.experiments.record import exclusive\n"
    program += "with exclusive(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    other = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mine\n"
        with pytest.raises(RunDirectoryError, match="another process is working in"), exclusive(tmp_path):
            pass
        process.kill()
    with exclusive(tmp_path):
        pass
