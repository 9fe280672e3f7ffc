"""One party's part of a store: a view shows one moment, a write is all or nothing, and what is erased is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.keys import GroupKey
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, ClientMemory, TrainingState
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import MalformedError, RefusedError, RunDirectoryError
from privateyes.parties.effects import View, Write
from privateyes.storage import sealed_file
from privateyes.storage.mirror import BODIES_NAME
from privateyes.storage.party import Prepared, StoredParty, write_together
from privateyes.storage.store import PartyStore

TASK, OWNER = b"T" * 32, (b"key", b"eyes")
WEIGHTS = b"W" * 32
AGGREGATOR = AggregatorMemory(1, BoundSetup(b"U" * 32, 1, 1))
GROUP = GroupKey(b"U" * 32, b"K" * 32, True)
CLIENT = ClientMemory(1, GROUP, (), (), TrainingState(b"D" * 32, WEIGHTS, 0), frozenset())
SHARE = np.arange(5000, dtype="<u4")


@pytest.fixture(params=[1, 3], ids=["one folder", "three mirrors"])
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    return [tmp_path / f"{number}" for number in range(request.param)]


@pytest.fixture
def store(folders: list[Path]) -> Iterator[PartyStore]:
    opened = PartyStore.create(*folders)
    yield opened
    opened.close()


@pytest.fixture
def aggregator(store: PartyStore) -> StoredParty:
    return store.party("aggregator 1", TASK)


@pytest.fixture
def client(store: PartyStore) -> StoredParty:
    return store.party("client a", TASK, OWNER)


def entry(number: int = 1, weights: bytes = WEIGHTS) -> LedgerEntry:
    return LedgerEntry(*OWNER, weights, TASK, b"setup", number, b"state", NO_SESSION, b"header")


def remembering(memory: Any, bodies: dict[tuple[str, bytes], Any] | None = None, *rows: LedgerEntry) -> Write:
    return Write({("memory", TASK): memory, **(bodies or {})}, rows)


def put(part: StoredParty, what: Write) -> None:
    part.write(part.read(), what)


def disk_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def shown(view: View) -> dict[tuple[str, bytes], Any]:
    """Every body, arrays as bytes."""
    return {name: bytes(body) if name[0] in ("share", "update") else body for name, body in view.bodies.items()}


# What is shown


def test_a_fresh_part_is_empty(aggregator: StoredParty, client: StoredParty) -> None:
    for part in (aggregator, client):
        view = part.read()
        assert (dict(view.bodies), view.rows, part.memory) == ({}, (), None)
        assert view.get("memory", TASK) is None


def test_what_was_written_is_shown_after_reopening_too(folders: list[Path]) -> None:
    store = PartyStore.create(*folders)
    part, large = store.party("client a", TASK, OWNER), bytes(range(256)) * 300
    bodies = {("kept", b"1"): b"header", ("update", b"1"): SHARE, ("model", TASK): large, ("opening", b"2"): b""}
    put(part, remembering(CLIENT, bodies, entry()))
    expected = {
        ("memory", TASK): CLIENT, ("kept", b"1"): b"header", ("update", b"1"): SHARE.tobytes(),
        ("model", TASK): large, ("opening", b"2"): b"",
    }  # fmt: skip
    assert shown(part.read()) == expected
    assert part.read().rows == (entry(),)
    store.close()
    again = PartyStore(*folders)
    reopened = again.party("client a", TASK, OWNER)
    assert shown(reopened.read()) == expected
    assert reopened.memory == CLIENT
    assert reopened.read().rows == (entry(),)
    again.close()


def test_each_party_is_shown_its_own(store: PartyStore, aggregator: StoredParty, client: StoredParty) -> None:
    put(aggregator, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    put(client, remembering(CLIENT, {("kept", b"1"): b"header"}, entry()))
    assert sorted(kind for kind, _ in aggregator.read().bodies) == ["memory", "share"]
    assert aggregator.read().rows == ()
    assert sorted(kind for kind, _ in client.read().bodies) == ["kept", "memory"]
    other = store.party("client b", TASK, (b"other", b"eyes"))
    put(other, remembering(CLIENT))
    assert other.read().rows == (entry(),), "of the same data set, at the same weights"
    stranger = store.party("client c", TASK, (b"third", b"faces"))
    put(stranger, remembering(CLIENT))
    assert stranger.read().rows == ()


def test_a_view_stays_as_it_was_read(client: StoredParty) -> None:
    put(client, remembering(CLIENT, {("kept", b"1"): b"header"}, entry()))
    before = client.read()
    put(client, remembering(CLIENT.next(last_round=5), {("kept", b"1"): None, ("kept", b"2"): b"other"}, entry(2)))
    assert dict(before.bodies) == {("memory", TASK): CLIENT, ("kept", b"1"): b"header"}
    assert before.rows == (entry(),)
    assert ("kept", b"1") not in client.read().bodies


def test_of_the_ledger_what_is_settled_elsewhere_is_shown_as_long_as_something_of_it_is_kept(
    client: StoredParty,
) -> None:
    elsewhere = entry(1, b"V" * 32)
    put(client, remembering(CLIENT, {("kept", elsewhere.sid): b"header"}, elsewhere))
    settled = replace(elsewhere, end=SessionEnd.ACCEPTED)
    put(client, remembering(CLIENT.next(), {}, settled))
    assert client.read().rows == (settled,)
    put(client, remembering(CLIENT.next().next(), {("kept", elsewhere.sid): None}))
    assert client.read().rows == ()


def test_a_share_is_not_read_back_from_disk_in_the_process_that_made_it(
    aggregator: StoredParty, store: PartyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(aggregator, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    read, read_large = [], PartyStore.read_large
    monkeypatch.setattr(PartyStore, "read_large", lambda self, body: read.append(body) or read_large(self, body))
    assert aggregator.read().get("share", b"1") is SHARE
    assert not read
    aggregator.forget()
    assert aggregator.read().get("share", b"1") == SHARE.tobytes()
    assert len(read) == 1
    put(aggregator, remembering(AGGREGATOR.next(), {("share", b"1"): None}))
    assert aggregator.read().get("share", b"1") is None


def test_looking_what_is_there_opens_nothing(aggregator: StoredParty, folders: list[Path]) -> None:
    put(aggregator, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    aggregator.forget()
    for folder in folders:
        (file,) = (folder / BODIES_NAME).iterdir()
        file.unlink()
    view = aggregator.read()
    assert ("share", b"1") in view.bodies
    assert len(view.bodies) == 2
    with pytest.raises(RunDirectoryError, match="is not what the party stored"):
        view.get("share", b"1")


# One of two writers


def test_of_two_handlers_that_read_one_view_one_stores_and_the_other_learns_it(aggregator: StoredParty) -> None:
    put(aggregator, remembering(AGGREGATOR))
    seen = aggregator.read()
    first, second = (AGGREGATOR.next(terminal={bytes([number]): True}) for number in (1, 2))
    aggregator.write(seen, remembering(first))
    with pytest.raises(RefusedError, match="another handler wrote first"):
        aggregator.write(seen, remembering(second, {("share", b"1"): SHARE}))
    assert aggregator.memory == first
    assert sorted(kind for kind, _ in aggregator.read().bodies) == ["memory"]


def test_who_could_not_write_looks_at_the_disk_again(store: PartyStore, aggregator: StoredParty) -> None:
    """Another process may have been first, or the disk failed after the commit: nobody knows until it is read."""
    put(aggregator, remembering(AGGREGATOR))
    view, later = aggregator.read(), replace(AGGREGATOR, version=2)
    with store.transaction():
        store.put_memory("aggregator 1", later.to_bytes(), 2)
    with pytest.raises(RefusedError):
        aggregator.write(view, remembering(later))
    assert aggregator.read().get("memory", TASK) == later
    put(aggregator, remembering(replace(later, version=3)))


@pytest.mark.parametrize("first_stores", [True, False], ids=["after the first stored", "before"])
def test_the_second_of_two_handlers_does_not_write_over_what_the_first_committed_to(
    store: PartyStore, aggregator: StoredParty, first_stores: bool
) -> None:
    view = aggregator.read()
    write = remembering(AGGREGATOR, {("share", b"1"): SHARE})
    first = aggregator.prepare(view, write)
    if first_stores:
        write_together(store, [(aggregator, first)])
    second = aggregator.prepare(view, remembering(AGGREGATOR, {("share", b"1"): SHARE + 1}))
    if not first_stores:
        write_together(store, [(aggregator, first)])
    with pytest.raises((RefusedError, RunDirectoryError)):
        write_together(store, [(aggregator, second)])
    assert shown(aggregator.read())["share", b"1"] == SHARE.tobytes()


def test_a_file_is_free_again_once_nobody_will_store_what_is_in_it(aggregator: StoredParty) -> None:
    files = set()
    for _ in range(3):
        prepared = aggregator.prepare(aggregator.read(), remembering(AGGREGATOR, {("share", b"1"): SHARE}))
        files.add(prepared.large["share", b"1"].file)
        del prepared
    assert len(files) == 1


def test_a_submission_is_refused_if_another_task_wrote_at_its_weights_since(store: PartyStore) -> None:
    parts = [store.party(f"client {name}", TASK, (name.encode(), b"eyes")) for name in "ab"]
    for part in parts:
        put(part, remembering(CLIENT))
    views = [part.read() for part in parts]
    rows = [replace(entry(number), key=name) for number, name in ((1, b"a"), (2, b"b"))]
    parts[0].write(views[0], remembering(CLIENT.next(), {("kept", b"1"): b"header"}, rows[0]))
    with pytest.raises(RefusedError, match="another task has submitted from these weights"):
        parts[1].write(views[1], remembering(CLIENT.next(), {("kept", b"2"): b"header"}, rows[1]))
    assert parts[1].memory == CLIENT
    assert parts[1].read().rows == (rows[0],)
    assert parts[1].read().get("kept", b"2") is None


def test_two_tasks_have_parts_of_their_own_and_one_ledger(folders: list[Path]) -> None:
    store, other = PartyStore.create(*folders), b"O" * 32
    first, second = store.party("client a", TASK, OWNER), store.party("client a, eyes 2", other, OWNER)
    later = replace(CLIENT, state=replace(CLIENT.state, counter=7))
    put(first, remembering(CLIENT, {("kept", b"1"): b"header"}, entry()))
    put(second, Write({("memory", other): later, ("kept", b"2"): b"header"}))
    store.close()
    store = PartyStore(*folders)
    first, second = store.party("client a", TASK, OWNER), store.party("client a, eyes 2", other, OWNER)
    assert (first.memory, second.memory) == (CLIENT, later)
    assert ("kept", b"2") not in first.read().bodies
    assert second.read().rows == (entry(),), "what the key submitted in the first task"
    store.close()


@pytest.mark.parametrize("name", ["client a", "hub"])
@pytest.mark.parametrize("when", ["before a word", "after a word", "after reopening"])
def test_a_part_of_one_task_is_not_taken_for_one_of_another(folders: list[Path], name: str, when: str) -> None:
    store = PartyStore.create(*folders)
    part = store.party(name, TASK, OWNER)
    if when != "before a word":
        put(part, Write({("opening", b"1"): b"words"}))
    if when == "after reopening":
        store.close()
        store = PartyStore(*folders)
    with pytest.raises(RefusedError, match=f"the part '{name}' of this store is of another task"):
        store.party(name, b"O" * 32, OWNER)
    store.close()


@pytest.mark.parametrize("name", ["task 7: aggregator 1", "../../escaped 1", "a/b 1", "..", "client-1 2", "x" * 5000])
def test_a_part_may_have_any_name_and_its_files_stay_in_the_store(folders: list[Path], name: str) -> None:
    store = PartyStore.create(*folders)
    part, client = store.party(name, TASK), store.party(f"{name}, client", TASK, OWNER)
    put(part, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    put(client, remembering(CLIENT, {("update", b"1"): SHARE + 1}))
    store.close()
    found = {
        file for file in folders[0].parent.rglob("*") if file.is_file() and not file.name.startswith("parties.sqlite")
    }
    assert {file.parent for file in found} == {folder / BODIES_NAME for folder in folders}
    store = PartyStore(*folders)
    assert store.party(name, TASK).memory == AGGREGATOR
    assert store.party(f"{name}, client", TASK, OWNER).memory == CLIENT
    assert shown(store.party(name, TASK).read())["share", b"1"] == SHARE.tobytes()
    store.close()


def test_what_nobody_saw_is_not_replaced_and_what_was_seen_is(client: StoredParty) -> None:
    put(client, remembering(CLIENT, {("model", TASK): b"first", ("update", b"1"): SHARE}))
    put(client, remembering(CLIENT.next(), {("model", TASK): b"second", ("update", b"1"): SHARE[::-1].copy()}))
    assert shown(client.read()) == {
        ("memory", TASK): CLIENT.next(), ("model", TASK): b"second", ("update", b"1"): SHARE[::-1].tobytes(),
    }  # fmt: skip
    blind = replace(client.read(), bodies={}, rows=())
    with pytest.raises(RunDirectoryError, match="was shown another store"):
        client.write(blind, remembering(CLIENT.next().next(), {("update", b"1"): SHARE}))
    fresh = Prepared(View({}), remembering(CLIENT.next().next(), {("model", TASK): b"third"}), {})
    with pytest.raises(RunDirectoryError, match="client a is past model"):
        write_together(client._store, [(client, fresh)])
    assert client.read().get("model", TASK) == b"second"


# Together, or not at all


def test_several_parties_write_all_or_nothing_and_remember_what_is_stored(
    store: PartyStore, aggregator: StoredParty, client: StoredParty
) -> None:
    def both(besides: Any = ()) -> None:
        writes = [
            (aggregator, aggregator.prepare(aggregator.read(), remembering(AGGREGATOR, {("share", b"1"): SHARE}))),
            (client, client.prepare(client.read(), remembering(CLIENT, {}, entry()))),
        ]
        write_together(store, writes, besides)

    def fail() -> None:
        raise RunDirectoryError("the disk is full")

    with pytest.raises(RunDirectoryError, match="the disk is full"):
        both([fail])
    for part in (aggregator, client):
        assert (part.memory, dict(part.read().bodies), part.read().rows) == (None, {}, ())
    before = store.generation
    both([lambda: store.put_stage(b"1", "clients", "clipped", b"3")])
    assert store.generation == before + 1, "one transaction"
    assert (aggregator.memory, client.memory) == (AGGREGATOR, CLIENT)
    assert store.stages(b"1", "clipped") == {"clients": b"3"}


def test_a_body_that_could_not_be_written_changes_nothing(
    aggregator: StoredParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(sealed_file.os, "fsync", full)
        with pytest.raises(RunDirectoryError, match=r"cannot be written .*free some space"):
            put(aggregator, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    assert dict(aggregator.read().bodies) == {}
    put(aggregator, remembering(AGGREGATOR, {("share", b"1"): SHARE}))
    assert aggregator.read().get("share", b"1") is SHARE


def test_a_damaged_memory_is_said_to_be_damaged(aggregator: StoredParty, store: PartyStore) -> None:
    put(aggregator, remembering(AGGREGATOR))
    store._mirrors.write("UPDATE memory SET body = ?", (b"{}",))
    aggregator.forget()
    with pytest.raises(MalformedError, match="an aggregator's memory is damaged"):
        aggregator.read()


# Files, and what is left of them


def test_an_update_is_sealed_in_every_mirror(client: StoredParty, folders: list[Path]) -> None:
    put(client, remembering(CLIENT, {("update", b"1"): SHARE, ("kept", b"1"): b"header"}, entry()))
    for folder in folders:
        (file,) = (folder / BODIES_NAME).iterdir()
        assert file.stat().st_size == SHARE.nbytes
        assert SHARE.tobytes()[:64] not in disk_of(folder)


def test_what_is_erased_is_gone_from_every_disk_and_its_file_is_used_again(
    client: StoredParty, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes] = []
    fresh = sealed_file.secrets.token_bytes
    monkeypatch.setattr(sealed_file.secrets, "token_bytes", lambda count: keys.append(fresh(count)) or keys[-1])
    put(client, remembering(CLIENT, {("update", b"1"): SHARE, ("kept", b"1"): b"the key of session 1"}, entry()))
    assert all(keys[0] in disk_of(folder) for folder in folders), "or this proves nothing"
    put(client, remembering(CLIENT.next(), {("update", b"1"): None, ("kept", b"1"): None}))
    for folder in folders:
        assert keys[0] not in disk_of(folder)
        assert b"the key of session 1" not in disk_of(folder)
    put(client, remembering(CLIENT.next().next(), {("update", b"2"): SHARE}))
    assert all(len(list((folder / BODIES_NAME).iterdir())) == 1 for folder in folders)


def test_a_file_that_a_row_names_is_not_written_to(client: StoredParty) -> None:
    put(client, remembering(CLIENT, {("update", b"1"): SHARE, ("update", b"2"): SHARE + 1}))
    put(client, remembering(CLIENT.next(), {("update", b"3"): SHARE + 2}))
    view = client.read()
    assert [view.get("update", sid) for sid in (b"1", b"2", b"3")] == [(SHARE + add).tobytes() for add in range(3)]


def test_parties_whose_names_a_file_system_would_mix_up_have_files_of_their_own(store: PartyStore) -> None:
    names = ["client a/b", "client a-b", "client a b", "client ../b", "client A-b", "client 7", "client " + "x" * 500]
    for number, name in enumerate(names):
        part = store.party(name, TASK, OWNER)
        put(part, remembering(CLIENT, {("update", b"1"): SHARE + number}))
    for number, name in enumerate(names):
        view = store.party(name, TASK, OWNER).read()
        assert view.get("update", b"1") == (SHARE + number).tobytes()
