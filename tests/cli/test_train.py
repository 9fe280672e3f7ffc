from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_training_ends_with_both_tables_and_the_page(trained: tuple[Path, Result]) -> None:
    directory, result = trained
    assert result.exit_code == 0
    for word in ("centralised", "local", "federated", "mean predictor", "308.2 kB", "who learned what", "report.html"):
        assert word in result.stdout
    assert (directory / "report.html").exists()


def test_progress_goes_to_stderr_as_plain_lines(trained: tuple[Path, Result]) -> None:
    lines = trained[1].stderr.splitlines()
    assert lines[0] == "centralised: 2 rounds"
    assert any(line.startswith("federated: ") and line.endswith(" s") for line in lines)


def test_resuming_works_by_file_and_by_directory(call: Call, experiment: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert call("train", experiment, "--out", run, "--resume").exit_code == 0
    for arguments in ((experiment, "--out", run, "--resume"), (run, "--resume")):
        result = call("train", *arguments)
        assert result.exit_code == 0
        assert "finished already" in result.stderr


def test_other_data_can_be_named(call: Call, experiment: Path, tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    other = make_eyes(tmp_path / "other.h5", persons=6)
    assert call("train", experiment, "--data", other, "--out", tmp_path / "run").exit_code == 0
    assert str(other) in (tmp_path / "run/experiment.toml").read_text()
