"""What a record proves about sealing keys, sealed secrets and announcements."""

from __future__ import annotations

from typing import Any

import pytest

from audit_records import OTHER, forged, named, resigned, set_up_of
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Level, Outcome
from privateyes.aggregation.keys import MAX_EPOCH
from privateyes.aggregation.messages import AggregatorKey, Announcement, ClientKey, Voucher
from privateyes.crypto.sealing import SEALING_PUBLIC_KEY_BYTES

KEY = bytes(SEALING_PUBLIC_KEY_BYTES)


def test_what_a_restart_during_the_set_up_explains_is_noted_only(make: Any) -> None:
    """An honest party that dies in the middle of a set-up has stored nothing, and begins again."""
    case = make()
    world = case.world
    sealed, group = world.stream_keys[3][0], world.group_keys[1]
    again = [
        resigned(world, sealed, sealed=bytes(len(sealed.sealed))),
        resigned(world, group, sealed=bytes(len(group.sealed))),
        *[resigned(world, AggregatorKey(1, 1, 2, bytes([i]) * SEALING_PUBLIC_KEY_BYTES)) for i in (1, 2)],
        *[resigned(world, ClientKey(world.setup, 3, bytes([i]) * SEALING_PUBLIC_KEY_BYTES)) for i in (1, 2)],
        *[resigned(world, Voucher(world.setup, 3, bytes([i]) * 32)) for i in (1, 2)],
    ]
    found = audit(world.manifest, [*case.said, *again], whole=True)
    assert found.faults == ()
    assert found.is_complete  # what is noted lacks nothing
    noted = {(finding.step, finding.parties) for finding in found.findings if finding.level is Level.NOTED}
    assert noted == {
        ("set-up 2", ("aggregator 2",)),
        ("set-up 2", ("client 3",)),
        ("set-up 3", ("client 3",)),
        ("set-up 4", ("client 1",)),
    }
    only_again = [m for m in [*case.said, *again] if m != sealed]
    mismatch = [finding.what for finding in audit(world.manifest, only_again).findings]
    assert any("names another stream key for aggregator 1" in what for what in mismatch)


def test_two_keys_of_one_label_are_honest_and_every_combination_is_tried(make: Any) -> None:
    """The offers of a set-up that came to nothing stand before those of the one that was bound."""
    case = make()
    world = case.world
    early = [resigned(world, AggregatorKey(1, 1, number, KEY)) for number in (1, 2, 3)]
    found = audit(world.manifest, [*early, *case.said])
    assert found.faults == ()
    assert [(session.outcome, session.setup) for session in found.sessions] == [(Outcome.CERTIFIED, world.setup)]


@pytest.mark.parametrize("offer", [AggregatorKey(1, 3, 2, KEY), AggregatorKey(MAX_EPOCH + 1, 1, 2, KEY)])
def test_an_offer_that_no_honest_aggregator_makes_is_proven(make: Any, offer: AggregatorKey) -> None:
    """Clients 1 and 2 are the manifest's leaders."""
    case = make()
    world = case.world
    found = named(world, [*case.said, resigned(world, offer)])
    assert list(found) == [(Level.PROVEN, ("aggregator 2",))]
    assert "a leader that the manifest does not name" in found[Level.PROVEN, ("aggregator 2",)][0]
    assert named(world, [*case.said, forged(world, offer)]) == {}
    assert named(world, [*case.said, resigned(world, AggregatorKey(MAX_EPOCH, 2, 2, KEY))]) == {}


def test_a_set_up_with_the_second_leader_is_as_good_as_one_with_the_first(make_world: Any) -> None:
    world = make_world(set_up=False)
    world.set_up(leader=2)
    found = audit(world.manifest, set_up_of(world))
    assert found.faults == ()
    usual = resigned(world, world.group_keys[0], leader=1)
    assert list(named(world, [*set_up_of(world), usual])) == [(Level.PROVEN, ("client 1",))]


def test_what_is_said_in_a_set_up_of_which_the_record_lacks_a_key_is_not_judged(make: Any) -> None:
    case = make()
    world = case.world
    guilty = resigned(world, world.group_keys[1], leader=3)
    record = [message for message in [*case.said, guilty] if message != world.offers[1]]
    found = audit(world.manifest, record)
    assert found.faults == ()
    assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]
    assert any("1 set-up without the sealing keys that show the manifest" in finding.what for finding in found.findings)
    (fault,) = audit(world.manifest, record, whole=True).faults  # the whole record of a task has them
    assert (fault.level, fault.parties) == (Level.SUSPECTED, (RECORDER,))
    assert (Level.PROVEN, ("client 3",)) in named(world, [*record, world.offers[1]])


def test_messages_of_a_set_up_in_which_nothing_verifies_make_the_recorder_suspected(make: Any) -> None:
    case = make()
    world = case.world
    strange = forged(world, Announcement(OTHER, 2, 0, OTHER))
    (fault,) = audit(world.manifest, [*case.said, strange]).faults
    assert (fault.level, fault.parties) == (Level.SUSPECTED, (RECORDER,))
    assert "1 set-up in which nothing is signed by a party of this manifest, with 1 message:" in fault.what


