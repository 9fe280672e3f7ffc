from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.datafiles import draw_sheets, render_file
from privateyes.tasks.gaze.dataset import load_persons


def test_rendered_files_are_equal_for_equal_seeds(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        render_file(tmp_path / name, persons=2, images=3, seed=seed)
    a, b, c = (load_persons(tmp_path / name) for name in "abc")
    assert [person.name for person in a] == ["r00", "r01"]
    assert a[1].image.tobytes() == b[1].image.tobytes() != c[1].image.tobytes()


def test_an_existing_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("precious")
    with pytest.raises(DataError, match="is there already; choose another name"):
        render_file(tmp_path / "a", persons=1, images=1, seed=1)
    assert (tmp_path / "a").read_text() == "precious"


def test_a_sheet_is_drawn_for_each_person(eyes: Path, tmp_path: Path) -> None:
    assert draw_sheets(eyes, ["p00", "p03"], tmp_path / "sheets") == 2
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["p00.png", "p03.png"]
