from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_a_file_and_its_sheets_are_made(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "eyes.h5"
    result = call("data", "render", out, "--persons", "2", "--images", "9", "--sheets", tmp_path / "sheets")
    assert result.exit_code == 0
    assert f"{out}: 2 persons with 9 images each" in result.stdout
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["r00.png", "r01.png"]


def test_an_existing_file_is_not_overwritten(call: Call, tmp_path: Path) -> None:
    (tmp_path / "eyes.h5").write_text("precious")
    result = call("data", "render", tmp_path / "eyes.h5")
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path}/eyes.h5 is there already; choose another name, or delete it\n"
    assert (tmp_path / "eyes.h5").read_text() == "precious"


def test_a_folder_that_is_missing_is_one_line(call: Call, tmp_path: Path) -> None:
    result = call("data", "render", tmp_path / "none" / "eyes.h5", "--persons", "1", "--images", "1")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    assert list(tmp_path.iterdir()) == []
