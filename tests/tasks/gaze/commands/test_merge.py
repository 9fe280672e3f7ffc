from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from privateyes.tasks.gaze.datafiles import render_file

Call = Callable[..., Result]


def test_files_become_one_and_names_that_meet_have_a_remedy_which_works(call: Call, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.h5", "two.h5")]
    for seed, path in enumerate(files):
        render_file(path, persons=2, images=3, seed=seed)
    out = tmp_path / "out.h5"
    refused = call("data", "merge", *files, out)
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: person r00 is in ")
    assert "--rename adds the number of the file" in refused.stderr
    result = call("data", "merge", *files, out, "--rename")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"{out}: 4 persons of 2 files, 12 rows"
    assert "note: renamed: r00 of" in result.stdout
    assert "r01-2" in call("data", "check", out).stdout
