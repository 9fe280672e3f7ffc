"""A client follows announcements, submits once from a model, and says no more than it must."""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, Update
from privateyes.aggregation.keys import session_key_hash
from privateyes.aggregation.ledger import SessionEnd
from privateyes.aggregation.memory import ClientMemory, FollowedSession, TrainingState
from privateyes.aggregation.messages import NO_SESSION, OPENED, VOID, Announcement, Closing, Header
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.commitment import merkle_root, share_hash
from privateyes.crypto.streams import CHUNK_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.errors import MalformedError, ParameterError, RefusedError, TrainingError
from world import World

ZERO, ONES = bytes(32), bytes([1]) * 32
FRESH = SubmissionSecrets(ZERO, bytes([8]) * 32)


@pytest.fixture
def world() -> World:
    """Four clients and two aggregators."""
    return World(n=2)


def one(world: World) -> tuple[Client, ClientMemory]:
    """Client 1 and what it remembers."""
    return world.clients[1], world.client_memories[1]


def submit(world: World, delta: Any = None, weight: Any = 3, **given: Any) -> Submitted:
    """Client 1's submission, which leaves the world as it was."""
    own, memory = one(world)
    update = Update(world.delta(1) if delta is None else delta, weight, given.get("clips"))
    keep = given.get("keep", lambda piece: None)
    return own.submit(memory, world.ledgers[1], world.announcements, update, given.get("fresh", FRESH), keep)


def observe(world: World) -> ClientMemory:
    """Client 1 follows what was announced last."""
    own, memory = one(world)
    world.client_memories[1] = own.observe(memory, world.announcements)
    return world.client_memories[1]


# Step 0


def test_an_announced_round_is_followed_with_what_it_takes_to_check_its_result(world) -> None:
    world.announce(5)
    _, before = one(world)
    observed = observe(world)
    session = FollowedSession(world.setup, 5, world.state_id, before.group)
    assert session.sid == world.sid
    assert observed == before.next(last_round=5, followed=(session,), chains=observed.chains)
    # The keys of rounds that it sits out are gone too.
    assert observed.chains == tuple(chain.advance_to(5, world.setup) for chain in before.chains)


def test_a_round_that_has_passed_is_refused(world) -> None:
    world.announce(5)
    earlier = world.announcements
    observe(world)
    world.announce(6)
    later = world.announcements
    own, memory = one(world)
    for announcements in (earlier, earlier):
        with pytest.raises(RefusedError, match="round 5 does not follow round 5"):
            own.observe(memory, announcements)
    memory = own.observe(memory, later)
    with pytest.raises(RefusedError, match="round 5 does not follow round 6"):
        own.observe(memory, earlier)


def test_rounds_begin_anew_with_a_new_set_up(world) -> None:
    world.announce(5)
    observe(world)
    world.set_up()
    world.announce(0)
    assert observe(world).last_round == 0


def test_a_jump_over_64_rounds_is_the_longest(make_world) -> None:
    world = make_world(n=2)
    world.announce(64)
    submitted = submit(world)
    assert submitted.memory.last_round == 64
    _, memory = one(world)
    late = [
        Announcement(world.setup, s, 65, world.state_id).signed_by(key, world.setup)
        for s, key in world.aggregator_keys.items()
    ]
    with pytest.raises(RefusedError, match="more than 64 rounds after 0"):
        world.clients[1].observe(memory, late)


@pytest.mark.parametrize("damage", ["none", "missing", "twice", "extra", "kind"])
def test_exactly_one_announcement_of_every_aggregator_is_needed(world, damage) -> None:
    world.announce()
    everyone = world.announcements
    changed = {
        "none": [],
        "missing": everyone[:-1],
        "twice": [everyone[0]] * world.n,
        "extra": [*everyone, everyone[0]],
        "kind": [*everyone, world.offers[0]],
    }
    own, memory = one(world)
    with pytest.raises(RefusedError, match="not exactly one message"):
        own.observe(memory, changed[damage])


@pytest.mark.parametrize("changes", [{"round": 9}, {"setup": ZERO}, {"state_id": ZERO}])
def test_an_announcement_that_was_altered_is_refused(world, changes) -> None:
    world.announce()
    own, memory = one(world)
    for position in range(world.n):
        altered = list(world.announcements)
        altered[position] = replace(altered[position], **changes)
        with pytest.raises(MalformedError, match="Announcement does not verify"):
            own.observe(memory, altered)


