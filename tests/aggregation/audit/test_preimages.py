"""What signed hashes stand for is found where parties spoke once, and within a budget where they spoke twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from audit_records import OTHER, forged, resigned, without
from hostile_records import HostileTask, first, product_of_commitments
from privateyes.aggregation.audit import audit, preimages
from privateyes.aggregation.audit.evidence import SessionEvidence, collect
from privateyes.aggregation.audit.findings import Level
from privateyes.aggregation.audit.preimages import Budget, Preimages, Roster, Transcript, find_preimages
from privateyes.aggregation.messages import Delivery, HubCommitment, HubSum, Message, RosterCommitment
from privateyes.aggregation.roster import roster_digest


def session_of(world: Any, messages: list[Message]) -> SessionEvidence:
    (session,) = collect(world.manifest, messages).judged
    return session


@pytest.fixture
def counted() -> Iterator[Any]:
    """How many transcripts are hashed."""
    with mock.patch.object(preimages, "transcript_digest", wraps=preimages.transcript_digest) as hashed:
        yield hashed


def found_in(world: Any, messages: list[Message], budget: int = 100_000) -> Preimages:
    return find_preimages(world.manifest, session_of(world, messages), Budget(budget))


def test_words_that_were_said_once_cost_nothing_of_the_budget(make: Any) -> None:
    case = make()
    record = without(case.said, Delivery)
    found = found_in(case.world, record, budget=0)
    assert found.voted in found.rosters
    assert set(found.transcripts) == {case.world.agreements[0].transcript}
    assert not found.unsearched


def test_however_many_sums_the_hub_names_the_right_one_is_found(make: Any, counted: Any) -> None:
    case = make()
    sums = [HubCommitment(case.world.sid, number.to_bytes(32, "big")) for number in range(500)]
    found = found_in(case.world, [*without(case.said, Delivery), *sums], budget=0)
    assert case.world.agreements[0].transcript in found.transcripts
    assert counted.call_count <= 501


def second_words(world: Any, number: int) -> list[Any]:
    """More commitments of aggregators 1 and 2, all signed by them."""
    return [
        resigned(world, word, commitment=(mark * 2 + own).to_bytes(32, "big"))
        for own, word in enumerate(world.commitments[:2])
        for mark in range(number)
    ]


def test_words_that_were_said_twice_are_searched_within_the_budget(make: Any, counted: Any) -> None:
    case = make()
    world = case.world
    record = [*second_words(world, 9), *without(case.said, Delivery)]
    transcript = world.agreements[0].transcript
    enough = found_in(world, record)
    assert transcript in enough.transcripts
    assert counted.call_count == 100  # the last of ten by ten
    counted.reset_mock()
    spent = found_in(world, record, budget=40)
    assert (spent.unsearched, transcript in spent.transcripts) == (True, False)
    assert counted.call_count <= 40


def test_what_is_not_searched_is_told_and_the_second_words_are_proven_all_the_same(make: Any) -> None:
    case = make()
    world = case.world
    record = [*second_words(world, 9), *without(case.said, Delivery)]
    with mock.patch.object(Budget, "spend", return_value=False):
        found = audit(world.manifest, record)
    assert {fault.parties for fault in found.faults if fault.level is Level.PROVEN} == {
        ("aggregator 1",),
        ("aggregator 2",),
    }
    noted = [finding.what for finding in found.everything if finding.level is Level.NOTED]
    assert any("not searched further" in what for what in noted)


def test_one_budget_serves_all_sessions_of_a_record() -> None:
    budget = Budget(10)
    assert [budget.spend(4) for _ in range(4)] == [True, True, False, False]
    assert [Budget(4).spend(number) for number in (4, 5)] == [True, False]


def test_the_product_of_six_aggregators_commitments_is_never_made(counted: Any) -> None:
    """20^6 combinations stand in 65 kB; without the budget this test would not end."""
    task = HostileTask()
    found = audit(task.manifest, first(product_of_commitments(task), 10_000))
    assert counted.call_count < 110_000
    assert any("not searched further" in finding.what for finding in found.everything)


def test_a_roster_is_found_among_votes_that_were_given_twice(make: Any) -> None:
    case = make()
    world = case.world
    second = resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])
    found = found_in(world, [*without(case.said, Delivery), second])
    assert found.voted is None
    assert world.commitments[0].rho in found.rosters
    assert found_in(world, [*without(case.said, Delivery), second], budget=0).unsearched


def test_a_search_ends_with_what_it_looked_for_and_does_not_begin_where_nothing_can_be_found(make: Any) -> None:
    case = make()
    world = case.world
    base = without(case.said, Delivery)
    first_is_right = found_in(world, [*base, *second_words(world, 9)], budget=1)
    assert not first_is_right.unsearched
    assert world.agreements[0].transcript in first_is_right.transcripts
    known = [*case.said, *second_words(world, 9)]  # from the delivery
    no_sum = [*without(base, HubCommitment, HubSum), *second_words(world, 9)]
    too_few = [*without(base, RosterCommitment, of=3), *second_words(world, 9)]
    for record, there in ((known, True), (no_sum, False), (too_few, False)):
        found = found_in(world, record, budget=-1)  # other sessions of the record have spent it
        assert (found.unsearched, world.agreements[0].transcript in found.transcripts) == (False, there)


def test_votes_that_were_given_twice_cost_a_hash_and_one_for_every_four_entries(make: Any) -> None:
    case = make()
    world = case.world
    second = resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])
    session = session_of(world, [*without(case.said, Delivery), second])
    budget = Budget(100)
    find_preimages(world.manifest, session, budget)
    assert budget.left == 100 - (1 + 12 // 4)  # the first combination is the right one
    # Where a delivery tells the roster, nothing is searched.
    nothing = Budget(0)
    found = find_preimages(world.manifest, session_of(world, [*case.said, second]), nothing)
    assert (found.unsearched, nothing.left) == (False, 0)


@pytest.mark.parametrize(
    ("number", "under", "known", "unsearched"), [(4, 4, True, False), (5, 4, True, True), (5, 5, False, True)]
)
def test_four_group_keys_are_tried_for_a_roster(
    make: Any, number: int, under: int, known: bool, unsearched: bool
) -> None:
    world = make(m=5).world
    named = [
        resigned(world, world.submissions[client].header, group_check=bytes([client]) * 32)
        for client in range(1, number + 1)
    ]
    entries = tuple((header.client, header.hash()) for header in named)
    votes = [resigned(world, vote, entries=entries) for vote in world.votes]
    rho = roster_digest(world.sid, bytes([under]) * 32, entries)
    signed = resigned(world, world.commitments[0], rho=rho)
    found = found_in(world, [*world.offers, *world.announcements, *named, *votes, signed])
    assert (rho in found.rosters, found.unsearched, found.voted) == (known, unsearched, None)


def test_the_roster_of_the_votes_is_known_with_every_header_of_it(make: Any) -> None:
    case = make()
    world = case.world
    base = [*world.offers, *world.announcements]
    headers = [submission.header for submission in world.submissions.values()]

    def voted(entries: Any, *named: Any) -> bytes | None:
        votes = [resigned(world, vote, entries=entries) for vote in world.votes]
        return found_in(world, [*base, *named, *votes]).voted

    check = world.delivery.group_check
    for number in (1, 4):  # a roster of one is illegal, and the votes' all the same
        entries = world.entries[:number]
        assert voted(entries, *headers) == roster_digest(world.sid, check, entries)
    assert voted(world.entries, *headers[:3]) is None
    assert voted((), *headers) is None


def test_a_roster_is_known_under_t_if_both_are(make: Any) -> None:
    world = make().world
    transcript = Transcript(world.commitments[0].rho, world.delivery.commitments)
    roster = Roster(world.delivery.group_check, world.entries)
    known = Preimages({transcript.rho: roster}, {OTHER: transcript})
    assert known.roster_under(OTHER) == (transcript, roster)
    assert known.roster_under(transcript.rho) is None
    assert Preimages({OTHER: roster}, {OTHER: transcript}).roster_under(OTHER) is None


def test_commitments_that_nobody_signed_give_no_transcript(make: Any) -> None:
    case = make()
    world = case.world
    fakes = [forged(world, replace(word)) for word in world.commitments]
    found = found_in(world, [*without(case.said, Delivery, RosterCommitment), *fakes])
    assert (found.rosters, found.transcripts) == ({}, {})
