"""The ledger only grows, over what its writer read alone, and an end is written once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privateyes.aggregation.ledger import LedgerEntry, SessionEnd, require_unused
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import RefusedError, RunDirectoryError
from privateyes.storage.ledger_rows import LedgerRows
from privateyes.storage.store import PartyStore


@pytest.fixture(params=[1, 3], ids=["one folder", "three mirrors"])
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    return [tmp_path / f"{number}" for number in range(request.param)]


@pytest.fixture
def store(folders: list[Path]) -> Iterator[PartyStore]:
    opened = PartyStore.create(*folders)
    yield opened
    opened.close()


def entry(
    key: bytes = b"key", data_set: bytes = b"eyes", weights: bytes = b"W", number: int = 1, setup: bytes = b"setup"
) -> LedgerEntry:
    return LedgerEntry(key, data_set, weights, b"manifest", setup, number, b"state", NO_SESSION, b"header")


def add(store: PartyStore, *entries: LedgerEntry) -> None:
    """Each as by a task that has read the ledger right before."""
    for each in entries:
        store.ledger.append(each, store.ledger.at(each.weights, each.key, each.data_set))


def test_an_entry_is_found_by_its_weights_and_its_key_or_its_data_set_in_order(folders) -> None:
    store = PartyStore.create(*folders)
    entries = [
        entry(number=3),
        entry(),
        entry(key=b"other", number=2),
        entry(data_set=b"faces", number=4),
        entry(key=b"other", data_set=b"faces"),
        entry(weights=b"V", number=5),
    ]
    add(store, *entries)
    assert store.ledger.at(b"W", b"key", b"eyes") == entries[:4]
    assert store.ledger.at(b"W", b"key", b"") == [entries[0], entries[1], entries[3]]
    assert store.ledger.at(b"W", b"", b"eyes") == entries[:3]
    assert store.ledger.at(b"V", b"key", b"eyes") == entries[5:]
    assert store.ledger.at(b"U", b"key", b"eyes") == []
    assert store.ledger.from_weights(b"W") == entries[:5]
    assert store.ledger.of_session(b"other", entries[1].sid) == [entries[4]]
    assert store.ledger.of_session(b"third", entries[1].sid) == []
    store.close()
    again = PartyStore(*folders)
    assert again.ledger.at(b"W", b"key", b"eyes") == entries[:4]
    again.close()


def test_what_concerns_a_client_is_what_is_at_its_weights_what_is_not_settled_and_what_was_kept(store) -> None:
    at_weights, of_data_set, elsewhere = entry(), entry(key=b"other", number=2), entry(weights=b"V", number=3)
    settled, kept = entry(weights=b"V", number=4), entry(weights=b"V", number=5)
    strangers = [entry(key=b"other", weights=b"V", number=6), entry(key=b"other", data_set=b"faces", number=7)]
    add(store, at_weights, of_data_set, elsewhere, settled, kept, *strangers)
    for row in (settled, kept):
        store.ledger.end(replace(row, end=SessionEnd.VOID))
    concerning = store.ledger.concerning(b"key", b"eyes", b"W", [kept.sid])
    assert concerning == [at_weights, of_data_set, elsewhere, replace(kept, end=SessionEnd.VOID)]
    assert store.ledger.concerning(b"key", b"eyes", b"W", []) == concerning[:3]


def test_every_value_of_an_entry_is_read_back(store) -> None:
    whole = LedgerEntry(
        b"key", b"eyes", b"W", b"manifest", b"setup", 2**64 - 1, b"state", b"origin", b"header", SessionEnd.ACCEPTED
    )
    add(store, whole)
    assert store.ledger.from_weights(b"W") == [whole]


def test_a_session_has_one_entry_of_a_key(store) -> None:
    add(store, entry())
    with pytest.raises(RefusedError, match="already"):
        add(store, entry(weights=b"V"))
    assert store.ledger.at(b"W", b"key", b"eyes") == [entry()]
    assert store.ledger.at(b"V", b"key", b"eyes") == []


def two_tasks(folder: Path) -> set[bytes]:
    """Whom two tasks with keys of their own submit for that share a data set, and read its ledger at the same time."""
    submitted = set()
    with closing(PartyStore.create(folder)) as store:
        both = [(store.ledger.at(b"W", key, b"eyes"), key) for key in (b"one", b"two")]
        for seen, key in both:
            require_unused(seen)
            with suppress(RefusedError), store.transaction():
                store.ledger.append(entry(key=key, setup=key), seen)
                submitted.add(key)
    return submitted


def test_of_two_tasks_that_find_the_weights_unused_one_submits(tmp_path) -> None:
    assert two_tasks(tmp_path) == {b"one"}


def test_if_what_was_seen_is_not_compared_both_submit_from_one_model(tmp_path, monkeypatch) -> None:
    append = LedgerRows.append
    monkeypatch.setattr(
        LedgerRows,
        "append",
        lambda self, entry, _: append(self, entry, self.at(entry.weights, entry.key, entry.data_set)),
    )
    assert two_tasks(tmp_path) == {b"one", b"two"}


def test_outside_a_transaction_too_nobody_writes_between_the_comparison_and_the_entry(tmp_path, monkeypatch) -> None:
    at = LedgerRows.at
    with closing(PartyStore.create(tmp_path)) as store:

        def overtaken(self: LedgerRows, *of: bytes) -> list[LedgerEntry]:
            found = at(self, *of)
            with monkeypatch.context() as patched:
                patched.setattr(LedgerRows, "at", at)
                with pytest.raises(RunDirectoryError, match="a transaction is open already"), store.transaction():
                    raise AssertionError("somebody else writes")
            return found

        monkeypatch.setattr(LedgerRows, "at", overtaken)
        store.ledger.append(entry(), [])
        assert at(store.ledger, b"W", b"key", b"eyes") == [entry()]


def test_an_entry_is_refused_if_one_in_its_way_was_settled_since_and_not_for_anything_else(store) -> None:
    add(store, entry(), entry(key=b"stranger", data_set=b"faces"))
    seen = store.ledger.from_weights(b"W")
    add(store, entry(key=b"stranger", data_set=b"faces", number=2), entry(weights=b"V", number=2))
    store.ledger.append(entry(number=3), seen)
    seen = store.ledger.from_weights(b"W")
    store.ledger.end(replace(entry(), end=SessionEnd.VOID))
    with pytest.raises(RefusedError, match="another task has submitted from these weights, or settled what was"):
        store.ledger.append(entry(number=4), seen)
    assert [one.round for one in store.ledger.at(b"W", b"key", b"eyes")] == [1, 3]


@pytest.mark.parametrize("end", [SessionEnd.VOID, SessionEnd.ACCEPTED])
def test_an_end_is_written_once_and_nothing_else_of_an_entry_changes(store, end) -> None:
    add(store, entry(), entry(number=2), entry(key=b"other"))
    store.ledger.end(replace(entry(), end=end))
    store.ledger.end(replace(entry(), end=end))
    for other in set(SessionEnd) - {end}:
        with pytest.raises(RefusedError, match="no entry"):
            store.ledger.end(replace(entry(), end=other))
    assert store.ledger.at(b"W", b"key", b"eyes") == [
        replace(entry(), end=end),
        entry(number=2),
        entry(key=b"other"),
    ]
    for unknown in (entry(key=b"third"), entry(number=3)):
        with pytest.raises(RefusedError, match="no entry"):
            store.ledger.end(replace(unknown, end=end))


def test_an_end_that_there_is_not_is_not_stored(store) -> None:
    lost: Any = 3
    with pytest.raises(RunDirectoryError):
        add(store, replace(entry(), end=lost))
    add(store, entry())
    with pytest.raises(RunDirectoryError):
        store.ledger.end(replace(entry(), end=lost))
    assert store.ledger.at(b"W", b"key", b"eyes") == [entry()]


def test_an_entry_and_the_memory_are_stored_together_or_not_at_all(store) -> None:
    def submit(version: int) -> None:
        with store.transaction():
            add(store, entry())
            store.put_memory("client a", b"body", version)

    with pytest.raises(RefusedError):
        submit(7)
    assert store.ledger.at(b"W", b"key", b"eyes") == []
    submit(1)
    assert store.ledger.at(b"W", b"key", b"eyes") == [entry()]


def test_an_entry_survives_the_end_of_its_session(store) -> None:
    add(store, entry())
    store.put_stage(entry().sid, "client a", "kept", b"header")
    store.clear_stages()
    assert store.ledger.at(b"W", b"key", b"eyes") == [entry()]
