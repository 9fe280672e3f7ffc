"""The parties' store, in one folder and in three: all or nothing, one word for each stage, private, erased for good."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

import pytest

from large_bodies import write_large
from privateyes.errors import RefusedError, RunDirectoryError
from privateyes.storage import sealed_file
from privateyes.storage.ended import ENDED_NAME
from privateyes.storage.mirror import BODIES_NAME, STORE_NAME
from privateyes.storage.store import PartyStore


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep"


@pytest.fixture(params=[1, 3], ids=["one folder", "three mirrors"])
def folders(request, folder):
    return [folder / f"{number}" for number in range(request.param)]


@pytest.fixture
def store(folders):
    opened = PartyStore.create(*folders)
    yield opened
    opened.close()


def keep(store: PartyStore, sid: bytes, party: str, stage: str, body: bytes) -> None:
    (written,) = write_large(store, sid, {(party, stage): body})
    with store.transaction():
        store.put_large(written)


def accept(store: PartyStore, before: bytes, round_number: int, body: bytes, report: str = "{}") -> None:
    written = store.write_state([body])
    with store.transaction():
        store.put_accepted(before, round_number, written, report)


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def kill(store: PartyStore) -> None:
    """As a kill, which folds no journal in."""
    for mirror in store._mirrors._mirrors:
        mirror.connection.close()


def test_what_a_transaction_stored_is_there_after_reopening(folders) -> None:
    first = PartyStore.create(*folders, parties=["a"], data_sets=["a"])
    identities, data_sets = first.identities(), first.data_sets()
    with first.transaction():
        first.put_memory("a", b"one", 1)
        first.put_stage(b"sid", "a", "agreed", b"body")
        first.put_manifest("leader = 1")
    keep(first, b"sid", "a", "committed", b"a large body")
    accept(first, b"before", 4, b"after", "{}")
    kill(first)
    second = PartyStore(*folders)
    assert second.identities() == identities
    assert second.data_sets() == data_sets
    assert (second.memory("a"), second.memory_version("a")) == (b"one", 1)
    assert second.manifest() == "leader = 1"
    assert second.stages(b"sid", "agreed") == {"a": b"body"}
    assert second.large(b"sid", "a", "committed") == b"a large body"
    assert second.accepted_after(b"before") == (b"after", "{}")
    assert second.accepted_round() == 4
    second.close()


def test_a_store_is_made_with_fresh_keys_and_no_other_key_gets_in(tmp_path) -> None:
    keys = set()
    for name in ("x", "y"):
        made = PartyStore.create(tmp_path / name, parties=["client a", "hub"], data_sets=["client a"])
        assert list(made.identities()) == ["client a", "hub"]
        assert list(made.data_sets()) == ["client a"]
        drawn = [*made.identities().values(), *made.data_sets().values()]
        assert {len(value) for value in drawn} == {32}
        keys |= set(drawn)
        made.close()
    assert len(keys) == 6
    assert not [name for name in dir(PartyStore) if name.startswith("put_") and ("identit" in name or "data" in name)]


def test_a_store_is_made_once(folders) -> None:
    PartyStore.create(*folders, parties=["a"]).close()
    before = [(folder / STORE_NAME).read_bytes() for folder in folders]
    with pytest.raises(RunDirectoryError, match="holds a store already"):
        PartyStore.create(*folders, parties=["a"])
    assert [(folder / STORE_NAME).read_bytes() for folder in folders] == before


def test_opening_makes_no_store(folders) -> None:
    with pytest.raises(RunDirectoryError, match="holds no store"):
        PartyStore(*folders)
    assert not any(folder.exists() for folder in folders)


def test_a_memory_is_written_over_the_version_before_it_alone(store) -> None:
    store.put_memory("a", b"one", 1)
    store.put_memory("a", b"two", 2)
    store.put_memory("b", b"other", 1)
    for wrong in (-1, 0, 1, 2, 4):
        with pytest.raises(RefusedError, match=f"version {wrong} .* does not follow version 2.*another handler wrote"):
            store.put_memory("a", b"three", wrong)
    for wrong in (0, 2):
        with pytest.raises(RefusedError, match="does not follow version 0"):
            store.put_memory("c", b"first", wrong)
    assert (store.memory("a"), store.memory_version("a")) == (b"two", 2)
    assert store.memory_version("c") == 0


def two_handlers(folder: Path) -> set[bytes]:
    """What two handlers say that read one memory, each storing its word before it speaks."""
    said = set()
    with closing(PartyStore.create(folder)) as store:
        store.put_memory("a", b"silent", 1)
        read = [store.memory_version("a") for _ in range(2)]
        for version, word in zip(read, (b"yes", b"no"), strict=True):
            with suppress(RefusedError), store.transaction():
                store.put_memory("a", word, version + 1)
                said.add(word)
    return said


def test_of_two_handlers_that_read_one_memory_one_speaks(tmp_path) -> None:
    assert two_handlers(tmp_path) == {b"yes"}


def test_without_compare_and_swap_both_speak(tmp_path, monkeypatch) -> None:
    swap = PartyStore.put_memory
    monkeypatch.setattr(
        PartyStore, "put_memory", lambda self, party, body, _: swap(self, party, body, self.memory_version(party) + 1)
    )
    assert two_handlers(tmp_path) == {b"yes", b"no"}


def test_every_transaction_counts(store) -> None:
    before = store.generation
    with store.transaction():
        store.put_memory("a", b"one", 1)
        store.put_memory("a", b"two", 2)
    assert store.generation == before + 1
    store.put_memory("a", b"three", 3)
    store.amend_report("none")
    assert store.generation == before + 3
    with pytest.raises(RefusedError), store.transaction():
        store.put_memory("a", b"three", 3)
    assert store.generation == before + 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, sqlite3.OperationalError])
def test_a_transaction_that_ends_in_an_error_stores_nothing(store, error) -> None:
    with store.transaction():
        store.put_memory("a", b"one", 1)
    expected = RunDirectoryError if error is sqlite3.OperationalError else error

    def fail() -> None:
        with store.transaction():
            store.put_memory("a", b"two", 2)
            store.put_stage(b"sid", "a", "committed", b"body")
            raise error

    with pytest.raises(expected):
        fail()
    assert store.memory("a") == b"one"
    assert store.stages(b"sid", "committed") == {}
    with store.transaction():
        store.put_memory("a", b"three", 2)
    assert store.memory("a") == b"three"


def test_one_party_says_one_thing_about_one_stage_of_one_session(store) -> None:
    with store.transaction():
        store.put_stage(b"sid", "a", "committed", b"body")
        store.put_stage(b"sid", "b", "committed", b"other")
        store.put_stage(b"sid", "a", "agreed", b"more")
        store.put_stage(b"sie", "a", "committed", b"body")

    def say_it_again() -> None:
        with store.transaction():
            store.put_memory("a", b"also undone", 1)
            store.put_stage(b"sid", "a", "committed", b"body")

    with pytest.raises(RunDirectoryError, match="a is past committed"):
        say_it_again()
    with pytest.raises(RunDirectoryError):
        store.memory("a")
    assert store.stages(b"sid", "committed") == {"a": b"body", "b": b"other"}


def test_a_manifest_is_pinned_once(store) -> None:
    assert store.manifest() is None
    with store.transaction():
        store.put_manifest("leader = 1")
    with pytest.raises(RunDirectoryError, match="has a manifest already"), store.transaction():
        store.put_manifest("leader = 2")
    assert store.manifest() == "leader = 1"


def test_stages_are_cleared_for_one_party_or_for_all(store) -> None:
    for party in ("a", "b"):
        store.put_stage(b"sid", party, "agreed", b"body")
        keep(store, b"sid", party, "committed", party.encode())
    assert not store.clear_stages_of(["a", "c"], but=[b"sid"])
    assert store.clear_stages_of(["c", "a"])
    assert not store.clear_stages_of(["a"])
    assert store.stages(b"sid", "agreed") == {"b": b"body"}
    assert store.large(b"sid", "a", "committed") is None
    assert store.large(b"sid", "b", "committed") == b"b"
    store.put_stage(b"other", "b", "agreed", b"another")
    assert store.clear_stages(but=[b"other", b"unknown"])
    assert store.stages(b"sid", "agreed") == {}
    assert store.stages(b"other", "agreed") == {"b": b"another"}
    assert store.clear_stages()
    assert store.large(b"sid", "b", "committed") is None
    assert not store.clear_stages()


def test_a_large_body_is_in_every_mirror_once_and_sealed(store, folders) -> None:
    body = bytes(range(256)) * 4096
    keep(store, b"sid", "aggregator 1", "committed", body)
    assert store.large(b"sid", "aggregator 1", "committed") == body
    assert store.large(b"another sid", "aggregator 1", "committed") is None
    for folder in folders:
        assert body[:64] not in bytes_on_disk(folder)
        assert len(body) < len(bytes_on_disk(folder)) < len(body) + 250_000


def test_a_party_has_one_large_body_of_a_stage_in_a_session_and_its_file_is_not_overwritten(store) -> None:
    keep(store, b"sid", "a", "committed", b"first")
    (second,) = write_large(store, b"sid", {("a", "committed"): b"second"})
    with pytest.raises(RunDirectoryError, match="a is past committed"), store.transaction():
        store.put_large(second)
    assert store.large(b"sid", "a", "committed") == b"first"
    keep(store, b"next", "a", "committed", b"of the next session")
    assert store.large(b"sid", "a", "committed") == b"first"
    assert store.large(b"next", "a", "committed") == b"of the next session"
    written = write_large(store, b"sid", {("b", "committed"): b"other"})
    with store.transaction():
        store.put_large(written[0])
    with pytest.raises(RunDirectoryError, match="b is past committed"), store.transaction():
        store.put_large(written[0])


def test_a_stage_can_be_taken_back(store) -> None:
    for party in ("a", "b"):
        store.put_stage(b"sid", party, "again", b"")
        keep(store, b"sid", party, "committed", b"large")
    for stage in ("again", "committed"):
        store.remove_stage(b"sid", "a", stage)
    assert store.stages(b"sid", "again") == {"b": b""}
    assert store.large(b"sid", "a", "committed") is None
    assert store.large(b"sid", "b", "committed") == b"large"


def test_an_erased_body_cannot_be_read_from_what_is_left_on_any_disk(folders, monkeypatch) -> None:
    keys = []
    fresh = sealed_file.secrets.token_bytes
    monkeypatch.setattr(sealed_file.secrets, "token_bytes", lambda count: keys.append(fresh(count)) or keys[-1])
    store = PartyStore.create(*folders)
    keys.clear()
    keep(store, b"sid", "a", "committed", b"a share" * 1000)
    assert all(keys[0] in bytes_on_disk(folder) for folder in folders)
    files = [folder / BODIES_NAME / "a.committed" for folder in folders]
    sealed = files[0].read_bytes()
    with store.transaction():
        store.clear_stages()
    for folder in folders:
        assert keys[0] in bytes_on_disk(folder), "until it is folded in, the journal holds it: or this proves nothing"
    store.fold_journal()
    assert all(file.read_bytes() == sealed for file in files)
    assert not any(keys[0] in bytes_on_disk(folder) for folder in folders)
    store.close()


def test_what_a_kill_left_unnamed_is_removed_when_the_store_is_opened(folders) -> None:
    store = PartyStore.create(*folders)
    keep(store, b"sid", "a", "committed", b"named")
    write_large(store, b"sid", {("b", "committed"): b"unnamed"})
    kill(store)
    store = PartyStore(*folders)
    for folder in folders:
        assert [file.name for file in (folder / BODIES_NAME).iterdir()] == ["a.committed"]
    assert store.large(b"sid", "a", "committed") == b"named"
    store.clear_stages()
    store.close()
    assert not any(list((folder / BODIES_NAME).iterdir()) for folder in folders)


def test_only_the_last_accepted_state_is_kept_and_the_next_does_not_touch_it_until_it_is_accepted(store) -> None:
    assert store.accepted_after(b"0") is None
    assert store.accepted_round() is None
    accept(store, b"0", 1, b"one", "a")
    store.write_state([b"two, written and not accepted"])
    assert store.accepted_after(b"0") == (b"one", "a")
    accept(store, b"1", 2, b"two", "b")
    assert store.accepted_after(b"0") is None
    assert store.accepted_after(b"1") == (b"two", "b")
    store.amend_report("c")
    assert store.accepted_after(b"1") == (b"two", "c")
    accept(store, b"2", 3, b"three", "d")
    assert (store.accepted_after(b"2"), store.accepted_round()) == ((b"three", "d"), 3)


def test_only_the_cost_of_a_round_is_not_forced_to_disk(store) -> None:
    accept(store, b"0", 1, b"one", "a")
    seen = []
    write = store._mirrors.write

    def note(*values: object) -> int:
        seen.extend(mirror.connection.execute("PRAGMA synchronous").fetchone()[0] for mirror in mirrors)
        return write(*values)

    mirrors = store._mirrors._mirrors
    store._mirrors.write = note
    normal, full = 1, 2
    store.amend_report("b")
    assert set(seen) == {normal}
    seen.clear()
    store.put_memory("a", b"one", 1)
    assert set(seen) == {full}


def test_only_the_owner_can_read_the_file_and_its_journal(store, folders) -> None:
    with store.transaction():
        store.put_memory("a", b"one", 1)
    keep(store, b"sid", "a", "committed", b"body")
    for folder in folders:
        files = [file for file in folder.rglob("*") if file.is_file()]
        assert len(files) >= 3
        assert stat.S_IMODE((folder / BODIES_NAME).stat().st_mode) == 0o700
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_destroyed_store_is_overwritten_before_it_is_removed(folders) -> None:
    store = PartyStore.create(*folders, parties=["a"])
    (identity,) = store.identities().values()
    secret = bytes(range(64, 96)) * 4
    with store.transaction():
        store.put_memory("a", secret, 1)
        store.put_stage(b"sid", "a", "agreed", secret)
    keep(store, b"sid", "a", "committed", secret)
    accept(store, b"0", 1, secret)
    second_names = []
    for folder in folders:
        assert secret in bytes_on_disk(folder)
        second_names.append(folder / "second name of the same file")
        second_names[-1].hardlink_to(folder / STORE_NAME)
    store.destroy()
    for folder, second_name in zip(folders, second_names, strict=True):
        assert {*folder.iterdir()} - {folder / ENDED_NAME} == {second_name}
        assert secret not in second_name.read_bytes()
        assert identity not in second_name.read_bytes()


@pytest.mark.parametrize("left", ["everything", "the file"])
def test_a_destruction_that_was_interrupted_is_done_again(folder, left) -> None:
    store = PartyStore.create(folder, parties=["a"])
    with store.transaction():
        store._mirrors._mirrors[0].clear()
    store.close()
    if left == "the file":
        (folder / BODIES_NAME).rmdir()
    assert PartyStore.exists(folder)
    PartyStore(folder).destroy()
    assert not PartyStore.exists(folder)
    assert list(folder.iterdir()) == [folder / ENDED_NAME]


def test_a_file_that_is_no_store_is_refused_and_not_overwritten(folder) -> None:
    folder.mkdir()
    (folder / STORE_NAME).write_bytes(b"not a database" * 100)
    for act in (PartyStore, PartyStore.create):
        with pytest.raises(RunDirectoryError, match="is not a party store"):
            act(folder)
    assert PartyStore.exists(folder)
    assert (folder / STORE_NAME).read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("version", [4, 6])
def test_a_store_of_another_version_is_refused_and_left_as_it_is(folder, version) -> None:
    PartyStore.create(folder).close()
    other = sqlite3.connect(folder / STORE_NAME)
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    before = (folder / STORE_NAME).read_bytes()
    for act in (PartyStore, PartyStore.create, PartyStore.exists):
        with pytest.raises(
            RunDirectoryError, match=rf"another version of privateyes \(store {version}, not 5\); finish the run"
        ):
            act(folder)
    assert (folder / STORE_NAME).read_bytes() == before


def test_a_store_that_another_process_writes_to_is_said_to_be_unwritable(store, folders) -> None:
    for mirror, folder in zip(store._mirrors._mirrors, folders, strict=True):
        other = sqlite3.connect(folder / STORE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        mirror.connection.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(RunDirectoryError, match=f"{folder} cannot be written"), store.transaction():
            store.put_memory("a", b"one", 1)
        other.execute("ROLLBACK")
        other.close()
    with store.transaction():
        store.put_memory("a", b"one", 1)


def test_a_disk_that_is_full_stores_nothing_and_the_store_goes_on(store, folders) -> None:
    for number, (mirror, folder) in enumerate(zip(store._mirrors._mirrors, folders, strict=True)):
        with store.transaction():
            store.put_memory("a", b"one", 2 * number + 1)
        pages = mirror.connection.execute("PRAGMA page_count").fetchone()[0]
        mirror.connection.execute(f"PRAGMA max_page_count = {pages + 10}")

        def overfill(version: int = 2 * number + 2) -> None:
            with store.transaction():
                store.put_memory("a", b"two", version)
                store.put_memory("b", bytes(1 << 20), 1)

        with pytest.raises(RunDirectoryError, match=f"{folder} cannot be written .*free some space"):
            overfill()
        assert store.memory("a") == b"one"
        with store.transaction():
            store.put_memory("a", b"three", 2 * number + 2)
        mirror.connection.execute(f"PRAGMA max_page_count = {1 << 20}")


def test_a_disk_that_is_full_when_the_journal_is_folded_in_is_one_clear_error(store, monkeypatch) -> None:
    class Full:
        def execute(self, *_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    for mirror in store._mirrors._mirrors:
        with monkeypatch.context() as patched:
            patched.setattr(mirror, "connection", Full())
            with pytest.raises(RunDirectoryError, match=r"cannot be written .*disk is full.*free some space"):
                store.fold_journal()


def test_a_store_that_cannot_be_opened_is_not_called_foreign(folder, monkeypatch) -> None:
    PartyStore.create(folder).close()

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        PartyStore(folder)


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        PartyStore.create(tmp_path / "file")


def test_a_disk_that_is_full_while_a_large_body_is_written_loses_nothing(store, monkeypatch) -> None:
    keep(store, b"sid", "a", "committed", b"first")
    accept(store, b"0", 1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(sealed_file.os, "fsync", _full)
        with pytest.raises(RunDirectoryError, match=r"b\.committed cannot be written .*free some space"):
            write_large(store, b"sid", {("b", "committed"): b"second"})
        with pytest.raises(RunDirectoryError, match=r"accepted-1\.1 cannot be written"):
            store.write_state([b"two"])
    assert store.large(b"sid", "a", "committed") == b"first"
    assert store.accepted_after(b"0") == (b"one", "{}")
    keep(store, b"sid", "b", "committed", b"second")
    assert store.large(b"sid", "b", "committed") == b"second"


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
