"""A store starts with more than half of its mirrors, with the newest of them, and with nothing that is a copy."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from failing_disks import Killed, copy, kill, lose
from large_bodies import write_large
from privateyes.aggregation.ledger import LedgerEntry
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import RunDirectoryError
from privateyes.parties.effects import Write
from privateyes.storage import ended, majority, mirrors
from privateyes.storage.majority import settle
from privateyes.storage.mirror import BODIES_NAME, STORE_NAME, Head, Mirror, Position, make_mirror
from privateyes.storage.party import write_together
from privateyes.storage.store import PartyStore

PAGE_BYTES = 4096


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "abc"]


@pytest.fixture
def made(folders: list[Path]) -> list[Path]:
    PartyStore.create(*folders, parties=["client a"], data_sets=["client a"]).close()
    return folders


def submit(store: PartyStore, number: int) -> None:
    entry = LedgerEntry(b"key", b"eyes", b"W", b"manifest", b"setup", number, b"state", NO_SESSION, b"header")
    with store.transaction():
        store.ledger.append(entry, store.ledger.at(b"W", b"key", b"eyes"))


def submit_in(folders: list[Path], number: int) -> None:
    with closing(PartyStore(*folders)) as store:
        submit(store, number)


def ledger_in(*folders: Path) -> set[int]:
    with closing(PartyStore(*folders)) as store:
        return {entry.round for entry in store.ledger.at(b"W", b"key", b"eyes")}


def killed_at_commit(patch: pytest.MonkeyPatch, commits: int, act: Callable[[], object]) -> None:
    """Something that dies once so many mirrors have committed."""
    done = [0]
    commit = Mirror.commit

    def die(mirror: Mirror) -> None:
        if done[0] == commits:
            raise Killed
        done[0] += 1
        commit(mirror)

    with patch.context() as patched:
        patched.setattr(Mirror, "commit", die)
        with pytest.raises(Killed):
            act()


def killed_in_a_start(folders: list[Path], patch: pytest.MonkeyPatch, commits: int) -> None:
    """A start that dies when it has brought so many mirrors up."""
    killed_at_commit(patch, commits, lambda: PartyStore(*folders))


def killed_in_a_write(folders: list[Path], patch: pytest.MonkeyPatch, number: int) -> None:
    """A submission that dies when the first mirror has it: nothing was sent."""
    store = PartyStore(*folders)
    killed_at_commit(patch, 1, lambda: submit(store, number))
    kill(store)


# More than half


@pytest.mark.parametrize("count", [0, 2])
def test_a_store_of_two_mirrors_is_refused_and_it_is_said_why(tmp_path, count) -> None:
    with pytest.raises(RunDirectoryError, match=rf"cannot have {count} mirrors: with two, losing either is final; na"):
        PartyStore.create(*(tmp_path / name for name in "ab"[:count]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", range(3))
def test_three_mirrors_survive_the_death_of_any_one_disk(made, lost) -> None:
    submit_in(made, 1)
    lose(made[lost])
    with closing(PartyStore(*made)) as store:
        assert store.missing_mirrors() == (str(made[lost]),)
        submit(store, 2)
    assert ledger_in(*made) == {1, 2}
    assert not made[lost].exists()


@pytest.mark.parametrize(("count", "lost"), [(3, 2), (4, 2), (5, 3)])
def test_half_of_the_mirrors_is_not_enough_and_the_missing_ones_are_named(tmp_path, count, lost) -> None:
    folders = [tmp_path / f"{number}" for number in range(count)]
    PartyStore.create(*folders).close()
    for folder in folders[:lost]:
        lose(folder)
    before = [(folder / STORE_NAME).read_bytes() for folder in folders[lost:]]
    with pytest.raises(RunDirectoryError, match=f"{count - lost} of the {count} mirrors .* more than half") as caught:
        PartyStore(*folders)
    assert all(str(folder) in caught.value.remedy for folder in folders[:lost])
    assert "\n" not in str(caught.value)
    with pytest.raises(RunDirectoryError, match="more than half"):
        PartyStore(*folders[lost:])
    assert [(folder / STORE_NAME).read_bytes() for folder in folders[lost:]] == before


def test_with_all_mirrors_lost_the_party_is_out_and_nothing_is_made_in_their_place(made) -> None:
    for folder in made:
        lose(folder)
    with pytest.raises(RunDirectoryError, match=r"no mirror of this store can be read .*this party is out: its keys"):
        PartyStore(*made)
    assert not any(folder.exists() for folder in made)


def test_a_mirror_that_was_away_is_brought_up_before_anything_goes_on(made, tmp_path) -> None:
    copy(made[2], tmp_path / "away")
    lose(made[2])
    with closing(PartyStore(*made)) as store:
        submit(store, 1)
        written = write_large(store, b"sid", {("a", "committed"): b"body"})
        with store.transaction():
            store.put_large(written[0])
    copy(tmp_path / "away", made[2])
    PartyStore(*made).close()
    lose(made[0])
    with closing(PartyStore(*made)) as store:
        assert store.missing_mirrors() == (str(made[0]),)
        assert store.large(b"sid", "a", "committed") == b"body"
    assert ledger_in(*made) == {1}
    assert (made[2] / BODIES_NAME / "a.committed").read_bytes() == (made[1] / BODIES_NAME / "a.committed").read_bytes()


def test_what_was_erased_while_a_mirror_was_away_is_erased_there_too_once_it_is_back(made, tmp_path) -> None:
    secret = bytes(range(64, 96)) * 2
    with closing(PartyStore(*made)) as store:
        store.put_stage(b"sid", "a", "agreed", secret)
    copy(made[2], tmp_path / "away")
    lose(made[2])
    with closing(PartyStore(*made)) as store:
        store.clear_stages()
    copy(tmp_path / "away", made[2])
    assert secret in (made[2] / STORE_NAME).read_bytes()
    store = PartyStore(*made)
    assert secret not in b"".join(file.read_bytes() for file in made[2].rglob("*") if file.is_file())
    store.close()


@pytest.mark.parametrize("restored", range(3))
def test_a_backup_that_is_put_back_over_one_mirror_is_overwritten_by_the_others(made, tmp_path, restored) -> None:
    backup = copy(made[restored], tmp_path / "backup")
    submit_in(made, 1)
    copy(backup, made[restored])
    assert ledger_in(*made) == {1}
    lose(made[(restored + 1) % 3])
    assert ledger_in(*made) == {1}


def test_a_stale_mirror_alone_does_not_start_and_without_the_rule_an_entry_disappears(
    made, tmp_path, monkeypatch
) -> None:
    stale = copy(made[0], tmp_path / "stale")
    submit_in(made, 1)
    with pytest.raises(RunDirectoryError, match=r"1 of the 3 mirrors .* more than half"):
        PartyStore(stale)
    monkeypatch.setattr(majority, "require_majority", lambda *_: None)
    assert ledger_in(stale) == set()


# The newest


def test_a_killed_write_that_reached_one_mirror_counts_if_that_mirror_is_there_and_not_if_it_is_not(
    made, monkeypatch
) -> None:
    submit_in(made, 1)
    killed_in_a_write(made, monkeypatch, 2)
    without = [copy(folder, folder.with_name(f"without {folder.name}")) for folder in made]
    lose(without[0])
    assert ledger_in(*without) == {1}
    assert ledger_in(*made) == {1, 2}
    lose(made[0])
    assert ledger_in(*made) == {1, 2}


def away(made: list[Path], tmp_path: Path) -> Path:
    """Take the first mirror's disk out; what was on it."""
    disk = copy(made[0], tmp_path / "away")
    lose(made[0])
    return disk


