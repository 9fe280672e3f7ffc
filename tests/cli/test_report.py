from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_the_page_is_written_again_with_or_without_eyes(
    call: Call, trained: tuple[Path, Result], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(trained[0], tmp_path / "copy"))
    page = copy / "report.html"
    page.unlink()
    assert call("report", copy).stdout.strip() == str(page)
    with_pictures = page.stat().st_size
    assert call("report", copy, "--no-eyes").exit_code == 0
    assert page.stat().st_size < with_pictures


def test_a_directory_without_a_run_is_one_line(call: Call, tmp_path: Path) -> None:
    result = call("report", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
