"""What a record proves about commitments, T and openings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audit_records import ALL, OTHER, as_receipts, faults, forged, named, record_of, resigned, set_up_of, without
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import HUB, RECORDER, Level
from privateyes.aggregation.messages import (
    Agreement,
    Delivery,
    DeliveryReceipt,
    HubCommitment,
    HubSum,
    Message,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
)


def test_who_copied_a_commitment_is_known_once_it_is_opened(make: Any) -> None:
    case = make()
    world = case.world
    copy = resigned(world, world.commitments[2], commitment=world.commitments[1].commitment)
    base = [*world.offers, *world.announcements, *world.commitments[:2]]
    both = ("aggregator 2", "aggregator 3")
    assert list(named(world, [*base, copy])) == [(Level.INCONSISTENT, both)]
    assert list(named(world, [*base, copy, world.openings[1]])) == [(Level.PROVEN, ("aggregator 3",))]
    assert named(world, [*base, forged(world, copy), world.openings[1]]) == {}
    # An opening of something else says nothing about whose commitment it was.
    found = named(world, [*base, copy, world.openings[2]])
    assert list(found) == [(Level.PROVEN, ("aggregator 3",)), (Level.INCONSISTENT, both)]
    assert found[Level.PROVEN, ("aggregator 3",)] == ["opened something other than it committed to"]


def test_honest_aggregators_that_were_told_different_sums_are_not_proven_guilty(make_world: Any) -> None:
    """com_0 is not signed: a lying hub makes honest aggregators sign different T."""
    world = make_world()
    world.run(to="commit")
    world.agreements = []
    for s, own in world.aggregators.items():
        told = replace(world.hub_commitment, commitment=bytes([min(s, 2)]) * 32)
        world.agreements.append(own.agree(world.aggregator_memories[s], world.commitments, told).message)
    found = named(world, [*set_up_of(world), *record_of(world)])
    assert list(found) == [(Level.INCONSISTENT, ("hub", *ALL))]


def test_a_t_that_does_not_follow_from_the_words_here_names_all_that_could_have_changed_one(make: Any) -> None:
    """The aggregators are honest: whoever wrote the record altered com_0. With a delivery its own com_0 is known."""
    case = make()
    world = case.world
    base = without(as_receipts(world, case.said), HubCommitment, DeliveryReceipt, ResultSignature, OpeningReceipt)
    base = [message for message in base if type(message).__name__ != "HubSumReceipt"]
    altered = HubCommitment(world.sid, OTHER)
    (fault,) = faults(world, [*base, altered])
    assert (fault.level, fault.parties) == (Level.INCONSISTENT, (HUB, RECORDER, *ALL))
    assert faults(world, base) == ()  # com_0 is missing, which is no fault
    assert faults(world, [*base, world.hub_commitment]) == ()
    (fault,) = faults(world, [*base, altered, world.delivery])
    assert (fault.level, fault.parties) == (Level.SUSPECTED, (HUB, RECORDER))


def test_an_opening_beside_anothers_other_t_names_two(make: Any) -> None:
    case = make()
    world = case.world
    base = without(as_receipts(world, case.said), Agreement, ResultSignature, DeliveryReceipt)
    base = [message for message in base if not (isinstance(message, OpeningReceipt) and message.aggregator != 1)]
    other = resigned(world, world.agreements[1], transcript=OTHER)
    found = named(world, [*base, world.agreements[0], other])
    assert (Level.INCONSISTENT, ("aggregator 1", "aggregator 2")) in found
    assert {level for level, _ in found} == {Level.INCONSISTENT}
    assert named(world, [*base, world.agreements[0], forged(world, other)]) == {}


def test_a_commitment_under_t_that_is_not_the_one_in_the_record_names_the_signer_and_the_other(make: Any) -> None:
    case = make()
    world = case.world
    base = [message for message in case.said if message is not world.commitments[2]]
    other = resigned(world, world.commitments[2], commitment=OTHER)
    found = named(world, [*without(base, ResultSignature, HubSum), other])
    assert (Level.INCONSISTENT, ("aggregator 1", "aggregator 3")) in found
    assert (Level.INCONSISTENT, ("aggregator 2", "aggregator 3")) in found
    assert {parties for level, parties in found if level is Level.PROVEN} == {("aggregator 3",)}


def test_where_different_rosters_are_signed_no_t_is_held_against_them(make: Any) -> None:
    case = make()
    world = case.world
    other = resigned(world, world.commitments[2], rho=OTHER)
    unknown = resigned(world, world.agreements[0], transcript=OTHER)
    record = [*world.offers, *world.announcements, *world.commitments[:2], other, world.hub_commitment, unknown]
    (fault,) = faults(world, record)
    assert (fault.step, fault.parties) == ("step 2", ALL)


def test_who_opened_twice_and_committed_twice_is_named_for_that_alone(make: Any) -> None:
    case = make()
    world = case.world
    receipt = world.openings[1].receipt(world.manifest.bulk_hash)
    twice = [resigned(world, receipt, salt=OTHER), resigned(world, world.commitments[1], commitment=OTHER)]
    found = named(world, [*case.said, *twice])
    assert found[Level.PROVEN, ("aggregator 2",)] == [
        "signed 2 different rosters or commitments for one session",
        "signed 2 different openings for one session",
    ]


def test_openings_are_said_to_fit_where_each_is_held_against_all_that_its_signer_committed_to(make: Any) -> None:
    case = make()
    world = case.world

    def fit(messages: list[Message]) -> bool:
        found = audit(world.manifest, messages).everything
        return "every opening fits its commitment" in [finding.what for finding in found]

    bare = without(case.said, Delivery)
    assert fit(case.said)
    assert fit(bare)
    assert not fit([message for message in bare if message is not world.openings[0]])
    assert not fit(without(bare, RosterCommitment, Agreement))
    unfit = resigned(world, world.openings[1].receipt(world.manifest.bulk_hash), salt=OTHER)
    assert not fit([*(message for message in bare if message is not world.openings[1]), unfit])
    assert not fit([*bare, resigned(world, world.commitments[1], commitment=OTHER)])


def test_without_a_commitment_nothing_is_said_of_a_t_that_it_is_part_of(make: Any) -> None:
    case = make()
    world = case.world
    base = without(case.said, Delivery, DeliveryReceipt, RosterCommitment, Agreement, ResultSignature)
    unknown = [resigned(world, word, transcript=OTHER) for word in world.agreements]
    text = "the signed T does not follow from the commitments"

    def told(commitments: list[RosterCommitment]) -> bool:
        return any(fault.what.startswith(text) for fault in faults(world, [*base, *commitments, *unknown]))

    assert told(world.commitments)
    assert not told(world.commitments[:2])