def left_alone(made: list[Path], tmp_path: Path, patch: pytest.MonkeyPatch) -> set[int]:
    """Starts die in the first mirror, again and again; the others go on without it; it comes back, another dies."""
    submit_in(made, 1)
    for _ in range(4):
        killed_in_a_start(made, patch, 1)
    first = away(made, tmp_path)
    submit_in(made, 2)
    lose(made[1])
    copy(first, made[0])
    return ledger_in(*made)


def test_a_mirror_that_is_left_alone_with_killed_starts_does_not_overtake_the_others(
    made, tmp_path, monkeypatch
) -> None:
    assert left_alone(made, tmp_path, monkeypatch) == {1, 2}


def test_if_transactions_alone_were_counted_it_would_and_a_word_that_was_sent_would_be_lost(
    made, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(Position, "__gt__", lambda self, other: self.generation > other.generation)
    monkeypatch.setattr(Position, "__lt__", lambda self, other: self.generation < other.generation)
    assert left_alone(made, tmp_path, monkeypatch) == {1}


def test_without_durable_promises_it_would_too(made, tmp_path, monkeypatch) -> None:
    """The number of a start then follows only what the mirrors that it reached were last written under."""
    volatile: WeakKeyDictionary[Mirror, int] = WeakKeyDictionary()
    head = Mirror.head

    def without(mirror: Mirror) -> Head:
        stored = head(mirror)
        return replace(stored, promised=volatile.get(mirror, stored.position.start))

    monkeypatch.setattr(Mirror, "head", without)
    monkeypatch.setattr(Mirror, "promise", lambda mirror, start: volatile.__setitem__(mirror, start))
    assert left_alone(made, tmp_path, monkeypatch) == {1}


def test_what_a_start_dies_in_changes_nothing(made, monkeypatch) -> None:
    submit_in(made, 1)
    for commits in range(3):
        killed_in_a_start(made, monkeypatch, commits)
    assert ledger_in(*made) == {1}
    with closing(PartyStore(*made)) as store:
        assert len({mirror.head().position for mirror in store._mirrors._mirrors}) == 1


@pytest.mark.parametrize("step", ["promise", "begin", "commit"])
@pytest.mark.parametrize("broken", range(3))
def test_a_mirror_that_cannot_be_brought_up_is_named_and_stops_the_start(made, monkeypatch, step, broken) -> None:
    submit_in(made, 1)
    with monkeypatch.context() as patched:
        call = getattr(Mirror, step)

        def fail(mirror: Mirror, *values: Any, **named: Any) -> None:
            if mirror.folder == made[broken]:
                raise mirror.unwritable("disk I/O error")
            call(mirror, *values, **named)

        patched.setattr(Mirror, step, fail)
        with pytest.raises(RunDirectoryError, match=rf"{made[broken]} cannot be written \(disk I/O error\); free some"):
            PartyStore(*made)
    assert ledger_in(*made) == {1}


def test_every_start_has_a_number_of_its_own_and_generations_only_grow(made) -> None:
    seen = []
    for number in range(3):
        with closing(PartyStore(*made)) as store:
            submit(store, number)
            seen.append(store._mirrors.head.position)
        lose(made[2])
    assert len({position.start for position in seen}) == 3
    assert [position.generation for position in seen] == sorted({position.generation for position in seen})


# Bodies


def with_body(folders: list[Path]) -> None:
    with closing(PartyStore(*folders)) as store:
        written = write_large(store, b"sid", {("a", "committed"): b"body" * 1000})
        with store.transaction():
            store.put_large(written[0])


@pytest.mark.parametrize("damage", ["missing", "torn", "longer"])
def test_a_damaged_body_is_mended_from_any_mirror_that_has_it_whole(made, damage) -> None:
    with_body(made)
    files = [folder / BODIES_NAME / "a.committed" for folder in made]
    whole = files[0].read_bytes()
    for file in files[:2]:
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(whole[:-1] if damage == "torn" else whole + b"\0")
    with closing(PartyStore(*made)) as store:
        assert [file.read_bytes() for file in files] == [whole] * 3
        files[0].write_bytes(whole[:-1])  # now that it is open
        assert store.large(b"sid", "a", "committed") == b"body" * 1000


def test_the_rows_of_the_newest_mirror_win_though_its_bodies_are_gone(made, tmp_path) -> None:
    stale = copy(made[1], tmp_path / "stale")
    with_body(made)
    submit_in(made, 1)
    copy(stale, made[1])
    (made[0] / BODIES_NAME / "a.committed").unlink()
    third = copy(made[2], tmp_path / "third")
    lose(made[2])
    with closing(PartyStore(*made)) as store:
        assert [entry.round for entry in store.ledger.at(b"W", b"key", b"")] == [1]
        with pytest.raises(RunDirectoryError, match=r"a\.committed is not what the party stored"):
            store.large(b"sid", "a", "committed")
    copy(third, made[2])
    with closing(PartyStore(*made)) as store:
        assert store.large(b"sid", "a", "committed") == b"body" * 1000


# What can be told


def test_two_mirrors_that_say_to_be_the_same_are_refused(made, tmp_path) -> None:
    old = copy(made[0], tmp_path / "old copy")
    submit_in(made, 1)
    for other in (old, copy(made[0], tmp_path / "new copy")):
        with pytest.raises(RunDirectoryError, match="hold the same mirror: one of them is a copy"):
            PartyStore(*made, other)
        with pytest.raises(RunDirectoryError, match="one of them is a copy"):
            PartyStore(made[0], made[1], other)
    assert ledger_in(*made) == {1}


def test_a_folder_that_is_named_twice_is_refused(made, tmp_path) -> None:
    for act in (PartyStore, PartyStore.create):
        with pytest.raises(RunDirectoryError, match="named twice"):
            act(made[0], made[1], made[0].parent / "x" / ".." / made[1].name)
    (tmp_path / "link").symlink_to(made[0])
    with pytest.raises(RunDirectoryError, match="is a copy"):
        PartyStore(*made, tmp_path / "link")


def test_a_mirror_of_another_store_is_refused(made, tmp_path) -> None:
    others = [tmp_path / name for name in "xyz"]
    PartyStore.create(*others).close()
    for folders in ((made[0], made[1], others[0]), (others[0], made[1], made[2]), (*made, others[0])):
        with pytest.raises(RunDirectoryError, match="hold mirrors of different stores"):
            PartyStore(*folders)
    assert ledger_in(*made) == set()


def test_a_mirror_that_was_taken_out_of_the_set_is_refused(made, tmp_path) -> None:
    removed = copy(made[2], tmp_path / "removed")
    lose(made[2])
    with closing(PartyStore(*made)) as store:
        store.replace_mirror(made[2], tmp_path / "d")
    with pytest.raises(RunDirectoryError, match=f"the mirror in {removed} was taken out of the set"):
        PartyStore(made[0], made[1], removed)
    with pytest.raises(RunDirectoryError, match="1 of the 3 mirrors"):
        PartyStore(removed)


def test_a_store_of_one_folder_is_not_taken_for_a_mirrored_one(tmp_path) -> None:
    PartyStore.create(tmp_path / "a").close()
    with pytest.raises(RunDirectoryError, match="was made in one folder"):
        PartyStore(*(tmp_path / name for name in "abc"))


def test_a_mirror_whose_database_is_damaged_counts_as_lost(made, tmp_path) -> None:
    submit_in(made, 1)
    whole = copy(made[0], tmp_path / "whole")
    size = (whole / STORE_NAME).stat().st_size
    found = []
    for page in range(0, size, PAGE_BYTES):
        copy(whole, made[0])
        with (made[0] / STORE_NAME).open("r+b") as file:
            file.seek(page)
            file.write(bytes(PAGE_BYTES))
        with closing(PartyStore(*made)) as store:
            found.append(bool(store.missing_mirrors()))
        assert ledger_in(made[1], made[2]) == {1}
    assert found.count(True) > len(found) - 3, "but for pages that hold nothing, damage is seen"
    lose(made[1])
    copy(whole, made[0])
    (made[0] / STORE_NAME).write_bytes(bytes(100))
    with pytest.raises(RunDirectoryError, match=f"1 of the 3 mirrors .*{made[0]}.* is not a party store"):
        PartyStore(*made)


@pytest.fixture(params=[1, 3], ids=["one folder", "mirrors"])
def either(request: pytest.FixtureRequest, folders: list[Path]) -> list[Path]:
    own = folders[: request.param]
    PartyStore.create(*own, parties=["client a"], data_sets=["client a"]).close()
    return own


def test_a_second_process_that_opens_the_store_shuts_the_first_one_out(either) -> None:
    made = either
    first = PartyStore(*made)
    submit(first, 1)
    second = PartyStore(*made)
    with pytest.raises(RunDirectoryError, match="another process has opened the store"):
        submit(first, 2)
    submit(second, 3)
    kill(first)
    second.close()
    assert ledger_in(*made) == {1, 3}


def written_beside_one_that_is_shut_out(made: list[Path]) -> bytes:
    """What the second process reads of a body that it wrote while the first one wrote another and was closed."""
    first = PartyStore(*made)
    late = first.party("client 1", b"task")
    view = late.read()
    second = PartyStore(*made)
    own = second.party("client 1", b"task")
    prepared = own.prepare(own.read(), Write({("kept", b"sid"): np.full(9, 7, dtype=np.uint64)}))
    with pytest.raises(RunDirectoryError, match="another process has opened the store"):
        late.read()
    with view.sink("kept", 2, np.dtype(np.uint64)) as sink:
        sink.write(np.ones(2, dtype=np.uint64))
        unsaid = sink.finish()
    with pytest.raises(RunDirectoryError, match="another process has opened the store"):
        late.write(view, Write({("kept", b"sid"): unsaid}))
    first.close()
    with closing(second):
        write_together(second, [(own, prepared)])
        return bytes(own.read().bodies["kept", b"sid"])


def test_one_that_is_shut_out_neither_removes_nor_overwrites_what_the_other_writes(either) -> None:
    assert written_beside_one_that_is_shut_out(either) == np.array([7] * 9, dtype=np.uint64).tobytes()


def test_without_looking_at_the_promise_one_that_is_shut_out_removes_a_body_of_the_other(either, monkeypatch) -> None:
    remove = Mirror.remove_strays
    monkeypatch.setattr(Mirror, "remove_strays", lambda self, _: remove(self, self.head().promised))
    with pytest.raises(RunDirectoryError, match="No such file"):
        written_beside_one_that_is_shut_out(either)


def test_under_names_without_the_start_both_write_to_one_file(either, monkeypatch) -> None:
    monkeypatch.setattr(PartyStore, "start", 0)
    with pytest.raises(RunDirectoryError, match="torn or altered"):
        written_beside_one_that_is_shut_out(either)


def test_a_copy_of_a_store_of_one_folder_is_refused_as_long_as_the_store_is_there(tmp_path) -> None:
    own, link = tmp_path / "own", tmp_path / "link"
    PartyStore.create(own, parties=["client a"]).close()
    copied = copy(own, tmp_path / "copied")
    with pytest.raises(RunDirectoryError, match=f"{copied} is a copy of the one in {own}; of two with the same keys"):
        PartyStore(copied)
    link.symlink_to(own)
    PartyStore(link).close()  # the same one by another name
    PartyStore(own).close()
    own.rename(tmp_path / "moved")
    PartyStore(tmp_path / "moved").close()


def opened_after_the_end_of_the_original(folder: Path) -> list[str]:
    """A copy of a store that is opened once the original was erased: whose keys it would use again."""
    own = folder / "own"
    store = PartyStore.create(own, parties=["client a"])
    store.close()
    copied = copy(own, folder / "copied")
    PartyStore(own).destroy()
    with closing(PartyStore(copied)) as again:
        return list(again.identities())


def test_a_copy_of_a_store_is_refused_after_the_original_was_erased_too(tmp_path) -> None:
    with pytest.raises(RunDirectoryError, match="where the task has ended since"):
        opened_after_the_end_of_the_original(tmp_path)
    PartyStore.create(tmp_path / "own", parties=["client a"]).close()  # a new one can be made in its place
    PartyStore(tmp_path / "own").destroy()
    with pytest.raises(RunDirectoryError, match="where the task has ended since"):
        PartyStore(tmp_path / "copied")


def test_without_a_note_of_the_end_the_copy_goes_on_with_the_same_keys(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mirrors, "note_ended", lambda *_: None)
    assert opened_after_the_end_of_the_original(tmp_path) == ["client a"]


def test_a_full_disk_stops_no_erasing(tmp_path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ended, "write_atomically", full)
    PartyStore.create(tmp_path, parties=["client a"]).destroy()
    assert not PartyStore.exists(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '"text"'])
