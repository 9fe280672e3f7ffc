"""A client follows announcements, submits once, and says no more than it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.client import Check, SubmissionSecrets
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.streams import CHUNK_BYTES
from privateyes.errors import DeliveryError, MalformedError, RefusedError, TrainingError

FRESH = SubmissionSecrets(bytes(32), bytes([8]) * 32)


def test_an_announcement_of_a_round_that_has_passed_is_refused(world) -> None:
    world.announce(5)
    observed = world.clients[1].observe(world.client_memories[1], world.announcements)
    assert observed.last_round == 5
    assert observed.current_sid == world.sid
    for _ in range(2):
        with pytest.raises(RefusedError, match="does not follow round 5"):
            world.clients[1].observe(observed, world.announcements)


@pytest.mark.parametrize("damage", ["none", "missing", "twice", "extra"])
def test_exactly_one_announcement_of_every_aggregator_is_needed(world, damage) -> None:
    world.announce()
    everyone = world.announcements
    changed = {
        "none": [],
        "missing": everyone[:-1],
        "twice": [everyone[0]] * world.n,
        "extra": [*everyone, everyone[0]],
    }
    with pytest.raises(RefusedError, match="not exactly one message"):
        world.clients[1].observe(world.client_memories[1], changed[damage])


@pytest.mark.parametrize("changes", [{"round": 9}, {"epoch": 2}, {"state_id": bytes(32)}])
def test_an_announcement_that_was_altered_is_refused(world, changes) -> None:
    world.announce()
    for position in range(world.n):
        altered = list(world.announcements)
        altered[position] = replace(altered[position], **changes)
        with pytest.raises(MalformedError):
            world.clients[1].observe(world.client_memories[1], altered)


def test_announcements_in_any_order_are_one_announcement(world) -> None:
    world.announce()
    world.announcements.reverse()
    world.submit(1)


def test_an_announcement_of_another_epoch_is_refused_even_if_signed(world) -> None:
    world.announce()
    setup = world.group.setup
    other = [
        replace(message, epoch=2).signed_by(world.aggregator_keys[message.aggregator], setup)
        for message in world.announcements
    ]
    with pytest.raises(RefusedError, match="another epoch"):
        world.clients[1].observe(world.client_memories[1], other)


def test_a_round_too_far_ahead_is_refused(world) -> None:
    world.announce(1024)
    world.submit(1)
    with pytest.raises(RefusedError, match="more than 1024"):
        world.announce(3000)


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
        world.clients[1].submit(world.client_memories[1], world.announcements, delta, 1, FRESH)
    assert refusal.value.remedy


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
    results = [
        world.clients[1].submit(world.client_memories[1], world.announcements, delta, 3, FRESH).submission.to_bytes()
        for delta in (world.delta(1), view)
    ]
    assert results[0] == results[1]


def test_clipped_coordinates_are_counted_for_the_clients_own_log_only(world) -> None:
    world.announce()
    delta = np.array([2, -2, 1, -1, 0.5, 1.0001, 0], dtype=np.float32)
    done = world.clients[1].submit(world.client_memories[1], world.announcements, delta, 3, FRESH)
    assert done.clipped == 3


def test_a_client_sees_in_its_own_log_that_its_update_was_too_long(make_world, field) -> None:
    world = make_world(n=2, m=2, d=16, field=field, privacy=Privacy(1.0))
    world.announce()
    for value, shortened in ((0.24, False), (0.26, True)):
        delta = np.full(16, value, np.float32)
        done = world.clients[1].submit(world.client_memories[1], world.announcements, delta, 3, FRESH)
        assert (done.shortened, done.clipped) == (shortened, 0)


def test_a_limit_that_does_not_bind_changes_no_byte_of_the_shares_values(make_world, field) -> None:
    opened = []
    for privacy in (None, Privacy(100.0)):
        world = make_world(n=2, m=2, d=40, field=field, privacy=privacy, mode="public")
        world.run()
        opened.append(world.delivery.share[:41].tobytes())
    assert opened[0] == opened[1]


def test_an_upload_is_one_vector_whatever_the_number_of_aggregators(make_world, field) -> None:
    sizes = {}
    for n in (2, 7):
        world = make_world(n=n, m=2, d=1000, field=field)
        world.announce()
        sizes[n] = world.submit(1).share.nbytes
    assert sizes[2] == sizes[7] == (1000 + 1 + field.tags) * field.element_bytes


def test_a_share_tells_nothing_by_itself_two_submissions_of_one_update_differ_everywhere(world) -> None:
    world.announce()
    before = world.client_memories[1]
    shares = []
    for _ in range(2):
        world.client_memories[1] = before
        shares.append(world.submit(1).share)
    assert not np.any(shares[0] == shares[1])


def test_a_pending_result_is_still_accepted_after_the_next_announcement(world) -> None:
    world.run()
    delivery = world.delivery
    world.announce()
    world.client_memories[1] = world.clients[1].observe(world.client_memories[1], world.announcements)
    assert world.check(1, delivery).counted


def test_a_complaint_says_session_and_check_and_nothing_else(world) -> None:
    world.run()
    complaint = world.clients[2].complain(world.sid, Check.TAG)
    assert (complaint.sid, complaint.client, complaint.check) == (world.sid, 2, 5)
    complaint.require_signature_of(world.client_keys[2].public_bytes, world.sid)
    assert len(complaint.to_bytes()) == 1 + 32 + 4 + 1 + 64


def test_checks_are_made_in_the_order_of_their_numbers(world) -> None:
    world.run()
    delivery = world.delivery
    damaged = {
        Check.SESSION: {"sid": bytes(32)},
        Check.GROUP_KEY: {"group_check": bytes(32)},
        Check.ROSTER: {"roster": delivery.roster[:1]},
        Check.SIGNATURES: {"results": delivery.results[::-1]},
    }
    changes: dict[str, object] = {}
    for check in sorted(damaged, reverse=True):
        changes |= damaged[check]
        with pytest.raises(DeliveryError) as refusal:
            world.check(1, replace(delivery, **changes))
        assert refusal.value.check == check


def test_no_repr_shows_the_rounding_key_or_an_update(world) -> None:
    assert repr(FRESH.rounding_key) not in repr(FRESH)
    world.announce()
    done = world.clients[1].submit(world.client_memories[1], world.announcements, world.delta(1), 3, FRESH)
    shown = repr(done)
    assert repr(world.client_memories[1].group.key) not in shown
    assert all(repr(chain.key) not in shown for chain in done.memory.chains)
    assert bytes([2, 1, 0]).hex() + "00" * 29 not in repr(world.clients[1])
