"""Where a task's store is: in its own folder, or where a file there says."""

from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.engines.local.places import name_folders, replace_mirror, store_folders
from privateyes.errors import RunDirectoryError


def test_a_store_in_its_own_folder_needs_no_file_and_mirrors_are_named_in_one(tmp_path: Path) -> None:
    name_folders(tmp_path, [tmp_path])
    assert list(tmp_path.iterdir()) == []
    assert store_folders(tmp_path) == [tmp_path]
    mirrors = [tmp_path / name for name in "abc"]
    name_folders(tmp_path, mirrors)
    assert store_folders(tmp_path) == mirrors


def test_a_store_without_mirrors_has_none_to_replace(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=f"{tmp_path}/a is no mirror of the store of {tmp_path}; it has none"):
        replace_mirror(tmp_path, tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("content", ["[]", "{}", '"/a"', "[1, 2, 3]", '["/a", "", "/c"]', "[", "\xff"])
def test_a_file_that_does_not_say_where_the_store_is_is_refused_with_an_example(tmp_path: Path, content: str) -> None:
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"store\.json does not say where the store is; write .* \[\"/a\""):
        store_folders(tmp_path)