def test_a_damaged_note_of_the_end_says_nothing(tmp_path, content: str) -> None:
    (tmp_path / ended.ENDED_NAME).write_text(content)
    assert not ended.has_ended(tmp_path, b"id")
    ended.note_ended(tmp_path, b"id")
    ended.note_ended(tmp_path, b"other")
    assert ended.has_ended(tmp_path, b"id")
    assert ended.has_ended(tmp_path, b"other")


def test_a_mirror_whose_disk_is_gone_hinders_no_close(made) -> None:
    store = PartyStore(*made)
    lose(made[1])
    with closing(store):
        assert store.identities()


def test_of_two_that_start_at_once_one_goes_on(made, monkeypatch) -> None:
    done = []

    def overtaken(*args: object) -> None:
        if not done:
            done.append(True)
            with monkeypatch.context() as patched:
                patched.setattr(majority, "settle", settle)
                done.append(PartyStore(*made))  # type: ignore[arg-type]
        settle(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(majority, "settle", overtaken)
    with pytest.raises(RunDirectoryError, match="another process opens the store"):
        PartyStore(*made)
    submit(done[1], 1)  # type: ignore[arg-type]
    done[1].close()  # type: ignore[attr-defined]


# Making


def test_nothing_is_made_if_one_of_the_folders_holds_something(folders) -> None:
    PartyStore.create(folders[2]).close()
    with pytest.raises(RunDirectoryError, match=f"{folders[2]} holds a store already"):
        PartyStore.create(*folders)
    assert not folders[0].exists()
    assert not folders[1].exists()


def test_a_making_that_was_killed_before_all_mirrors_were_there_is_begun_again(folders, monkeypatch) -> None:
    for count in range(3):
        made: list[Path] = []

        def die(folder: Path, *rest: Any, count: int = count, made: list[Path] = made) -> Mirror:
            if len(made) == count:
                raise Killed
            made.append(folder)
            return make_mirror(folder, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(majority, "make_mirror", die)
            with pytest.raises(Killed):
                PartyStore.create(*folders, parties=["a"])
        with pytest.raises(RunDirectoryError, match=r"was not finished; make it again|no mirror of this store"):
            PartyStore(*folders)
        assert not any(PartyStore.exists(folder) for folder in folders)
    PartyStore.create(*folders, parties=["a"]).close()
    assert ledger_in(*folders) == set()


def test_a_making_that_was_killed_once_all_mirrors_were_there_is_ended_by_a_start(tmp_path, monkeypatch) -> None:
    for commits in range(3):
        folders = [tmp_path / f"{commits}" / name for name in "abc"]
        killed_at_commit(monkeypatch, commits, lambda folders=folders: PartyStore.create(*folders, parties=["a"]))
        if commits == 0:
            with pytest.raises(RunDirectoryError, match="was not finished; make it again in the same folders"):
                PartyStore(*folders)
            continue
        with closing(PartyStore(*folders)) as store:
            assert list(store.identities()) == ["a"]
            assert store.missing_mirrors() == ()
        with pytest.raises(RunDirectoryError, match="holds a store already"):
            PartyStore.create(*folders)
