"""What parties remember survives the disk, each memory follows one other, and damage is said to be damage."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from privateyes.aggregation.keys import GroupKey, session_id
from privateyes.aggregation.memory import (
    MAX_UNFINISHED,
    AggregatorMemory,
    BoundSetup,
    ClientMemory,
    FollowedSession,
    SessionRecord,
    TrainingState,
)
from privateyes.aggregation.messages import ANNOUNCE, GIVE_UP, NO_SESSION
from privateyes.aggregation.roster import transcript_digest
from privateyes.errors import MalformedError, RefusedError
from world import state_after

KINDS = pytest.mark.parametrize("kind", [AggregatorMemory, ClientMemory])
ONE, TWO, THREE = (bytes([value]) * 32 for value in (1, 2, 3))


@pytest.fixture
def used(make_world):
    """An accepted round, a set-up, an opened session that is not finished, and a repeat of it up to the vote."""
    world = make_world(n=2, m=3)
    world.run()
    world.finish_session()
    world.accept()
    world.set_up(leader=2)
    world.run(1, 2)
    origin, commitments = world.origin, world.commitments
    world.announce()
    for client in (1, 2):
        world.submit_again(client, origin, commitments)
    world.client_memories[3] = world.clients[3].observe(world.client_memories[3], world.announcements)
    world.vote(origin=origin)
    return world


def _memories(world):
    return [*world.aggregator_memories.values(), *world.client_memories.values()]


def test_both_memories_read_back_what_they_wrote_after_every_step(make_world) -> None:
    world = make_world(n=2)
    for step in ("announce", "submit_all", "vote", "commit", "agree", "open", "certify", "deliver", "accept", "set_up"):
        getattr(world, step)()
        for memory in _memories(world):
            again = type(memory).from_bytes(memory.to_bytes())
            assert again == memory
            assert again.to_bytes() == memory.to_bytes()


def test_every_part_of_a_memory_is_stored(used) -> None:
    """Nothing here has its default, so a part that is not written or not read makes a difference."""
    aggregator = used.aggregator_memories[1]
    assert all(getattr(aggregator, part.name) for part in fields(AggregatorMemory))
    assert len(aggregator.opened) == 2
    assert AggregatorMemory.from_bytes(aggregator.to_bytes()) == aggregator
    client = replace(used.client_memories[1], accepted=used.client_memories[1].followed[0])
    assert all(getattr(client, part.name) is not None for part in fields(ClientMemory))
    assert client.followed[-1].origin != NO_SESSION
    assert ClientMemory.from_bytes(client.to_bytes()) == client


RECORD = SessionRecord(
    setup=ONE, round=5, state_id=TWO, given_up=True, voted=((1, ONE), (4, THREE)), rho=THREE, roster_size=2, salt=ONE,
    share_root=TWO, commitments=(ONE, TWO, THREE), result=TWO, finished=True,
)  # fmt: skip


@pytest.mark.parametrize("part", [part.name for part in fields(SessionRecord)])
def test_every_part_of_a_session_is_stored(part) -> None:
    plain = SessionRecord(ONE, 5, TWO)
    changed = {"setup": THREE, "round": 6, "state_id": THREE}
    record = replace(plain, **{part: changed.get(part, getattr(RECORD, part))})
    assert record != plain
    memory = AggregatorMemory(7, BoundSetup(ONE, 2, 1, started=True), session=record, unfinished={RECORD.sid: RECORD})
    again = AggregatorMemory.from_bytes(memory.to_bytes())
    assert again == memory
    assert again.session == record
    assert again.unfinished == {RECORD.sid: RECORD}


def test_a_vote_for_nobody_is_told_from_no_vote_on_disk() -> None:
    for voted in (None, ()):
        record = SessionRecord(ONE, 0, TWO, voted=voted)
        memory = AggregatorMemory(1, BoundSetup(ONE, 0, 1), session=record)
        assert AggregatorMemory.from_bytes(memory.to_bytes()).session.voted == voted


@KINDS
def test_every_missing_or_damaged_part_is_refused(used, kind) -> None:
    memory = used.aggregator_memories[1] if kind is AggregatorMemory else used.client_memories[1]
    table = json.loads(memory.to_bytes())
    may_be_nothing = {"session", "accepted"}
    assert set(table) == {part.name for part in fields(kind)}
    for name in table:
        less = {key: value for key, value in table.items() if key != name}
        with pytest.raises(MalformedError, match="is damaged") as refusal:
            kind.from_bytes(json.dumps(less).encode())
        assert "never restore an older copy" in refusal.value.remedy
        for damaged in (None, "x", [1], [[1]], {"x": 1}):
            if damaged is None and name in may_be_nothing:
                continue
            with pytest.raises(MalformedError, match="is damaged"):
                kind.from_bytes(json.dumps({**table, name: damaged}).encode())
    for data in (b"", b"{", b"[]", b"3", b"\xff", memory.to_bytes()[:-1]):
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(data)


@pytest.mark.parametrize("flag", [0, 1, "true", None])
def test_a_flag_that_is_neither_true_nor_false_is_damage(used, flag) -> None:
    """A closed set-up that reads as open, or a session that was given up as live, would say a second word."""
    table = json.loads(used.aggregator_memories[1].to_bytes())
    started = [*table["current"][:3], flag]
    terminal = dict.fromkeys(table["terminal"], flag)
    given_up = [*table["session"][:3], flag, *table["session"][4:]]
    finished = [*table["session"][:-1], flag]
    for damage in ({"current": started}, {"terminal": terminal}, {"session": given_up}, {"session": finished}):
        with pytest.raises(MalformedError, match="neither true nor false"):
            AggregatorMemory.from_bytes(json.dumps({**table, **damage}).encode())
    table = json.loads(used.client_memories[1].to_bytes())
    with pytest.raises(MalformedError, match="neither true nor false"):
        ClientMemory.from_bytes(json.dumps({**table, "group": [*table["group"][:2], flag]}).encode())


@KINDS
@pytest.mark.parametrize("damage", [b"[" * 100_000, b'{"epoch":1e999}', b"9" * 5000])
def test_hostile_bytes_are_damage_and_nothing_else(used, kind, damage) -> None:
    memory = used.aggregator_memories[1] if kind is AggregatorMemory else used.client_memories[1]
    table = json.loads(memory.to_bytes())
    hostile = json.dumps({**table, "version": "@"}).replace('"@"', damage.decode()).encode()
    for data in (damage, hostile):
        with pytest.raises(MalformedError, match="is damaged"):
            kind.from_bytes(data)


def test_no_repr_shows_a_key_a_salt_or_a_root(used) -> None:
    for memory in _memories(used):
        keys = memory.chains.values() if isinstance(memory, AggregatorMemory) else memory.chains
        secrets = [chain.key for chain in keys]
        if isinstance(memory, ClientMemory):
            secrets += [memory.group.key, *(session.group.key for session in memory.followed)]
        else:
            secrets += [record.salt for record in memory.unfinished.values()]
            secrets += [record.share_root for record in memory.unfinished.values()]
        for value in secrets:
            assert value
            assert repr(value) not in repr(memory)
            assert value.hex() not in repr(memory)


# One memory follows another


def test_every_transition_of_an_aggregator_is_one_version_on(make_world) -> None:
    world = make_world(n=2)
    own, seen = world.aggregators[1], []
    for step in ("announce", "submit_all", "vote", "commit", "agree", "open", "certify"):
        before = world.aggregator_memories[1]
        getattr(world, step)()
        if step != "submit_all":
            seen.append(world.aggregator_memories[1].version - before.version)
    memory = world.aggregator_memories[1]
    seen.append(own.finish(memory, world.results).version - memory.version)
    world.announce()
    memory = world.aggregator_memories[1]
    seen.append(own.give_up(memory, world.request(GIVE_UP, world.round)).memory.version - memory.version)
    world.set_up()
    # To bind and to start are two writes.
    seen.append((world.aggregator_memories[1].version - memory.version) / 2)
    assert seen == [1] * 9


def test_a_word_that_is_repeated_changes_no_memory(make_world) -> None:
    world = make_world(n=2)
    world.run()
    own, memory, sid = world.aggregators[1], world.aggregator_memories[1], world.sid
    again = [
        own.announce(memory, world.request(ANNOUNCE, world.round)),
        own.vote(memory, sid, []),
        own.commit(memory, [], world.votes, bytes(32)),
        own.agree(memory, world.commitments, world.hub_commitment),
        own.open(memory, world.shares[1], world.agreements),
        own.certify(memory, [], world.total),
    ]
    assert [step.memory for step in again] == [None] * 6


def test_every_transition_of_a_client_is_one_version_on(make_world) -> None:
    world = make_world(n=2, mode="public", corrupt_clients=0)
    versions = [world.client_memories[1].version]
    assert versions == [1]
    world.run()
    versions.append(world.client_memories[1].version)  # submitting observes too, in the same write
    world.accept()
    versions.append(world.client_memories[1].version)
    world.announce()
    world.client_memories[1] = world.clients[1].observe(world.client_memories[1], world.announcements)
    versions.append(world.client_memories[1].version)
    world.set_up()
    versions.append(world.client_memories[1].version)
    later = state_after(world.client_memories[1].state, b"later")
    ahead = world.client_memories[2].next(state=later)
    jumped = world.clients[1].jump(world.client_memories[1], [world.clients[2].vouch(ahead)], later)
    versions.append(jumped.version)
    assert versions == [1, 2, 3, 4, 5, 6]


def test_closings_that_change_nothing_are_no_new_version(make_world) -> None:
    world = make_world(n=2)
    world.run(1, 2)
    world.announce()
    closings = world.closings(world.round - 1)
    memory = world.client_memories[1]
    changed = world.clients[1].settle(memory, world.ledgers[1], closings)
    assert changed.memory is memory
    assert changed.entries == ()


# What follows from a memory


def test_a_record_knows_its_session_and_its_transcript() -> None:
    assert RECORD.sid == session_id(ONE, 5, TWO)
    assert RECORD.transcript == transcript_digest(RECORD.sid, THREE, (ONE, TWO, THREE))
    assert SessionRecord(ONE, 5, TWO).transcript == b""


def test_a_new_record_says_nothing_yet() -> None:
    record = SessionRecord(ONE, 1, TWO)
    assert (record.roster_size, record.salt, record.share_root) == (0, b"", b"")


def test_the_started_set_ups_are_written_in_order_so_that_a_memory_has_one_encoding(used) -> None:
    client = replace(used.client_memories[1], started=frozenset(bytes([value]) * 32 for value in range(20)))
    stored = json.loads(client.to_bytes())["started"]
    assert stored == sorted(stored)


def test_records_are_found_in_the_last_session_and_among_the_unfinished() -> None:
    last, older = SessionRecord(ONE, 6, TWO), RECORD
    memory = AggregatorMemory(3, BoundSetup(ONE, 0, 1), session=last, unfinished={older.sid: older})
    assert memory.record_of(last.sid) is last
    assert memory.record_of(older.sid) is older
    assert memory.record_of(THREE) is None
    assert AggregatorMemory(1, BoundSetup(ONE, 0, 1)).record_of(last.sid) is None
    changed = replace(last, voted=())
    after = memory.with_record(changed)
    assert (after.session, after.unfinished, after.version) == (changed, memory.unfinished, 4)
    finished = replace(older, result=THREE)
    after = memory.with_record(finished)
    assert (after.session, after.unfinished, after.version) == (last, {older.sid: finished}, 4)
    without = replace(memory, session=None).with_record(finished)
    assert (without.session, without.unfinished) == (None, {older.sid: finished})


def test_an_aggregator_remembers_its_current_set_up_and_every_terminal_one() -> None:
    memory = AggregatorMemory(1, BoundSetup(ONE, 0, 1), terminal={TWO: False})
    assert [memory.remembers(setup) for setup in (ONE, TWO, THREE)] == [True, True, False]


def test_a_followed_session_knows_its_id_its_chain_and_whether_anything_was_submitted() -> None:
    group = GroupKey(ONE, TWO)
    watched = FollowedSession(ONE, 5, TWO, group)
    assert watched.sid == watched.chain == session_id(ONE, 5, TWO)
    assert not watched.submitted
    assert replace(watched, header_hash=THREE).submitted
    assert replace(watched, origin=THREE).chain == THREE


def test_a_client_finds_what_it_follows_and_names_its_state_in_the_current_set_up() -> None:
    group = GroupKey(ONE, TWO)
    session = FollowedSession(ONE, 5, TWO, group)
    memory = ClientMemory(1, group, (), (), TrainingState(THREE, ONE, 4), frozenset({ONE}), (session,))
    assert memory.session(session.sid) is session
    assert memory.session(THREE) is None
    assert memory.last_round == -1  # so that round 0 is not behind it
    assert memory.state_id == group.state_id(THREE)


def test_an_aggregator_announces_nothing_more_while_64_opened_sessions_wait_for_their_results(make_world) -> None:
    """It forgets none of them: then it could not repeat its words, and the clients would wait for ever."""
    world = make_world(n=2)
    world.run(1, 2)
    own, memory = world.aggregators[1], world.aggregator_memories[1]
    older = {number.to_bytes(32, "big"): replace(memory.session, round=number) for number in range(MAX_UNFINISHED)}
    request = world.request(ANNOUNCE, world.round + 1)
    few = replace(memory, unfinished=dict(list(older.items())[1:]))
    announced = own.announce(few, request).memory
    assert len(announced.unfinished) == MAX_UNFINISHED
    assert announced.unfinished[world.sid] == memory.session
    full = replace(memory, unfinished=older)
    with pytest.raises(RefusedError, match="65 opened sessions are not finished"):
        own.announce(full, request)
    finished = own.finish(full, world.results)
    assert own.announce(finished, request).memory.unfinished == older
    assert MAX_UNFINISHED == 64


def test_the_pairwise_keys_of_the_set_up_are_gone_after_the_first_round(world) -> None:
    first = {chain.key.hex() for memory in world.client_memories.values() for chain in memory.chains}
    world.run()
    stored = b"".join(memory.to_bytes() for memory in _memories(world)).decode()
    assert first
    assert not any(key in stored for key in first)


def test_what_an_aggregator_gave_up_or_finished_leaves_no_salt_behind(make_world) -> None:
    world = make_world(n=2)
    world.run(to="commit")
    salt = world.aggregator_memories[1].session.salt
    assert salt.hex() in world.aggregator_memories[1].to_bytes().decode()
    world.give_up()
    assert salt.hex() not in world.aggregator_memories[1].to_bytes().decode()
