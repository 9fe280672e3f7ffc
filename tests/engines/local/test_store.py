"""The parties' store: all or nothing, one word for each stage, private to its owner, and gone when it is erased."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from privateyes.engines.local import sealed_file
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


def keep(store: PartyStore, sid: bytes, party: str, stage: str, body: bytes) -> None:
    (written,) = store.write_large({(party, stage): [body]})
    with store.transaction():
        store.put_large(sid, written)


def accept(store: PartyStore, before: bytes, round_number: int, body: bytes, report: str = "{}") -> None:
    written = store.write_state([body])
    with store.transaction():
        store.put_accepted(before, round_number, written, report)


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.rglob("*")) if file.is_file())


def test_what_a_transaction_stored_is_there_after_reopening(path) -> None:
    first = PartyStore(path)
    with first.transaction():
        first.put_identity("a", b"seed")
        first.put_memory("a", b"one")
        first.put_stage(b"sid", "a", "agreed", b"body")
        first.put_manifest("leader = 1")
    keep(first, b"sid", "a", "committed", b"a large body")
    accept(first, b"before", 4, b"after", "{}")
    first._connection.close()  # a kill folds no journal in
    second = PartyStore(path)
    assert second.identities() == {"a": b"seed"}
    assert second.memory("a") == b"one"
    assert second.manifest() == "leader = 1"
    assert second.stages(b"sid", "agreed") == {"a": b"body"}
    assert second.large(b"sid", "a", "committed") == b"a large body"
    assert second.accepted_after(b"before") == (b"after", "{}")
    assert second.accepted_round() == 4
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


def test_a_manifest_is_pinned_once(store) -> None:
    assert store.manifest() is None
    with store.transaction():
        store.put_manifest("leader = 1")
    with pytest.raises(RunDirectoryError), store.transaction():
        store.put_manifest("leader = 2")
    assert store.manifest() == "leader = 1"


def test_stages_are_cleared_for_one_party_or_for_all(store) -> None:
    for party in ("a", "b"):
        store.put_stage(b"sid", party, "agreed", b"body")
        keep(store, b"sid", party, "committed", party.encode())
    store.clear_stages_of("a")
    assert store.stages(b"sid", "agreed") == {"b": b"body"}
    assert store.large(b"sid", "a", "committed") is None
    assert store.large(b"sid", "b", "committed") == b"b"
    assert store.clear_stages()
    assert store.stages(b"sid", "agreed") == {}
    assert store.large(b"sid", "b", "committed") is None
    assert not store.clear_stages()


def test_a_large_body_is_on_disk_once_and_sealed(store, path) -> None:
    body = bytes(range(256)) * 4096
    keep(store, b"sid", "aggregator 1", "committed", body)
    assert store.large(b"sid", "aggregator 1", "committed") == body
    assert store.large(b"another sid", "aggregator 1", "committed") is None
    assert body[:64] not in bytes_on_disk(path)
    assert len(bytes_on_disk(path)) < len(body) + 200_000


def test_a_party_has_one_large_body_of_a_stage_and_its_file_is_not_overwritten(store) -> None:
    keep(store, b"sid", "a", "committed", b"first")
    with pytest.raises(RunDirectoryError, match="a is past committed"):
        store.write_large({("b", "committed"): [b"other"], ("a", "committed"): [b"second"]})
    assert store.large(b"sid", "a", "committed") == b"first"
    written = store.write_large({("b", "committed"): [b"other"]})
    with store.transaction():
        store.put_large(b"sid", written[0])
    with pytest.raises(RunDirectoryError, match="b is past committed"), store.transaction():
        store.put_large(b"sid", written[0])


def test_an_erased_body_cannot_be_read_from_what_is_left_on_the_disk(path, monkeypatch) -> None:
    keys = []
    fresh = sealed_file.secrets.token_bytes
    monkeypatch.setattr(sealed_file.secrets, "token_bytes", lambda count: keys.append(fresh(count)) or keys[-1])
    store = PartyStore(path)
    keep(store, b"sid", "a", "committed", b"a share" * 1000)
    assert keys[0] in bytes_on_disk(path)
    file = next((path.parent / "parties.bodies").iterdir())
    sealed = file.read_bytes()
    with store.transaction():
        store.clear_stages()
    assert keys[0] in bytes_on_disk(path), "until it is folded in, the journal holds the key: or this proves nothing"
    store.fold_journal()
    assert file.read_bytes() == sealed
    assert keys[0] not in bytes_on_disk(path)
    store.close()


def test_what_a_kill_left_unnamed_is_removed_when_the_store_is_opened(path) -> None:
    store = PartyStore(path)
    keep(store, b"sid", "a", "committed", b"named")
    store.write_large({("b", "committed"): [b"unnamed"]})
    store._connection.close()
    store = PartyStore(path)
    assert [file.name for file in (path.parent / "parties.bodies").iterdir()] == ["a.committed"]
    assert store.large(b"sid", "a", "committed") == b"named"
    store.clear_stages()
    store.close()
    assert not list((path.parent / "parties.bodies").iterdir())


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


def test_only_the_owner_can_read_the_file_and_its_journal(store, path) -> None:
    with store.transaction():
        store.put_memory("a", b"one")
    keep(store, b"sid", "a", "committed", b"body")
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    assert len(files) >= 3
    assert stat.S_IMODE((path.parent / "parties.bodies").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_destroyed_store_is_overwritten_before_it_is_removed(path) -> None:
    store = PartyStore(path)
    secret = bytes(range(64, 96)) * 4
    with store.transaction():
        store.put_identity("a", secret)
        store.put_memory("a", secret)
        store.put_stage(b"sid", "a", "agreed", secret)
    keep(store, b"sid", "a", "committed", secret)
    accept(store, b"0", 1, secret)
    assert secret in bytes_on_disk(path)
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


def test_a_store_of_another_version_is_refused_and_left_as_it_is(path) -> None:
    PartyStore(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 1")
    other.close()
    before = path.read_bytes()
    with pytest.raises(RunDirectoryError, match=r"another version of privateyes \(store 1, not 2\); finish the run"):
        PartyStore(path)
    assert path.read_bytes() == before


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


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        PartyStore(tmp_path / "file" / "parties.sqlite")


def test_a_disk_that_is_full_while_a_large_body_is_written_loses_nothing(store, monkeypatch) -> None:
    keep(store, b"sid", "a", "committed", b"first")
    accept(store, b"0", 1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(sealed_file.os, "fsync", _full)
        with pytest.raises(RunDirectoryError, match=r"b\.committed cannot be written .*free some space"):
            store.write_large({("b", "committed"): [b"second"]})
        with pytest.raises(RunDirectoryError, match="accepted-1 cannot be written"):
            store.write_state([b"two"])
    assert store.large(b"sid", "a", "committed") == b"first"
    assert store.accepted_after(b"0") == (b"one", "{}")
    keep(store, b"sid", "b", "committed", b"second")
    assert store.large(b"sid", "b", "committed") == b"second"


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
