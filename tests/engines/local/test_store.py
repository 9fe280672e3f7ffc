"""The parties' store: all or nothing, one word for each stage, private to its owner."""

from __future__ import annotations

import sqlite3
import stat

import pytest

from privateyes.engines.local.store import PartyStore
from privateyes.errors import RunDirectoryError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "parties.sqlite"


@pytest.fixture
def store(path):
    opened = PartyStore(path)
    yield opened
    opened.close()


def test_what_a_transaction_stored_is_there_after_reopening(path) -> None:
    first = PartyStore(path)
    with first.transaction():
        first.put_identity("a", b"seed")
        first.put_memory("a", b"one")
        first.put_stage(b"sid", "a", "committed", b"body")
        first.put_accepted(b"before", b"after", "{}")
    first._connection.close()  # a kill folds no journal in
    second = PartyStore(path)
    assert second.identities() == {"a": b"seed"}
    assert second.memory("a") == b"one"
    assert second.stages(b"sid", "committed") == {"a": b"body"}
    assert second.accepted() == (b"before", b"after", "{}")
    second.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, sqlite3.OperationalError])
def test_a_transaction_that_ends_in_an_error_stores_nothing(store, error) -> None:
    with store.transaction():
        store.put_memory("a", b"one")
    expected = RunDirectoryError if error is sqlite3.OperationalError else error

    def fail() -> None:
        with store.transaction():
            store.put_memory("a", b"two")
            store.put_stage(b"sid", "a", "committed", b"body")
            raise error

    with pytest.raises(expected):
        fail()
    assert store.memory("a") == b"one"
    assert store.stages(b"sid", "committed") == {}
    with store.transaction():
        store.put_memory("a", b"three")
    assert store.memory("a") == b"three"


def test_one_party_says_one_thing_about_one_stage_of_one_session(store) -> None:
    with store.transaction():
        store.put_stage(b"sid", "a", "committed", b"body")
        store.put_stage(b"sid", "b", "committed", b"other")
        store.put_stage(b"sid", "a", "agreed", b"more")
        store.put_stage(b"sie", "a", "committed", b"body")

    def say_it_again() -> None:
        with store.transaction():
            store.put_memory("a", b"also undone")
            store.put_stage(b"sid", "a", "committed", b"body")

    with pytest.raises(RunDirectoryError, match="a is past committed"):
        say_it_again()
    with pytest.raises(RunDirectoryError):
        store.memory("a")
    assert store.stages(b"sid", "committed") == {"a": b"body", "b": b"other"}


def test_an_identity_is_drawn_once(store) -> None:
    store.put_identity("a", b"seed")
    with pytest.raises(RunDirectoryError), store.transaction():
        store.put_identity("a", b"other")
    assert store.identities() == {"a": b"seed"}


def test_stages_are_cleared_for_one_party_or_for_all(store) -> None:
    for party in ("a", "b"):
        store.put_stage(b"sid", party, "committed", b"body")
    store.clear_stages_of("a")
    assert store.stages(b"sid", "committed") == {"b": b"body"}
    store.clear_stages()
    assert store.stages(b"sid", "committed") == {}


def test_only_the_last_accepted_state_is_kept(store) -> None:
    assert store.accepted() is None
    store.put_accepted(b"0", b"1", "a")
    store.put_accepted(b"1", b"2", "b")
    assert store.accepted() == (b"1", b"2", "b")


def test_only_the_owner_can_read_the_file_and_its_journal(store, path) -> None:
    with store.transaction():
        store.put_memory("a", b"one")
    files = list(path.parent.iterdir())
    assert len(files) >= 2
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_destroyed_store_is_overwritten_before_it_is_removed(path) -> None:
    store = PartyStore(path)
    secret = bytes(range(64, 96)) * 4
    with store.transaction():
        store.put_identity("a", secret)
        store.put_memory("a", secret)
        store.put_stage(b"sid", "a", "committed", secret)
        store.put_accepted(b"0", secret, "")
    assert any(secret in file.read_bytes() for file in path.parent.iterdir())
    second_name = path.parent / "second name of the same file"
    second_name.hardlink_to(path)
    store.destroy()
    assert list(path.parent.iterdir()) == [second_name]
    assert secret not in second_name.read_bytes()


def test_a_file_that_is_no_store_is_refused(path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(RunDirectoryError, match="is not a party store"):
        PartyStore(path)


def test_a_store_that_another_process_writes_to_is_said_to_be_unwritable(store, path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._connection.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(RunDirectoryError, match="cannot be written"), store.transaction():
        store.put_memory("a", b"one")
    other.execute("ROLLBACK")
    other.close()
    with store.transaction():
        store.put_memory("a", b"one")


def test_a_disk_that_is_full_stores_nothing_and_the_store_goes_on(store) -> None:
    store._connection.execute("PRAGMA max_page_count = 30")
    with store.transaction():
        store.put_memory("a", b"one")

    def overfill() -> None:
        with store.transaction():
            store.put_memory("a", b"two")
            store.put_memory("b", bytes(1 << 20))

    with pytest.raises(RunDirectoryError, match="free some space"):
        overfill()
    assert store.memory("a") == b"one"
    with store.transaction():
        store.put_memory("a", b"three")


def test_a_disk_that_is_full_when_the_journal_is_folded_in_is_one_clear_error(store, monkeypatch) -> None:
    class Full:
        def execute(self, *_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_connection", Full())
        with pytest.raises(RunDirectoryError, match=r"cannot be written .*disk is full.*free some space"):
            store.fold_journal()


def test_a_store_that_cannot_be_opened_is_not_called_foreign(path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        PartyStore(path)