@pytest.mark.parametrize("changes", [{"round": 9}, {"setup": ZERO}, {"state_id": ZERO}])
def test_aggregators_that_announce_different_things_announce_nothing(world, changes) -> None:
    world.announce()
    own, memory = one(world)
    for position in range(world.n):
        altered = list(world.announcements)
        key = world.aggregator_keys[position + 1]
        altered[position] = replace(altered[position], **changes).signed_by(key, world.setup)
        with pytest.raises(RefusedError, match="announce different rounds, or another set-up"):
            own.observe(memory, altered)


def test_announcements_in_any_order_are_one_announcement(world) -> None:
    world.announce()
    own, memory = one(world)
    assert own.observe(memory, world.announcements[::-1]) == own.observe(memory, world.announcements)


def test_an_announcement_of_another_set_up_or_state_is_refused_even_if_all_signed_it(world) -> None:
    world.announce()
    own, memory = one(world)
    for changes, problem in (({"setup": ZERO}, "another set-up"), ({"state_id": ZERO}, "state is not this client's")):
        other = [
            replace(message, **changes).signed_by(world.aggregator_keys[message.aggregator], world.setup)
            for message in world.announcements
        ]
        with pytest.raises(RefusedError, match=problem):
            own.observe(memory, other)


def test_a_round_that_was_only_watched_is_over_with_the_next_and_one_that_was_submitted_to_is_not(world) -> None:
    world.announce()
    observe(world)
    world.announce()
    submitted = submit(world)
    world.client_memories[1] = submitted.memory
    assert [session.sid for session in submitted.memory.followed] == [world.sid]
    first = world.sid
    world.announce()
    assert [session.sid for session in observe(world).followed] == [first, world.sid]
    last = world.sid
    world.announce()
    assert [session.sid for session in observe(world).followed] == [first, world.sid]
    # In a new set-up everything that may still end goes on, also what was only watched.
    watched = world.sid
    world.set_up()
    world.announce()
    assert [session.sid for session in observe(world).followed] == [first, watched, world.sid]
    assert last not in {first, watched}


# How sessions ended


def closings(world: World, *outcomes: int, sid: bytes = b"", context: bytes = b"") -> list[Closing]:
    """Every aggregator's word on a session."""
    sid = sid or world.sid
    return [
        Closing(sid, s, outcome).signed_by(world.aggregator_keys[s], context or sid)
        for s, outcome in enumerate(outcomes, start=1)
    ]


@pytest.fixture
def submitted(make_world) -> World:
    """Two aggregators; everybody submitted, and the next round is announced."""
    world = make_world(n=2)
    world.run(to="submit")
    world.old = world.sid
    world.announce()
    return world


def test_a_session_that_everyone_calls_void_is_out_of_the_way(submitted) -> None:
    own, before = one(submitted)
    (entry,) = submitted.ledgers[1]
    changed = own.settle(before, [entry, replace(entry, round=7)], submitted.closings(0))
    assert changed.memory == before.next(followed=())
    assert changed.entries == (replace(entry, end=SessionEnd.VOID),)
    again = own.settle(changed.memory, changed.entries, submitted.closings(0))
    assert again.memory is changed.memory
    assert again.entries == ()
    submitted.take_change(1, changed)
    assert submit(submitted).memory.session(submitted.sid).submitted


def test_a_watched_session_and_a_row_alone_are_settled_too(submitted) -> None:
    own, before = one(submitted)
    watched = own.settle(before, [], submitted.closings(0))
    assert watched.memory == before.next(followed=())
    row = own.settle(before.next(followed=()), submitted.ledgers[1], submitted.closings(0))
    assert row.memory == before.next(followed=()).next()
    assert [entry.end for entry in row.entries] == [SessionEnd.VOID]


def test_only_the_session_that_is_closed_is_settled(submitted) -> None:
    observe(submitted)
    own, memory = one(submitted)
    changed = own.settle(memory, submitted.ledgers[1], submitted.closings(0))
    assert [session.sid for session in changed.memory.followed] == [submitted.sid]


