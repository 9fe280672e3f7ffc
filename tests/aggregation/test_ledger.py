"""A ledger lets one update out of a data set for each model that it was made from."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from privateyes.aggregation.keys import session_id
from privateyes.aggregation.ledger import (
    LedgerEntry,
    SessionEnd,
    at_weights,
    chain_of,
    ended,
    is_void,
    require_unused,
    unsettled,
)
from privateyes.aggregation.messages import CLOSING, NO_SESSION, OPENED, VOID, Closing
from privateyes.errors import RefusedError

KEY, DATA, WEIGHTS, MANIFEST, OTHER = (bytes([value]) * 32 for value in range(1, 6))
SETUP, STATE, HEADER = bytes([7]) * 32, bytes([8]) * 32, bytes([9]) * 32
UNKNOWN, ACCEPTED = SessionEnd.UNKNOWN, SessionEnd.ACCEPTED


def _entry(number: int = 0, end: SessionEnd = UNKNOWN, **changes) -> LedgerEntry:
    plain = LedgerEntry(KEY, DATA, WEIGHTS, MANIFEST, SETUP, number, STATE, NO_SESSION, HEADER, end)
    return replace(plain, **changes)


def _here(*entries: LedgerEntry) -> tuple[LedgerEntry, ...]:
    return at_weights(entries, WEIGHTS, KEY, DATA)


FIRST, SECOND = _entry(0), _entry(1)
REPEAT = _entry(2, origin=FIRST.sid)


def test_an_entry_knows_its_session_and_its_chain() -> None:
    assert FIRST.sid == session_id(SETUP, 0, STATE)
    assert FIRST.chain == FIRST.sid
    assert REPEAT.sid == session_id(SETUP, 2, STATE)
    assert REPEAT.chain == FIRST.sid
    assert len({FIRST.sid, _entry(0, setup=OTHER).sid, _entry(0, state_id=OTHER).sid, SECOND.sid}) == 4


def test_entries_stand_in_the_way_by_their_key_or_by_their_data_set() -> None:
    own, by_key, by_data = _entry(0), _entry(1, data_set=OTHER), _entry(2, key=OTHER)
    neither, elsewhere = _entry(3, key=OTHER, data_set=OTHER), _entry(4, weights=OTHER)
    assert _here(own, by_key, by_data, neither, elsewhere) == (own, by_key, by_data)
    # Whatever the task is.
    assert _here(_entry(5, manifest=OTHER)) == (_entry(5, manifest=OTHER),)


@pytest.mark.parametrize("end", SessionEnd)
def test_only_void_sessions_are_settled(end) -> None:
    assert (unsettled([_entry(0, end)]) == ()) == (end is SessionEnd.VOID)


@pytest.mark.parametrize("entries", [(), (_entry(0, SessionEnd.VOID),), (_entry(0, SessionEnd.VOID),) * 3])
def test_a_fresh_update_leaves_where_all_are_void(entries) -> None:
    require_unused(entries)


@pytest.mark.parametrize("end", [UNKNOWN, ACCEPTED])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_session_that_is_not_void_holds_a_fresh_update_back(end, position) -> None:
    entries = [_entry(number, SessionEnd.VOID) for number in range(3)]
    entries[position] = replace(entries[position], end=end)
    with pytest.raises(RefusedError, match="a session from these weights was opened, or is not proven void") as refusal:
        require_unused(entries)
    assert "send the same update to the same roster again" in refusal.value.remedy


# The same update again


def test_the_one_chain_that_is_not_void_may_be_sent_again_as_often_as_it_takes() -> None:
    assert chain_of([FIRST], FIRST.sid, KEY, MANIFEST) is FIRST
    assert chain_of([REPEAT, FIRST], FIRST.sid, KEY, MANIFEST) is FIRST
    void = _entry(0, SessionEnd.VOID)
    assert chain_of([void, REPEAT], FIRST.sid, KEY, MANIFEST) is void
    assert chain_of([FIRST, _entry(1, SessionEnd.VOID)], FIRST.sid, KEY, MANIFEST) is FIRST


@pytest.mark.parametrize(
    ("entries", "origin"),
    [
        ([], FIRST.sid),
        ([FIRST], SECOND.sid),
        ([FIRST], NO_SESSION),
        ([_entry(0, key=OTHER)], FIRST.sid),
        ([_entry(0, manifest=OTHER)], FIRST.sid),
        ([FIRST, REPEAT], REPEAT.sid),
        ([REPEAT], FIRST.sid),
        ([REPEAT], REPEAT.sid),
    ],
)
def test_what_is_not_the_first_session_of_a_chain_of_this_key_and_manifest_is_not_sent_again(entries, origin) -> None:
    with pytest.raises(RefusedError, match="did not submit to the session that is to be sent again"):
        chain_of(entries, origin, KEY, MANIFEST)


@pytest.mark.parametrize(
    "entries",
    [
        [_entry(0, SessionEnd.VOID)],
        [_entry(0, SessionEnd.VOID), _entry(2, SessionEnd.VOID, origin=FIRST.sid)],
        [FIRST, SECOND],
        [FIRST, _entry(1, ACCEPTED)],
        [FIRST, _entry(1, key=OTHER)],
        [_entry(0, SessionEnd.VOID), SECOND],
        [FIRST, _entry(3, origin=SECOND.sid)],
    ],
)
def test_a_void_chain_and_one_beside_another_are_not_sent_again(entries) -> None:
    with pytest.raises(RefusedError, match="only the one session from these weights that is not settled"):
        chain_of(entries, FIRST.sid, KEY, MANIFEST)


# How sessions end


@pytest.mark.parametrize("end", [SessionEnd.VOID, ACCEPTED])
def test_an_end_changes_the_rows_of_one_session_that_know_of_none(end) -> None:
    twin = _entry(0, data_set=OTHER)
    changed = ended([FIRST, SECOND, REPEAT, twin], FIRST.sid, end)
    assert changed == (replace(FIRST, end=end), replace(twin, end=end))
    assert ended(changed, FIRST.sid, SessionEnd.VOID) == ()
    assert ended([FIRST], SECOND.sid, end) == ()


def test_an_accepted_session_is_never_called_void_later_nor_a_void_one_accepted() -> None:
    assert ended([_entry(0, ACCEPTED)], FIRST.sid, SessionEnd.VOID) == ()
    assert ended([_entry(0, SessionEnd.VOID)], FIRST.sid, ACCEPTED) == ()


def test_a_chain_is_void_once_all_of_its_sessions_are() -> None:
    void, again = _entry(0, SessionEnd.VOID), replace(REPEAT, end=SessionEnd.VOID)
    assert is_void([void, again], FIRST.sid)
    assert is_void([void, again, SECOND], FIRST.sid)
    for entries in ([FIRST], [void, REPEAT], [FIRST, again], [void, replace(REPEAT, end=ACCEPTED)]):
        assert not is_void(entries, FIRST.sid)


# At a client


def test_a_submission_leaves_one_complete_row(make_world) -> None:
    world = make_world(n=2)
    world.run(1, 2, 3)
    (entry,) = world.ledgers[1]
    memory = world.client_memories[1]
    assert entry == LedgerEntry(
        key=world.client_keys[1].public_bytes,
        data_set=world.clients[1].data_set,
        weights=memory.state.weights,
        manifest=world.manifest.digest(),
        setup=world.setup,
        round=world.round,
        state_id=world.state_id,
        origin=NO_SESSION,
        header_hash=world.submissions[1].header.hash(),
    )
    assert entry.sid == world.sid
    assert world.ledgers[4] == []
    assert len(fields(LedgerEntry)) == 10
    world.accept()
    assert [own.end for own in world.ledgers[1]] == [ACCEPTED]


def test_a_second_task_a_second_key_and_an_unchanged_model_find_the_row_of_the_first(make_world) -> None:
    """Without the ledger each of them gives a second roster, and the difference is one client's update."""
    world = make_world(n=2)
    world.run(1, 2, 3)
    (entry,) = world.ledgers[1]
    elsewhere = {
        "another task": replace(entry, manifest=OTHER, setup=OTHER, state_id=OTHER),
        "another key": replace(entry, key=OTHER, manifest=OTHER),
        "another data set": replace(entry, data_set=OTHER),
    }
    world = make_world(n=2)
    world.announce()
    before = dict(world.client_memories)
    for row in elsewhere.values():
        world.ledgers[1] = [row]
        with pytest.raises(RefusedError, match="a second update from them could reveal this client's"):
            world.submit(1)
        world.ledgers[1] = [replace(row, end=SessionEnd.VOID)]
        world.submit(1)
        world.client_memories = dict(before)
    world.ledgers[1] = [replace(entry, key=OTHER, data_set=OTHER), replace(entry, weights=OTHER)]
    world.submit(1)


