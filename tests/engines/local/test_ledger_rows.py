"""The ledger only grows, and an outcome is written once; what was sent is kept until it is erased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from privateyes.engines.local import sealed_file
from privateyes.engines.local.ledger_rows import ACCEPTED, UNKNOWN, VOID, LedgerRow
from privateyes.engines.local.mirror import BODIES_NAME
from privateyes.engines.local.store import PartyStore
from privateyes.errors import RefusedError, RunDirectoryError


@pytest.fixture(params=[1, 3], ids=["one folder", "three mirrors"])
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    return [tmp_path / f"{number}" for number in range(request.param)]


@pytest.fixture
def store(folders: list[Path]) -> Iterator[PartyStore]:
    opened = PartyStore.create(*folders)
    yield opened
    opened.close()


def row(key: bytes = b"key", data_set: bytes = b"eyes", weights: bytes = b"W", sid: bytes = b"1") -> LedgerRow:
    return LedgerRow(key, data_set, weights, b"manifest", sid, b"none", b"header")


def keep(store: PartyStore, party: str, weights: bytes, *pieces: bytes) -> None:
    with store.kept.sink(party, weights) as sink:
        for piece in pieces:
            sink.write(piece)
        store.kept.put_update(sink.finish())


def test_an_entry_is_found_by_its_weights_and_its_key_or_its_data_set_in_order(folders) -> None:
    store = PartyStore.create(*folders)
    rows = [
        row(sid=b"3"),
        row(sid=b"1"),
        row(key=b"other", sid=b"2"),
        row(data_set=b"faces", sid=b"4"),
        row(key=b"other", data_set=b"faces"),
        row(weights=b"V", sid=b"5"),
    ]
    for each in rows:
        store.ledger.append(each)
    assert store.ledger.at(b"W", b"key", b"eyes") == rows[:4]
    assert store.ledger.at(b"W", b"key", b"") == [rows[0], rows[1], rows[3]]
    assert store.ledger.at(b"W", b"", b"eyes") == rows[:3]
    assert store.ledger.at(b"V", b"key", b"eyes") == rows[5:]
    assert store.ledger.at(b"U", b"key", b"eyes") == []
    store.close()
    again = PartyStore(*folders)
    assert again.ledger.at(b"W", b"key", b"eyes") == rows[:4]
    again.close()


def test_a_session_has_one_entry_of_a_key(store) -> None:
    store.ledger.append(row())
    with pytest.raises(RefusedError, match="already"):
        store.ledger.append(row(weights=b"V"))
    assert store.ledger.at(b"W", b"key", b"eyes") == [row()]
    assert store.ledger.at(b"V", b"key", b"eyes") == []


@pytest.mark.parametrize("outcome", [VOID, ACCEPTED])
def test_an_outcome_is_written_once_and_nothing_else_of_an_entry_changes(store, outcome) -> None:
    store.ledger.append(row())
    store.ledger.append(row(sid=b"2"))
    store.ledger.settle(b"key", b"1", outcome)
    store.ledger.settle(b"key", b"1", outcome)
    for other in {UNKNOWN, VOID, ACCEPTED} - {outcome}:
        with pytest.raises(RefusedError, match="no entry"):
            store.ledger.settle(b"key", b"1", other)
    assert store.ledger.at(b"W", b"key", b"") == [row()._replace(outcome=outcome), row(sid=b"2")]
    for key, sid in ((b"other", b"1"), (b"key", b"3")):
        with pytest.raises(RefusedError, match="no entry"):
            store.ledger.settle(key, sid, outcome)


def test_an_outcome_that_there_is_not_is_not_stored(store) -> None:
    with pytest.raises(RunDirectoryError):
        store.ledger.append(row()._replace(outcome="lost"))
    store.ledger.append(row())
    with pytest.raises(RunDirectoryError):
        store.ledger.settle(b"key", b"1", "lost")
    assert store.ledger.at(b"W", b"key", b"eyes") == [row()]


def test_an_entry_and_the_memory_are_stored_together_or_not_at_all(store) -> None:
    def submit(version: int) -> None:
        with store.transaction():
            store.ledger.append(row())
            store.put_memory("client a", b"body", version)

    with pytest.raises(RefusedError):
        submit(7)
    assert store.ledger.at(b"W", b"key", b"eyes") == []
    submit(1)
    assert store.ledger.at(b"W", b"key", b"eyes") == [row()]


def test_an_entry_survives_the_end_of_its_session(store) -> None:
    store.ledger.append(row())
    keep(store, "client a", b"W", b"q")
    store.clear_stages()
    store.kept.erase("client a", b"W")
    assert store.ledger.at(b"W", b"key", b"eyes") == [row()]


def test_an_update_is_kept_once_for_all_sessions_of_a_chain(folders) -> None:
    store = PartyStore.create(*folders)
    update = bytes(range(256)) * 4000
    keep(store, "client a", b"W", update[:7], b"", update[7:900_000], update[900_000:])
    for sid in (b"2", b"1"):
        store.kept.put("client a", sid, b"W", b"header of " + sid)
    with pytest.raises(RefusedError, match="already"):
        store.kept.put("client a", b"1", b"W", b"another")
    store.close()
    again = PartyStore(*folders)
    assert again.kept.update("client a", b"W") == update
    assert list(again.kept.at("client a", b"W").items()) == [(b"2", b"header of 2"), (b"1", b"header of 1")]
    assert again.kept.update("client b", b"W") is None
    assert again.kept.at("client b", b"W") == {}
    for folder in folders:
        (file,) = (folder / BODIES_NAME).iterdir()
        assert file.stat().st_size == len(update)
        assert update[:64] not in file.read_bytes()
    again.close()


def test_nothing_is_kept_of_a_submission_without_its_update(store) -> None:
    with pytest.raises(RefusedError, match="keeps no update"):
        store.kept.put("client a", b"1", b"W", b"header")
    keep(store, "client a", b"V", b"q")
    with pytest.raises(RefusedError, match="keeps no update"):
        store.kept.put("client a", b"1", b"W", b"header")


def test_a_second_update_from_the_same_weights_is_refused_before_anything_is_overwritten(store) -> None:
    keep(store, "client a", b"W", b"first")
    with pytest.raises(RefusedError, match="keeps an update from these weights"), store.kept.sink("client a", b"W"):
        pytest.fail("it must not get this far")
    with store.kept.sink("client a", b"V") as sink:
        sink.write(b"other")
        other = sink.finish()
    store.kept.put_update(other)
    with pytest.raises(RefusedError, match="keeps an update"):
        store.kept.put_update(other)
    assert store.kept.update("client a", b"W") == b"first"
    assert store.kept.update("client a", b"V") == b"other"


def test_parties_whose_names_a_file_system_would_mix_up_keep_updates_of_their_own(store) -> None:
    names = ["client a/b", "client a-b", "client a b", "client ../b", "client A-b", "client " + "x" * 500]
    for name in names:
        keep(store, name, b"W", name.encode())
    assert [store.kept.update(name, b"W") for name in names] == [name.encode() for name in names]


def test_what_is_erased_is_gone_from_every_disk_and_its_file_is_used_again(store, folders, monkeypatch) -> None:
    keys: list[bytes] = []
    fresh = sealed_file.secrets.token_bytes
    monkeypatch.setattr(sealed_file.secrets, "token_bytes", lambda count: keys.append(fresh(count)) or keys[-1])
    keep(store, "client a", b"W", b"q" * 1000)
    store.kept.put("client a", b"1", b"W", b"the key of session 1")
    assert store.kept.erase("client a", b"W")
    store.fold_journal()
    assert not store.kept.erase("client a", b"W")
    assert store.kept.update("client a", b"W") is None
    assert store.kept.at("client a", b"W") == {}
    for folder in folders:
        disk = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
        assert keys[0] not in disk
        assert b"the key of session 1" not in disk
    keep(store, "client a", b"V", b"r")
    assert all(len(list((folder / BODIES_NAME).iterdir())) == 1 for folder in folders)


def test_an_update_that_could_not_be_written_is_not_kept(store, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sealed_file.os, "fsync", full)
        with pytest.raises(RunDirectoryError, match=r"cannot be written .*free some space"):
            keep(store, "client a", b"W", b"q")
    assert store.kept.update("client a", b"W") is None
    keep(store, "client a", b"W", b"q")
    assert store.kept.update("client a", b"W") == b"q"
