from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
from click.testing import Result

from privateyes.experiments.datafiles import render_file

Call = Callable[..., Result]


def test_good_data_pass_with_statistics_and_sheets(call: Call, tmp_path: Path) -> None:
    render_file(tmp_path / "eyes.h5", persons=2, images=40, seed=1)
    result = call("data", "check", tmp_path / "eyes.h5", "--sheets", tmp_path / "sheets")
    assert result.exit_code == 0
    assert "0 errors" in result.stdout
    assert "36x60" in result.stdout
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["r00.png", "r01.png"]


def test_labels_in_degrees_fail(call: Call, tmp_path: Path, make_eyes: Callable[..., Path]) -> None:
    path = make_eyes(tmp_path / "eyes.h5")
    with h5py.File(path, "r+") as file:
        file["p02/gaze"][...] *= 57.3
    result = call("data", "check", path)
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if line.startswith("error:"))
    assert "p02" in line
    assert "degrees" in line


def test_a_missing_file_is_one_line(call: Call, tmp_path: Path) -> None:
    result = call("data", "check", tmp_path / "none.h5")
    assert result.exit_code == 2
    assert "there is no such file" in result.stderr