@pytest.mark.parametrize("outcomes", [(VOID, OPENED), (OPENED, VOID), (OPENED, OPENED)])
def test_one_word_that_it_was_opened_settles_nothing(submitted, outcomes) -> None:
    own, memory = one(submitted)
    changed = own.settle(memory, submitted.ledgers[1], closings(submitted, *outcomes, sid=submitted.old))
    assert changed.memory is memory
    assert changed.entries == ()


@pytest.mark.parametrize("outcome", [2, 255])
def test_an_outcome_that_is_neither_is_refused(submitted, outcome) -> None:
    own, memory = one(submitted)
    for outcomes in ((VOID, outcome), (outcome, OPENED)):
        with pytest.raises(MalformedError, match=f"outcome {outcome} is neither void nor opened"):
            own.settle(memory, submitted.ledgers[1], closings(submitted, *outcomes, sid=submitted.old))


def test_a_session_is_settled_by_one_signed_word_of_every_aggregator_on_it(submitted) -> None:
    own, memory = one(submitted)
    good = submitted.closings(0)
    for wrong in ([], good[:1], good[1:], [good[0]] * 2, [*good, good[0]], [good[0], submitted.announcements[1]],
                  [submitted.announcements[0], good[1]]):  # fmt: skip
        with pytest.raises(RefusedError, match="not exactly one message"):
            own.settle(memory, submitted.ledgers[1], wrong)
    swapped = [replace(good[0], aggregator=2), replace(good[1], aggregator=1)]
    elsewhere = closings(submitted, VOID, VOID, sid=submitted.old, context=ZERO)
    for wrong in (swapped, elsewhere, [good[0], replace(good[1], outcome=OPENED)]):
        with pytest.raises(MalformedError, match="Closing does not verify"):
            own.settle(memory, submitted.ledgers[1], wrong)
    other = closings(submitted, VOID, VOID, sid=ZERO, context=submitted.old)
    with pytest.raises(RefusedError, match="close different sessions"):
        own.settle(memory, submitted.ledgers[1], [good[0], other[1]])
    assert own.settle(memory, submitted.ledgers[1], good[::-1]).entries


def test_closings_say_nothing_of_rows_of_another_manifest_or_key(submitted) -> None:
    own, memory = one(submitted)
    (entry,) = submitted.ledgers[1]
    foreign = [replace(entry, manifest=ZERO), replace(entry, key=ZERO)]
    assert own.settle(memory, foreign, submitted.closings(0)).entries == ()


# Step 1


@pytest.mark.parametrize(
    ("delta", "problem"),
    [
        (np.zeros(6, np.float32), r"\(6,\)"),
        (np.zeros(8, np.float32), r"\(8,\)"),
        (np.zeros((7, 1), np.float32), r"\(7, 1\)"),
        (np.zeros(7, np.float64), "float64"),
        (np.zeros(7, np.int32), "int32"),
        (np.full(7, np.nan, np.float32), "NaN"),
        (np.full(7, -np.inf, np.float32), "NaN or an infinite"),
    ],
)
def test_an_update_that_cannot_be_encoded_is_refused(world, delta, problem) -> None:
    world.announce()
    with pytest.raises(TrainingError, match=problem) as refusal:
        submit(world, delta, 1)
    assert refusal.value.remedy


@pytest.mark.parametrize("weight", [0, -1, 51, True, 1.0, np.float64(2), "3"])
def test_a_weight_that_is_no_whole_number_within_its_limits_is_refused(world, weight) -> None:
    world.announce()
    with pytest.raises(TrainingError, match=r"is not a whole number in 1\.\.50"):
        submit(world, weight=weight)


@pytest.mark.parametrize("weight", [1, 50, np.int64(50), np.uint8(50)])
def test_a_weight_is_any_whole_number_up_to_its_limits(world, weight) -> None:
    world.announce()
    done = submit(world, weight=weight)
    assert done.kept.weight == weight
    assert done.submission.to_bytes() == submit(world, weight=int(weight)).submission.to_bytes()