def test_closings_settle_rows_of_their_own_task_and_key_alone(make_world) -> None:
    """Aggregators of another manifest, all corrupt, may sign anything under a session's id."""
    world = make_world(n=2)
    world.run(to="submit")
    world.announce()
    closings = world.closings(world.round - 1)
    assert {message.outcome for message in closings} == {VOID}
    (entry,) = world.ledgers[1]
    foreign = [replace(entry, manifest=OTHER), replace(entry, key=OTHER)]
    changed = world.clients[1].settle(world.client_memories[1], [*foreign, entry], closings)
    assert changed.entries == (replace(entry, end=SessionEnd.VOID),)


def test_a_row_is_settled_after_the_client_jumped_away_from_its_session(make_world) -> None:
    world = make_world(n=2)
    world.run(to="submit")
    sid = world.sid
    world.announce()
    jumped = world.client_memories[1].next(followed=())
    changed = world.clients[1].settle(jumped, world.ledgers[1], world.closings(world.round - 1))
    assert [(row.sid, row.end) for row in changed.entries] == [(sid, SessionEnd.VOID)]


@pytest.mark.parametrize("outcomes", [(VOID, OPENED), (OPENED, VOID), (OPENED, OPENED)])
def test_one_word_that_it_was_opened_settles_nothing(make_world, outcomes) -> None:
    world = make_world(n=2)
    world.run(to="submit")
    words = [
        Closing(world.sid, s, outcome).signed_by(world.aggregator_keys[s], world.sid)
        for s, outcome in enumerate(outcomes, start=1)
    ]
    changed = world.clients[1].settle(world.client_memories[1], world.ledgers[1], words)
    assert (changed.memory, changed.entries) == (world.client_memories[1], ())


def test_what_a_row_holds_is_enough_to_ask_every_aggregator_about_its_session(make_world) -> None:
    world = make_world(n=2)
    world.run(to="submit")
    (entry,) = world.ledgers[1]
    world.set_up()
    world.announce()
    request = world.request(CLOSING, entry.round, entry.state_id, entry.setup)
    closings = [own.closing(world.aggregator_memories[s], request) for s, own in world.aggregators.items()]
    changed = world.clients[1].settle(world.client_memories[1], world.ledgers[1], closings)
    assert [row.end for row in changed.entries] == [SessionEnd.VOID]