def test_a_forged_announcement_announces_nothing(make: Any) -> None:
    case = make()
    world = case.world
    said = [forged(world, m) if isinstance(m, Announcement) and m.aggregator == 2 else m for m in case.said]
    (session,) = audit(world.manifest, said).sessions
    told = [(found.level, found.what, found.parties) for found in session.findings if found.step == "step 0"]
    assert told == [(Level.MISSING, f"1 of {len(world.manifest.aggregators)} announcements", ("aggregator 2",))]


def test_of_three_offers_or_states_the_number_is_told(make_world: Any) -> None:
    world = make_world(n=3, set_up=False)
    three = [resigned(world, AggregatorKey(1, 1, 1, bytes([mark]) * SEALING_PUBLIC_KEY_BYTES)) for mark in (1, 2, 3)]
    told = [finding.what for finding in audit(world.manifest, three).findings]
    assert "offered 3 sealing keys under epoch label 1: a restart, or several set-ups" in told


@pytest.mark.parametrize("states", [2, 3])
def test_announcements_are_told_round_after_round(make_world: Any, states: int) -> None:
    world = make_world()
    rounds = [9, 3, 12, 1, 1000, 6]
    said = [
        resigned(world, Announcement(world.setup, 1, number, bytes([mark]) * 32))
        for number in rounds
        for mark in range(states)
    ]
    found = audit(world.manifest, [*world.offers, *said])
    own = [fault.what for fault in found.faults if fault.level is Level.PROVEN]
    noted = [finding.what for finding in found.findings if "was announced from different states" in finding.what]
    assert [int(what.split()[2]) for what in own] == sorted(rounds)
    assert all(what.endswith(f"from {states} different states") for what in own)
    assert [int(what.split()[1]) for what in noted] == sorted(rounds)


def test_keys_that_were_sealed_twice_are_told_in_the_order_of_their_receivers(make_world: Any) -> None:
    world = make_world(n=7, m=12)
    keys = [key for sealed in world.stream_keys.values() for key in sealed if key.client == 3]
    groups = [key for key in world.group_keys if key.leader == 1]
    again = [resigned(world, key, sealed=bytes(len(key.sealed))) for key in [*keys, *groups]]
    whats = [finding.what for finding in audit(world.manifest, [*again[::-1], *set_up_of(world)]).findings]
    for begin, count in (("stream keys to aggregator ", 7), ("group keys to client ", 12)):
        own = [what for what in whats if what.startswith(f"sealed different {begin}")]
        told = [int(what.removeprefix(f"sealed different {begin}").split()[0]) for what in own]
        assert told == sorted(told)
        assert len(told) == count


def test_labels_with_several_keys_are_told_in_their_order(make_world: Any) -> None:
    world = make_world(n=3, set_up=False)
    labels = [40, 3, 1000, 7, 22]
    keys = [
        resigned(world, AggregatorKey(label, 1, 1, bytes([mark]) * SEALING_PUBLIC_KEY_BYTES))
        for label in labels
        for mark in (1, 2)
    ]
    told = [finding.what for finding in audit(world.manifest, keys).findings if "under epoch label" in finding.what]
    assert [int(what.split("label ")[1].split(":")[0]) for what in told] == sorted(labels)


def test_different_announcements_of_different_aggregators_accuse_nobody(make_world: Any) -> None:
    """Each signs the state that the hub names."""
    world = make_world()
    said = [
        Announcement(world.setup, s, 0, bytes([s]) * 32).signed_by(key, world.setup)
        for s, key in world.aggregator_keys.items()
    ]
    found = audit(world.manifest, [*world.offers, *said])
    assert found.faults == ()
    assert any("announced from different states" in finding.what for finding in found.findings)


def test_more_combinations_of_keys_than_are_tried_are_told(make_world: Any) -> None:
    world = make_world(n=7, set_up=False)
    keys = [
        resigned(world, AggregatorKey(1, 1, number, bytes([mark]) * SEALING_PUBLIC_KEY_BYTES))
        for number in range(1, 8)
        for mark in range(4)
    ]
    found = audit(world.manifest, keys)
    assert found.faults == ()
    assert any("too many combinations of sealing keys to try" in finding.what for finding in found.findings)
    fewer = [key for key in keys if key.aggregator < 7]
    alone = resigned(world, AggregatorKey(1, 1, 7, KEY))
    most = [*fewer, alone]  # 4096 combinations, all of which are tried
    other_label = [resigned(world, AggregatorKey(2, 1, number, KEY)) for number in range(1, 8)]
    for said, told in ((fewer, False), (most, False), ([*most, *other_label], True)):
        findings = audit(world.manifest, said).findings
        assert any("too many combinations" in finding.what for finding in findings) == told