def test_a_nan_in_the_last_of_several_chunks_is_found(make_world, field) -> None:
    d = CHUNK_BYTES // field.element_bytes + 10
    world = make_world(n=2, m=2, d=d, field=field)
    world.announce()
    delta = np.zeros(d, np.float32)
    delta[-1] = np.nan
    with pytest.raises(TrainingError):
        world.submit(1, delta)


def test_an_update_with_gaps_in_memory_or_read_only_is_the_same_update(world) -> None:
    world.announce()
    spread = np.zeros(14, np.float32)
    spread[::2] = world.delta(1)
    view = spread[::2]
    view.flags.writeable = False
    assert submit(world, view).submission.to_bytes() == submit(world).submission.to_bytes()


def test_clips_for_single_tensors_cut_an_update_and_fit_the_model(make_world) -> None:
    world = make_world(n=2)
    world.announce()
    assert submit(world, np.ones(7, np.float32), clips=ClipPlan((3, 4), (0.5, 1.0))).clipped == 3
    with pytest.raises(ParameterError, match="the clips are for 8 parameters"):
        submit(world, clips=ClipPlan((4, 4), (0.5, 1.0)))


def test_a_public_task_has_no_clips_for_single_tensors(make_world) -> None:
    """Nobody else could repeat the check of a coordinate's size."""
    world, plan = make_world(n=2, mode="public"), ClipPlan((3, 4), (0.5, 1.0))
    world.announce()
    with pytest.raises(ParameterError, match="a public task has no clips for single tensors"):
        submit(world, clips=plan)
    world.submit_all()
    world.finish()
    own, memory = one(world)
    with pytest.raises(ParameterError, match="a public task has no clips for single tensors"):
        own.check(memory, world.delivery, plan)
    assert own.check(memory, world.delivery).counted


def test_clipped_coordinates_are_counted_for_the_clients_own_log_only(world) -> None:
    world.announce()
    delta = np.array([2, -2, 1, -1, 0.5, 1.0001, 0], dtype=np.float32)
    done = submit(world, delta)
    assert (done.clipped, done.shortened) == (3, False)
    assert submit(world, delta / 4).clipped == 0


def test_a_client_sees_in_its_own_log_that_its_update_was_too_long(make_world, field) -> None:
    world = make_world(n=2, m=2, d=16, field=field, privacy=Privacy(1.0))
    world.announce()
    for value, shortened in ((0.24, False), (0.26, True)):
        done = submit(world, np.full(16, value, np.float32))
        assert (done.shortened, done.clipped) == (shortened, 0)


def test_a_limit_that_does_not_bind_changes_no_byte_of_the_shares_values(make_world, field) -> None:
    opened = []
    for privacy in (None, Privacy(100.0)):
        world = make_world(n=2, m=2, d=40, field=field, privacy=privacy, mode="public")
        world.run()
        opened.append(world.delivery.share[:41].tobytes())
    assert opened[0] == opened[1]


def test_a_submission_is_all_that_is_stored_and_sent(world) -> None:
    """Field by field: the header that leaves, the memory, the ledger's row and what is kept to send it again."""
    world.announce(3)
    own, before = one(world)
    pieces: list[Any] = []
    done = submit(world, keep=lambda piece: pieces.append(piece.copy()))
    header, share, setup = done.submission.header, done.submission.share, world.setup
    session_key = before.group.session_key(world.sid)
    digest = share_hash(world.sid, 1, share.nbytes, merkle_root(share, world.manifest.bulk_hash))
    assert header == Header(
        world.sid, 1, FRESH.nonce, before.group.check_value(), session_key_hash(world.sid, session_key),
        before.sealed_hashes, digest, NO_SESSION, header.signature,
    )  # fmt: skip
    header.require_signature_of(world.client_keys[1].public_bytes, world.sid)
    # The memory: one write with the announcement, this round's keys gone, and the session followed.
    followed = FollowedSession(setup, 3, world.state_id, before.group, header.hash(), NO_SESSION, ())
    spent = tuple(chain.advance_to(4, setup) for chain in before.chains)
    assert done.memory == before.next(last_round=3, followed=(followed,), chains=spent)
    # The row, and what is kept.
    entry = done.entry
    assert (entry.key, entry.data_set) == (own.identity.public_bytes, own.data_set)
    assert (entry.weights, entry.manifest) == (before.state.weights, world.manifest.digest())
    assert (entry.setup, entry.round, entry.state_id, entry.origin) == (setup, 3, world.state_id, NO_SESSION)
    assert (entry.header_hash, entry.end, entry.sid) == (header.hash(), SessionEnd.UNKNOWN, world.sid)
    round_keys = tuple(chain.advance_to(3, setup).round_key(setup) for chain in before.chains)
    assert (done.kept.header, done.kept.weight, done.kept.session_key) == (header, 3, session_key)
    assert done.kept.round_keys == round_keys
    encoded = [value % world.prime for value in world.encoded(world.delta(1), 3, FRESH.rounding_key)]
    assert np.concatenate(pieces).tolist() == encoded


