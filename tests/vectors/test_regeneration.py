"""The committed vectors are exactly what the generator writes, and any change of them is found and named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "generate_vectors.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


NAMES = sorted(path.stem for path in (ROOT / "vectors").glob("*.json"))


@pytest.mark.parametrize("names", [[name for name in NAMES if name != "records"], ["records"]], ids=len)
def test_regenerating_the_vectors_changes_nothing(names) -> None:
    done = _generate("--check", "--only", *names)
    assert done.returncode == 0, done.stderr


def test_an_altered_a_missing_and_an_unknown_file_are_named(tmp_path) -> None:
    folder = tmp_path / "vectors"
    shutil.copytree(ROOT / "vectors", folder, ignore=shutil.ignore_patterns("inputs"))
    text = (folder / "fields.json").read_text(encoding="utf-8")
    (folder / "fields.json").write_text(text.replace('"2147483647"', '"2147483646"', 1), encoding="utf-8")
    (folder / "challenges.json").unlink()
    (folder / "more.json").write_text("{}", encoding="utf-8")
    done = _generate("--check", "--folder", str(folder), "--only", "challenges", "fields", "streams")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 3
    assert "fields.json, line 6" in done.stderr
    assert "challenges.json is missing" in done.stderr
    assert "more.json is not written by this program" in done.stderr
