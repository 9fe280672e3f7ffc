"""Where a task's store is: in its own folder, or where a file there says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from failing_disks import Fuse, Killed
from privateyes.errors import RunDirectoryError
from privateyes.experiments.secure import forget_secrets
from privateyes.storage import mirrors, places
from privateyes.storage.mirror import Mirror
from privateyes.storage.places import left_folders, name_folders, open_store, replace_mirror, store_folders
from privateyes.storage.store import PartyStore


def test_a_store_in_its_own_folder_needs_no_file_and_mirrors_are_named_in_one(tmp_path: Path) -> None:
    name_folders(tmp_path, [tmp_path])
    assert list(tmp_path.iterdir()) == []
    assert store_folders(tmp_path) == [tmp_path]
    mirrors = [tmp_path / name for name in "abc"]
    name_folders(tmp_path, mirrors)
    assert store_folders(tmp_path) == mirrors
    name_folders(tmp_path, [tmp_path])
    assert store_folders(tmp_path) == [tmp_path]


def test_a_store_without_mirrors_has_none_to_replace(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=f"{tmp_path}/a is no mirror of the store of {tmp_path}; it has none"):
        replace_mirror(tmp_path, tmp_path / "a", tmp_path / "b")


LISTS = ["[]", '"/a"', "[1, 2, 3]", '["/a", "", "/c"]', "[", "\xff"]


@pytest.mark.parametrize(
    "content", ["{}", '["/a"]', *[f'{{"folder": "/f", "mirrors": {found}}}' for found in LISTS], '{"mirrors": ["/a"]}']
)
def test_a_file_that_does_not_say_where_the_store_is_is_refused_with_an_example(tmp_path: Path, content: str) -> None:
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"store\.json does not say where the store is; write .* \[\"/a\""):
        store_folders(tmp_path)


@pytest.mark.parametrize("content", ["{}", *LISTS])
def test_a_file_that_does_not_say_where_keys_may_be_is_refused_with_an_example(tmp_path: Path, content: str) -> None:
    (tmp_path / "left_mirrors.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"left_mirrors\.json does not say .*; write .* \[\"/a\""):
        left_folders(tmp_path)


def test_a_copy_of_a_task_has_no_store_of_its_own_and_a_moved_one_keeps_it(tmp_path: Path) -> None:
    disks = Disks(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(disks.task, copy)
    for use in (store_folders, forget_secrets, lambda folder: open_store(folder, disks.mirrors)):
        with pytest.raises(RunDirectoryError, match=f"{copy} is a copy of {disks.task}, whose store is in mirrors"):
            use(copy)
    link = tmp_path / "link"
    link.symlink_to(disks.task)
    assert store_folders(link) == disks.mirrors, "the same folder by another name"
    assert disks.resume()
    disks.task.rename(tmp_path / "moved")
    assert store_folders(tmp_path / "moved") == disks.mirrors
    disks.task = tmp_path / "moved"
    assert disks.resume()


# Replacing, killed at every step


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    fuse = Fuse()
    fuse.at_every_write(monkeypatch)
    fuse.around(monkeypatch, Mirror, ["clear", "unlink"])
    fuse.around(monkeypatch, mirrors, ["make_mirror"])
    fuse.around(monkeypatch, places, ["_write"])
    return fuse


class Disks:
    """A task whose store is in three mirrors, and a disk for a fresh one."""

    def __init__(self, base: Path) -> None:
        self.base, self.task = base, base / "task"
        *self.mirrors, self.fresh = [base / "disks" / name / "run" / "all" / "method" for name in (*"abc", "fresh")]
        self.disk = base / "disks" / "c"
        self.task.mkdir(parents=True)
        PartyStore.create(*self.mirrors, parties=["hub"]).close()
        name_folders(self.task, self.mirrors)

    def replace(self) -> None:
        """The command, as often as it is given."""
        if self.mirrors[2] in store_folders(self.task):
            replace_mirror(self.task, self.mirrors[2], self.fresh)

    def resume(self) -> dict[str, bytes]:
        """The run goes on: every identity."""
        with closing(open_store(self.task, store_folders(self.task))) as store:
            store.put_manifest("a word that must not be lost") if store.manifest() is None else None
            return dict(store.identities())

    def stores(self) -> set[str]:
        """The disks with a store, or a part of one."""
        return {path.relative_to(self.base / "disks").parts[0] for path in self.base.rglob("parties.sqlite*")}


@pytest.fixture
def steps(tmp_path: Path, fuse: Fuse) -> int:
    disks = Disks(tmp_path / "peace")
    before = fuse.steps
    disks.replace()
    assert disks.stores() == {"a", "b", "fresh"}
    assert store_folders(disks.task) == [*disks.mirrors[:2], disks.fresh]
    assert left_folders(disks.task) == []
    return fuse.steps - before


def killed(tmp_path: Path, fuse: Fuse, steps: int) -> Iterator[Disks]:
    """The disks after a kill at each step."""
    for step in range(steps):
        disks = Disks(tmp_path / str(step))
        fuse.left = step
        with pytest.raises(Killed):
            disks.replace()
        fuse.left = -1
        yield disks
        shutil.rmtree(disks.base)


def test_the_command_ends_what_a_kill_left_and_the_old_mirror_holds_nothing(tmp_path, fuse, steps) -> None:
    for disks in killed(tmp_path, fuse, steps):
        disks.replace()
        assert disks.resume()
        assert disks.stores() == {"a", "b", "fresh"}
        assert left_folders(disks.task) == []


def test_a_run_goes_on_after_a_kill_the_command_ends_it_then_and_nothing_is_lost(tmp_path, fuse, steps) -> None:
    for disks in killed(tmp_path, fuse, steps):
        known = disks.resume()
        disks.replace()
        assert disks.resume() == known
        assert disks.stores() == {"a", "b", "fresh"}
        with closing(open_store(disks.task, store_folders(disks.task))) as store:
            assert store.manifest() == "a word that must not be lost"


def test_a_run_that_goes_on_and_ends_after_a_kill_leaves_no_key_on_any_disk(tmp_path, fuse, steps) -> None:
    for disks in killed(tmp_path, fuse, steps):
        disks.resume()
        assert forget_secrets(disks.task) == []
        assert disks.stores() == set()


def test_a_run_that_ends_without_its_old_mirror_names_it_and_erases_it_once_it_is_back(tmp_path) -> None:
    disks, drawer = Disks(tmp_path), tmp_path / "drawer"
    disks.disk.rename(drawer)
    assert not replace_mirror(disks.task, disks.mirrors[2], disks.fresh)
    assert left_folders(disks.task) == [disks.mirrors[2]]
    assert forget_secrets(disks.task) == [disks.mirrors[2]]
    drawer.rename(disks.disk)
    assert disks.stores() == {"c"}
    assert forget_secrets(disks.task) == []
    assert disks.stores() == set()
    assert left_folders(disks.task) == []


def test_a_mirror_that_comes_back_after_it_was_replaced_is_erased_when_the_run_goes_on(tmp_path) -> None:
    disks, drawer = Disks(tmp_path), tmp_path / "drawer"
    disks.disk.rename(drawer)
    replace_mirror(disks.task, disks.mirrors[2], disks.fresh)
    drawer.rename(disks.disk)
    disks.resume()
    assert disks.stores() == {"a", "b", "fresh"}
    assert left_folders(disks.task) == []


def test_a_folder_that_never_held_a_mirror_of_the_store_is_no_mirror_of_it(tmp_path) -> None:
    disks = Disks(tmp_path)
    with pytest.raises(RunDirectoryError, match=r"is no mirror of the store of .*, whose mirrors are: "):
        open_store(disks.task, [*disks.mirrors[:2], disks.fresh])
    assert store_folders(disks.task) == disks.mirrors
    PartyStore.create(*(tmp_path / "others" / name for name in "xyz")).close()
    with pytest.raises(RunDirectoryError, match="holds a store already"):
        replace_mirror(disks.task, disks.mirrors[2], tmp_path / "others" / "x")
    assert (tmp_path / "others" / "x" / "parties.sqlite").exists()
