"""The tables of README.md and docs/results.md are those that the committed results give."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import result_tables  # noqa: E402 - a tool, no package

PAGES = {
    "errors": "docs/results.md",
    "errors in short": "README.md",
    "costs": "docs/results.md",
    "costs in short": "README.md",
}


def test_every_table_has_its_page() -> None:
    assert PAGES.keys() == result_tables.ALL.keys()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_the_table_of_the_committed_results(name: str) -> None:
    table = result_tables.ALL[name]()
    assert table.count("\n") >= 3
    assert f"\n\n{table}\n" in (ROOT / PAGES[name]).read_text(encoding="utf-8")


def test_readme_and_changelog_count_the_misbehaviours_that_there_are() -> None:
    count = len(list((ROOT / "tests" / "adversary").glob("test_[0-9][0-9]_*.py")))
    for name in ("README.md", "CHANGELOG.md"):
        assert re.findall(r"(\d+) misbehaviours", (ROOT / name).read_text(encoding="utf-8")) == [str(count)]


def test_every_link_of_the_pages_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
