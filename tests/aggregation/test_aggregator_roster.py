"""Steps 2 and 3 at an aggregator: which headers it votes for, and which roster it commits to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.keys import KeyChain, share_stream
from privateyes.aggregation.messages import (
    ANNOUNCE,
    Header,
    Origin,
    Vote,
)
from privateyes.aggregation.roster import roster_digest
from privateyes.crypto.commitment import commit_to_vector, merkle_root
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.streams import scratch_words
from privateyes.errors import AbortError, MalformedError, RefusedError
from sessions import bound_anew, one, passed
from world import World

SALT = bytes([6]) * 32
ZERO = bytes(32)


@pytest.fixture
def world() -> World:
    """Four clients and two aggregators."""
    return World(n=2)


# Step 2


def _rejected(world: World, headers: list[Header], **given: Any) -> dict[int, str]:
    own, memory = one(world)
    return dict(own.vote(memory, world.sid, headers, **given).rejected)


def _resigned(world: World, client: int, context: bytes | None = None, **changes: Any) -> Header:
    header = replace(world.submissions[client].header, **changes)
    return header.signed_by(world.client_keys[client], context or world.sid)


def test_a_vote_holds_every_valid_header_by_client_and_stands_in_the_memory(world) -> None:
    world.run(to="submit")
    own, before = one(world)
    step = own.vote(before, world.sid, [*world.headers[::-1], world.headers[0]])
    entries = tuple((i, submission.header.hash()) for i, submission in world.submissions.items())
    assert (step.message.sid, step.message.aggregator, step.message.entries) == (world.sid, 1, entries)
    step.message.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert step.rejected == {}
    assert step.memory == before.next(session=replace(before.session, voted=entries))


def test_a_vote_is_repeated_to_the_byte_whatever_comes_later(world) -> None:
    world.run(to="vote")
    own, memory = one(world)
    for headers in (world.headers, world.headers[:2], [], ["no header"]):
        again = own.vote(memory, world.sid, headers)
        assert (again.message.to_bytes(), again.memory, again.rejected) == (world.votes[0].to_bytes(), None, {})
    world.announce()
    nobody = world.aggregators[1].vote(world.aggregator_memories[1], world.sid, [])
    assert nobody.message.entries == ()
    again = world.aggregators[1].vote(nobody.memory, world.sid, world.headers)
    assert again.memory is None
    assert again.message == nobody.message


def test_what_is_wrong_with_a_header_is_said_and_only_its_client_left_out(world) -> None:
    world.run(to="submit")
    good = world.headers[1:]
    sealed = world.headers[0].sealed_hashes
    faults = {
        "for another session": _resigned(world, 1, ZERO, sid=ZERO),
        "names another stream key": _resigned(world, 1, sealed_hashes=(ZERO, sealed[1])),
        "header names another stream key": _resigned(world, 1, sealed_hashes=sealed[:1]),
        "another stream key": _resigned(world, 1, sealed_hashes=(*sealed, sealed[0])),
        "cannot confirm": _resigned(world, 1, origin=SALT),
        "Header does not verify": replace(world.headers[0], nonce=ZERO),
    }
    for fault, header in faults.items():
        rejected = _rejected(world, [*good, header])
        assert list(rejected) == [1]
        assert fault in rejected[1]
    # Another aggregator's key is none of its business.
    assert _rejected(world, [*good, _resigned(world, 1, sealed_hashes=(sealed[0], ZERO))]) == {}
    for client in (0, 5):
        stranger = replace(world.headers[0], client=client).signed_by(world.client_keys[1], world.sid)
        assert "not registered in this set-up" in _rejected(world, [*good, stranger])[client]


@pytest.mark.parametrize("lost", ["chains", "sealed_hashes"])
def test_a_client_without_keys_in_this_set_up_is_not_counted(world, lost) -> None:
    world.run(to="submit")
    own, memory = one(world)
    less = {client: value for client, value in getattr(memory, lost).items() if client != 2}
    step = own.vote(replace(memory, **{lost: less}), world.sid, world.headers)
    assert [client for client, _ in step.message.entries] == [1, 3, 4]
    assert "not registered" in step.rejected[2]


def test_an_invalid_header_says_nothing_about_the_client_that_it_names(world) -> None:
    world.run(to="submit")
    own, memory = one(world)
    forged = replace(world.headers[0], nonce=ZERO)
    for headers in ([forged, *world.headers], [*world.headers, forged]):
        step = own.vote(memory, world.sid, headers)
        assert len(step.message.entries) == 4
        assert step.rejected == {}


def test_a_client_with_two_valid_headers_is_left_out(world) -> None:
    world.run(to="submit")
    own, memory = one(world)
    second = _resigned(world, 2, nonce=ZERO)
    step = own.vote(memory, world.sid, [*world.headers, second])
    assert [client for client, _ in step.message.entries] == [1, 3, 4]
    assert step.rejected == {2: "sent two different headers"}


def test_a_client_that_floods_the_vote_with_headers_is_left_out_after_its_second(world, monkeypatch) -> None:
    world.run(to="submit")
    flood = [_resigned(world, 2, nonce=bytes([k]) * 32) for k in range(50)]
    checked = []
    real = Header.require_signature_of
    monkeypatch.setattr(
        Header, "require_signature_of", lambda self, *rest: (checked.append(self), real(self, *rest))[1]
    )
    own, memory = one(world)
    step = own.vote(memory, world.sid, [*flood, *(world.submissions[i].header for i in (1, 3, 4))])
    assert [client for client, _ in step.message.entries] == [1, 3, 4]
    assert len(checked) == 2 + 3
    # Nor does the same header, again and again, cost more than one signature.
    checked.clear()
    step = own.vote(memory, world.sid, [flood[0]] * 50)
    assert [client for client, _ in step.message.entries] == [2]
    assert len(checked) == 1


def test_what_is_no_header_is_refused(world) -> None:
    world.run(to="submit")
    own, memory = one(world)
    with pytest.raises(AbortError, match="Announcement came where Header was expected"):
        own.vote(memory, world.sid, [*world.headers, world.announcements[0]])


def test_votes_and_commitments_are_of_the_last_session_and_its_set_up_alone(world) -> None:
    world.run(to="vote")
    own, memory = one(world)
    bound = bound_anew(world)
    later = own.announce(memory, world.request(ANNOUNCE, 1)).memory
    for closed in (later, replace(memory, session=None)):
        with pytest.raises(RefusedError, match="not the last announced session"):
            own.vote(closed, world.sid, world.headers)
        with pytest.raises(RefusedError, match="not the last announced session"):
            own.commit(closed, world.headers, world.votes, SALT)
    with pytest.raises(RefusedError, match="of an earlier set-up, whose keys are erased"):
        own.vote(bound, world.sid, world.headers)
    with pytest.raises(RefusedError, match="of an earlier set-up, whose keys are erased"):
        own.commit(bound, world.headers, world.votes, SALT)


# The origin of what is sent again


class Again:
    """A session that was opened and refused by clients 1 to 3 of four, sent again up to the vote."""

    def __init__(self, roster_min: int = 2, clients: tuple[int, ...] = (1, 2, 3)) -> None:
        self.world = world = World(n=2, roster_min=roster_min)
        world.run(*clients, to="open")
        self.origin, commitments, shares = world.origin, world.commitments, world.shares
        self.before = world.aggregator_memories[1]
        world.announce()
        world.shares = shares
        for i, own in world.clients.items():
            if i in clients:
                world.submit_again(i, self.origin, commitments)
            else:
                world.client_memories[i] = own.observe(world.client_memories[i], world.announcements)

    def voted_for(self, origin: Origin | None, memory: Any = None) -> list[int]:
        """The clients whose headers aggregator 1 holds valid if it is shown this origin."""
        own, now = one(self.world)
        step = own.vote(memory or now, self.world.sid, self.world.headers, origin)
        return [client for client, _ in step.message.entries]


def test_a_header_that_sends_an_update_again_counts_if_its_origin_was_opened_here_with_the_roster_shown() -> None:
    again = Again()
    origin, memory = again.origin, again.world.aggregator_memories[1]
    assert again.voted_for(origin) == [1, 2, 3]
    others = [
        None,
        replace(origin, sid=SALT),
        replace(origin, group_check=SALT),
        replace(origin, roster=origin.roster[:2]),
        replace(origin, roster=((1, SALT), *origin.roster[1:])),
        replace(origin, roster=(*origin.roster, (4, SALT))),
    ]
    assert [again.voted_for(other) for other in others] == [[]] * len(others)
    # An aggregator that did not open it knows no roster of it.
    assert again.voted_for(origin, replace(memory, opened={})) == []
    assert again.voted_for(origin, replace(memory, opened={origin.sid: SALT})) == []
    # A fresh update is no worse for it.
    world = again.world
    sealed = tuple(message.sealed_hash(world.setup) for message in world.stream_keys[4])
    fresh = replace(world.headers[0], client=4, origin=ZERO, sealed_hashes=sealed)
    fresh = fresh.signed_by(world.client_keys[4], world.sid)
    own, memory = one(world)
    assert own.vote(memory, world.sid, [fresh], origin).message.entries == ((4, fresh.hash()),)


def test_where_every_roster_holds_everybody_a_lost_memory_does_not_matter() -> None:
    again = Again(roster_min=4, clients=(1, 2, 3, 4))
    memory = replace(again.world.aggregator_memories[1], opened={}, unfinished={})
    assert again.voted_for(again.origin, memory) == [1, 2, 3, 4]
    assert again.voted_for(None, memory) == []
    assert again.voted_for(replace(again.origin, sid=SALT), memory) == []
    own = again.world.aggregators[1]
    voted = own.vote(memory, again.world.sid, again.world.headers, again.origin)
    again.world.vote(origin=again.origin)
    for origin in (again.origin, replace(again.origin, roster=())):
        step = own.commit(voted.memory, again.world.headers, again.world.votes, SALT, origin)
        assert step.memory.session.roster_size == 4
    for origin in (None, replace(again.origin, sid=SALT)):
        with pytest.raises(AbortError, match="is not confirmed"):
            own.commit(voted.memory, again.world.headers, again.world.votes, SALT, origin)


def test_what_is_sent_again_is_committed_to_with_the_roster_of_its_origin_confirmed() -> None:
    again = Again()
    world, origin = again.world, again.origin
    world.vote(origin=origin)
    own, memory = one(world)
    wrong = [(None, memory), (replace(origin, sid=SALT), memory), (replace(origin, group_check=SALT), memory)]
    wrong += [(origin, replace(memory, opened={}))]
    for shown, remembered in wrong:
        with pytest.raises(AbortError, match="is not confirmed"):
            own.commit(remembered, world.headers, world.votes, SALT, shown)
    with pytest.raises(AbortError, match="is not confirmed"):
        own.commit(memory, world.headers, world.votes, SALT)
    assert own.commit(memory, world.headers, world.votes, SALT, origin).memory.session.roster_size == 3


@pytest.mark.parametrize("roster", [(1, 2), (1, 2, 3, 4), (1, 2, 4)])
def test_what_is_sent_again_goes_to_the_same_clients_nobody_more_and_nobody_less(roster) -> None:
    """Another roster's sum and the first one's differ by what one client sent."""
    again = Again()
    world, origin = again.world, again.origin
    sealed = tuple(message.sealed_hash(world.setup) for message in world.stream_keys[4])
    guest = replace(world.headers[0], client=4, sealed_hashes=sealed).signed_by(world.client_keys[4], world.sid)
    headers = [*(world.submissions[i].header for i in roster if i != 4), *([guest] if 4 in roster else [])]
    world.vote(everywhere=headers, origin=origin)
    own, memory = one(world)
    with pytest.raises(AbortError, match="is not that of the session that is sent again"):
        own.commit(memory, headers, world.votes, SALT, origin)
    # Without that comparison it would add them up.
    fixed = replace(own, manifest=replace(own.manifest, roster_min=2))
    known = replace(origin, roster=tuple((client, ZERO) for client in roster))
    rho = roster_digest(origin.sid, origin.group_check, known.roster)
    fooled = replace(memory, opened={origin.sid: rho})
    assert fixed.commit(fooled, headers, world.votes, SALT, known).memory.session.roster_size == len(roster)


def test_fresh_updates_need_no_origin_and_none_in_the_way(world) -> None:
    world.run(to="vote")
    own, memory = one(world)
    step = own.commit(memory, world.headers, world.votes, SALT, Origin(SALT, ZERO, ()))
    assert step.memory.session.roster_size == 4


# Step 3


def test_a_share_is_the_sum_of_the_rosters_streams_and_its_commitment_is_signed(make_world, field) -> None:
    world = make_world(n=2, field=field)
    world.run(1, 3, 4, to="vote")
    own, before = one(world)
    step = own.commit(before, world.headers, world.votes, SALT)
    expected = np.zeros(world.manifest.share_elements, dtype=object)
    for i in (1, 3, 4):
        key, header = before.chains[i].round_key(world.setup), world.submissions[i].header
        stream = share_stream(field, key, world.sid, i, 1, header.nonce, scratch_words(field))
        expected += stream.read(world.manifest.share_elements).astype(object)
    assert step.share.elements.tolist() == [value % field.prime for value in expected.tolist()]
    entries = tuple((i, world.submissions[i].header.hash()) for i in (1, 3, 4))
    rho = roster_digest(world.sid, world.submissions[1].header.group_check, entries)
    commitment = commit_to_vector(world.sid, rho, 1, SALT, step.share.elements, world.manifest.bulk_hash)
    said = step.message
    assert (said.sid, said.aggregator, said.rho, said.commitment) == (world.sid, 1, rho, commitment)
    said.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    root = merkle_root(step.share.elements, world.manifest.bulk_hash)
    assert step.share.root == root
    committed = replace(before.session, rho=rho, roster_size=3, salt=SALT, share_root=root)
    assert (step.memory.session, step.memory.version) == (committed, before.version + 1)


def test_committing_erases_the_keys_of_its_round_of_every_client(world) -> None:
    world.run(1, 2, to="vote")
    _, before = one(world)
    world.commit()
    for client, chain in world.aggregator_memories[1].chains.items():
        assert chain == before.chains[client].advance_to(world.round + 1, world.setup)
    assert len(before.chains) == 4


def test_keys_of_this_round_are_needed_to_commit(world) -> None:
    world.run(to="vote")
    own, memory = one(world)
    spent = {i: KeyChain(world.round + 1, chain.key) for i, chain in memory.chains.items()}
    with pytest.raises(RefusedError, match="keys are erased"):
        own.commit(replace(memory, chains=spent), world.headers, world.votes, SALT)


def test_a_commitment_is_repeated_to_the_byte_whatever_comes_later_and_without_the_share(world) -> None:
    memories = passed(world)
    own = world.aggregators[1]
    for step in ("commit", "agree", "open", "certify"):
        for headers, votes in ((world.headers, world.votes), ([], world.votes[:1]), ([], [world.votes[0]] * 2)):
            again = own.commit(memories[step], headers, votes, ZERO)
            assert again.message.to_bytes() == world.commitments[0].to_bytes()
            assert (again.memory, again.share) == (None, None)


def test_nothing_is_committed_to_before_the_vote(world) -> None:
    world.run(to="submit")
    memory = world.aggregator_memories[1]
    world.vote()
    with pytest.raises(RefusedError, match="has not voted"):
        world.aggregators[1].commit(memory, world.headers, world.votes, SALT)


@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_a_salt_of_another_length_is_refused_before_anything_is_said(world, salt) -> None:
    world.run(to="vote")
    own, memory = one(world)
    with pytest.raises(MalformedError, match="a salt has 32 bytes"):
        own.commit(memory, world.headers, world.votes, salt)


@pytest.mark.parametrize("counted", [1, 2, 3, 4])
def test_a_roster_is_within_its_bounds(counted) -> None:
    world = World(n=2, roster_min=2)
    bounds = replace(world.manifest, encoding=replace(world.encoding, roster_max=3))
    world.run(*range(1, counted + 1), to="vote")
    own, memory = one(world)
    own = replace(own, manifest=bounds)
    if 2 <= counted <= 3:
        assert own.commit(memory, world.headers, world.votes, SALT).memory.session.roster_size == counted
        return
    with pytest.raises(AbortError, match=f"a roster of {counted} clients is outside 2..3"):
        own.commit(memory, world.headers, world.votes, SALT)


def test_a_client_that_one_aggregator_does_not_vote_for_is_not_counted(make_world) -> None:
    world = make_world(n=3)
    world.run(to="submit")
    world.vote({2: world.headers[1:], 3: world.headers[:-1]})
    world.commit()
    assert [client for client, _ in world.entries] == [2, 3]
    assert world.aggregator_memories[1].session.roster_size == 2


def test_no_header_is_counted_that_the_aggregator_did_not_vote_for(world) -> None:
    """Only if somebody else signs with its key; then at least its own memory is not fooled."""
    world.run(to="submit")
    world.vote({1: world.headers[:3]})
    everybody = world.votes[1].entries
    forged = [Vote(world.sid, s, everybody).signed_by(key, world.sid) for s, key in world.aggregator_keys.items()]
    own, memory = one(world)
    with pytest.raises(AbortError, match="a header that this aggregator did not vote for"):
        own.commit(memory, world.headers, forged, SALT)


def test_every_header_of_the_roster_is_needed_again(world) -> None:
    world.run(to="vote")
    own, memory = one(world)
    other = _resigned(world, 2, nonce=ZERO)
    for headers in (world.headers[:1], [], [world.headers[0], other, *world.headers[2:]]):
        with pytest.raises(AbortError, match=r"the header of client \d is missing"):
            own.commit(memory, headers, world.votes, SALT)
    assert own.commit(memory, [other, *world.headers[::-1]], world.votes, SALT).memory


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"group_check": ZERO}, "different group keys"),
        ({"session_key_hash": ZERO}, "different group keys"),
    ],
)
def test_a_roster_is_of_one_group_key(world, changes, problem) -> None:
    world.run(to="submit")
    headers = [*world.headers[:3], _resigned(world, 4, **changes)]
    world.vote(everywhere=headers)
    own, memory = one(world)
    with pytest.raises(AbortError, match=problem):
        own.commit(memory, headers, world.votes, SALT)


def test_a_roster_does_not_mix_fresh_updates_with_those_that_are_sent_again() -> None:
    again = Again()
    world = again.world
    fresh = _resigned(world, 1, origin=ZERO)
    headers = [fresh, *world.headers[1:]]
    world.vote(everywhere=headers, origin=again.origin)
    own, memory = one(world)
    with pytest.raises(AbortError, match="mixes fresh updates"):
        own.commit(memory, headers, world.votes, SALT, again.origin)


def test_the_number_of_lanes_changes_nothing_that_is_said(make_world) -> None:
    world = make_world(n=2, m=3, d=300_000)
    world.run(to="vote")
    own, memory = one(world)
    with ThreadPoolExecutor(3) as threads:
        said = []
        for lanes in (ONE_LANE, Lanes(2, threads.map), Lanes(3, threads.map), Lanes(99, map)):
            step = replace(own, lanes=lanes).commit(memory, world.headers, world.votes, SALT)
            said.append((step.message.to_bytes(), step.share.elements.tobytes(), step.share.root))
    assert len(set(said)) == 1
