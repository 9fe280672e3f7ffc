"""The README's table of errors is the one that the committed results give."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_holds_the_table_of_the_committed_results() -> None:
    command = [sys.executable, str(ROOT / "tools" / "comparison_table.py")]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "| `private-adaptive` |" in table
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_and_changelog_count_the_misbehaviours_that_there_are() -> None:
    count = len(list((ROOT / "tests" / "adversary").glob("test_[0-9][0-9]_*.py")))
    for name in ("README.md", "CHANGELOG.md"):
        assert re.findall(r"(\d+) misbehaviours", (ROOT / name).read_text(encoding="utf-8")) == [str(count)]