def test_an_upload_is_one_vector_whatever_the_number_of_aggregators(make_world, field) -> None:
    sizes = {}
    for n in (2, 7):
        world = make_world(n=n, m=2, d=1000, field=field)
        world.announce()
        sizes[n] = submit(world).submission.share.nbytes
    assert sizes[2] == sizes[7] == (1000 + 1 + field.tags) * field.element_bytes


def test_a_share_tells_nothing_by_itself_two_submissions_of_one_update_differ_everywhere(world) -> None:
    world.announce()
    shares = [submit(world, fresh=SubmissionSecrets(secrets.token_bytes(32), ZERO)).submission.share for _ in range(2)]
    assert not np.any(shares[0] == shares[1])


def test_the_rounding_depends_on_its_key_alone(world) -> None:
    """Sent again under a fresh nonce, in another session, the same update has the same numbers."""
    encoded: dict[bytes, list[Any]] = {ZERO: [], ONES: []}
    for key, found in encoded.items():
        for nonce in (ZERO, ONES):
            world.announce()
            pieces: list[Any] = []
            submit(
                world, fresh=SubmissionSecrets(nonce, key), keep=lambda piece, into=pieces: into.append(piece.copy())
            )
            found.append(np.concatenate(pieces).tolist())
    assert encoded[ZERO][0] == encoded[ZERO][1]
    assert encoded[ONES][0] == encoded[ONES][1]
    assert encoded[ZERO][0] != encoded[ONES][0]


def test_a_client_submits_once_from_a_model_whatever_is_announced(submitted) -> None:
    """By its key in another task too, and by its data set under another key, until everyone called that void."""
    (entry,) = submitted.ledgers[1]
    fields = {"key": ZERO, "data_set": ZERO, "weights": ZERO, "manifest": ZERO}
    for others in product(*([{}, {name: value}] for name, value in fields.items())):
        changes = {name: value for other in others for name, value in other.items()}
        for end in SessionEnd:
            submitted.ledgers[1] = [replace(entry, end=end, **changes)]
            elsewhere = "weights" in changes or {"key", "data_set"} <= set(changes)
            if elsewhere or end is SessionEnd.VOID:
                assert submit(submitted).memory.last_round == 1
                continue
            with pytest.raises(RefusedError, match="was opened, or is not proven void"):
                submit(submitted)


def test_a_refused_announcement_leaves_the_update_unread(world) -> None:
    world.announce()
    world.announcements = world.announcements[:-1]
    kept: list[Any] = []
    with pytest.raises(RefusedError, match="not exactly one message"):
        submit(world, np.zeros(3, np.float32), keep=kept.append)
    assert kept == []


def test_no_repr_shows_the_rounding_key_or_an_update() -> None:
    assert repr(FRESH.rounding_key) not in repr(FRESH)
    world = World(n=2, initial=TrainingState(bytes([0xA7]) * 32, bytes([0xA8]) * 32, 0))
    world.announce()
    done = submit(world)
    shown = repr(done) + repr(done.entry) + repr(Update(world.delta(1), 3))
    hidden = [world.client_memories[1].group.key, done.kept.session_key, *done.kept.round_keys]
    hidden += [chain.key for chain in done.memory.chains]
    hidden += [done.memory.state.digest, done.memory.state.weights]
    assert not [value for value in hidden if repr(value) in shown or value.hex() in shown]
    assert not [name for name in ("weight=", "delta", "array", "share=") if name in shown]
    assert bytes([2, 1, 0]).hex() + "00" * 29 not in repr(world.clients[1])
