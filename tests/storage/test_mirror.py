"""One folder of a store: what it says about itself, how it is made, and what it is when it cannot be read."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from failing_disks import Killed
from privateyes.errors import RunDirectoryError
from privateyes.storage import mirror as mirror_module
from privateyes.storage.mirror import (
    BODIES_NAME,
    STORE_NAME,
    Head,
    Member,
    Mirror,
    Position,
    Unreached,
    make_mirror,
    open_mirror,
    require_empty,
)
from privateyes.storage.sealed_file import write_sealed

HEAD = Head(b"store", b"\1", (Member(b"\1", "/disk 1/a"), Member(b"\2", "/Platte 2/ä")), 3, Position(2, 7))


def made(folder: Path, head: Head = HEAD, **rows: list[tuple[bytes | str | int, ...]]) -> Mirror:
    return make_mirror(folder, head, rows)


def reopened(folder: Path) -> Mirror:
    found = open_mirror(folder)
    assert isinstance(found, Mirror)
    return found


def test_what_a_mirror_says_about_itself_is_read_back(tmp_path) -> None:
    first = made(tmp_path / "x", identity=[("a", b"seed")])
    assert first.head() == HEAD
    first.connection.close()
    second = reopened(tmp_path / "x")
    assert second.head() == HEAD
    assert second.connection.execute("SELECT * FROM identity").fetchall() == [("a", b"seed")]
    second.begin()
    second.put_members(HEAD.members[:1])
    second.put_position(Position(3, 8))
    second.commit()
    assert second.head() == replace(HEAD, members=HEAD.members[:1], position=Position(3, 8))
    second.close()


def test_of_two_positions_the_later_start_is_newer_however_few_transactions_it_has() -> None:
    assert Position(2, 1) > Position(1, 99)
    assert Position(2, 2) > Position(2, 1)


def test_a_promise_is_never_taken_back(tmp_path) -> None:
    with closing(made(tmp_path / "x")) as mirror:
        mirror.promise(5)
        for earlier in (4, 5):
            with pytest.raises(RunDirectoryError, match="another process opens the store"):
                mirror.promise(earlier)
        assert mirror.head().promised == 5


def test_taking_over_replaces_all_rows_in_their_order_and_nothing_that_is_the_mirrors_own(tmp_path) -> None:
    rows: list[tuple[bytes | str | int, ...]] = [
        (b"key", b"eyes", b"W", b"m", b"setup", "7", b"state", bytes([sid]), b"", b"", 0) for sid in (3, 1, 2)
    ]
    newer = made(tmp_path / "x", ledger=rows, identity=[("a", b"seed")])
    older = made(tmp_path / "y", replace(HEAD, id=b"\2", position=Position(1, 1)), identity=[("b", b"other")])
    before = older.head()
    older.begin()
    older.take_over(newer)
    older.commit()
    assert older.head() == before
    found = older.connection.execute("SELECT * FROM ledger ORDER BY rowid").fetchall()
    assert found == rows
    assert older.connection.execute("SELECT * FROM identity").fetchall() == [("a", b"seed")]
    newer.close()
    older.close()


def test_bodies_that_no_row_names_are_removed_and_the_others_stay(tmp_path) -> None:
    folder = tmp_path / "x"
    (folder / BODIES_NAME).mkdir(parents=True)
    names = ["large", "accepted-0", "stray"]
    seals = {name: write_sealed([folder / BODIES_NAME / name], [name.encode()]) for name in names}
    tails = {name: (name, seal.key, seal.tag, seal.length_bytes) for name, seal in seals.items()}
    mirror = made(
        folder,
        large=[("a", "committed", b"sid", *tails["large"])],
        accepted=[(1, b"before", 1, "{}", *tails["accepted-0"])],
    )
    assert dict(mirror.bodies()) == {name: seals[name] for name in names[:2]}
    mirror.promise(7)
    mirror.remove_strays(6)  # another start writes it
    assert {file.name for file in (folder / BODIES_NAME).iterdir()} == set(names)
    mirror.remove_strays(7)
    assert {file.name for file in (folder / BODIES_NAME).iterdir()} == set(names[:2])
    mirror.close()


@pytest.mark.parametrize("step", ["_prepare", "_fill", "force_directory"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mirror_is_made_whole_or_is_not_there(tmp_path, monkeypatch, step, when) -> None:
    call = getattr(mirror_module, step)

    def die(*values: object) -> None:
        if when == "after":
            call(*values)
        raise Killed

    fresh = replace(HEAD, position=Position(0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(mirror_module, step, die)
        with pytest.raises(Killed):
            made(tmp_path / "x", fresh, identity=[("a", b"seed")])
    require_empty(tmp_path / "x")
    again = made(tmp_path / "x", fresh, identity=[("b", b"other")])
    assert again.connection.execute("SELECT * FROM identity").fetchall() == [("b", b"other")]
    again.close()


def test_a_mirror_that_dies_inside_its_making_is_not_there(tmp_path, monkeypatch) -> None:
    """At every statement of it."""
    steps, killed, connect = 0, True, sqlite3.connect
    while killed:
        left = [steps]

        class Mortal(sqlite3.Connection):
            def execute(self, *values: object, left: list[int] = left) -> sqlite3.Cursor:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return super().execute(*values)  # type: ignore[arg-type]

        folder, killed = tmp_path / f"{steps}", False
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", partial(connect, factory=Mortal))
            try:
                made(folder, identity=[("a", b"seed")]).connection.close()
            except Killed:
                killed = True
        found = open_mirror(folder)
        if killed:
            assert isinstance(found, Unreached)
            assert found.empty
        else:
            assert isinstance(found, Mirror)
            found.close()
        steps += 1
    assert steps > 20


def test_a_mirror_that_is_made_is_found_again_after_a_power_cut(tmp_path, monkeypatch) -> None:
    forced: list[Path] = []
    monkeypatch.setattr(mirror_module, "force_directory", forced.append)
    made(tmp_path / "x").close()
    assert forced == [tmp_path / "x", tmp_path]


def test_where_no_mirror_is_it_is_said_why(tmp_path) -> None:
    nothing = open_mirror(tmp_path / "nothing")
    assert isinstance(nothing, Unreached)
    assert nothing.empty
    assert "holds no store" in nothing.problem
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / STORE_NAME).write_bytes(b"not a database" * 100)
    other = open_mirror(tmp_path / "file")
    assert isinstance(other, Unreached)
    assert not other.empty
    with pytest.raises(RunDirectoryError, match="is not a party store"):
        require_empty(tmp_path / "file")
    made(tmp_path / "fresh", replace(HEAD, members=(), position=Position(0, 0))).connection.close()
    fresh = open_mirror(tmp_path / "fresh")
    assert isinstance(fresh, Unreached)
    assert fresh.empty
    made(tmp_path / "x").connection.close()
    with pytest.raises(RunDirectoryError, match="holds a store already"):
        require_empty(tmp_path / "x")


def test_what_stands_in_a_folder_is_readable_by_its_owner_alone(tmp_path) -> None:
    mirror = made(tmp_path / "x")
    for file in (tmp_path / "x").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600)
    mirror.close()


def test_a_closed_mirror_that_is_unlinked_leaves_nothing(tmp_path) -> None:
    mirror = made(tmp_path / "x")
    mirror.close()
    mirror.unlink()
    assert list((tmp_path / "x").iterdir()) == []
