from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from click.testing import Result

from privateyes.tasks.gaze.datafiles import render_file

Call = Callable[..., Result]


def test_good_data_pass_with_statistics_and_sheets(call: Call, tmp_path: Path) -> None:
    render_file(tmp_path / "eyes.h5", persons=2, images=40, seed=1)
    result = call("data", "check", tmp_path / "eyes.h5", "--sheets", tmp_path / "sheets")
    assert result.exit_code == 0
    assert "0 errors" in result.stdout
    assert "36x60" in result.stdout
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["r00.png", "r01.png"]


def test_labels_of_other_rows_are_a_line_and_so_is_what_cannot_be_told(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    render_file(path, persons=2, images=200, seed=1)
    with h5py.File(path, "r+") as file:
        file["r01/gaze"][...] = np.roll(file["r01/gaze"][()], 1, axis=0)
        for part in ("image", "pose", "gaze"):
            few = file["r00"][part][:60]
            del file["r00"][part]
            file["r00"][part] = few
    result = call("data", "check", path)
    assert result.exit_code == 0
    assert "warning: person r01: gaze: labels look shifted by a row" in result.stdout
    assert "cannot tell whether" in result.stdout


def test_one_sheet_is_no_sheets(call: Call, tmp_path: Path) -> None:
    render_file(tmp_path / "eyes.h5", persons=1, images=20, seed=1)
    assert "1 contact sheet\n" in call("data", "check", tmp_path / "eyes.h5", "--sheets", tmp_path / "sheets").stdout


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
