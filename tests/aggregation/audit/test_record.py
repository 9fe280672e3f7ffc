"""Sessions as a record shows them: what was certified, why others ended, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from audit_records import (
    ALL,
    OTHER,
    against_parties,
    as_receipts,
    faults,
    forged,
    record_of,
    resigned,
    set_up_of,
    without,
)
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Audit, Finding, Level, Outcome, joined
from privateyes.aggregation.messages import (
    ANNOUNCE,
    AggregatorKey,
    Announcement,
    Delivery,
    DeliveryReceipt,
    HubCommitment,
    Message,
    Opening,
    OpeningReceipt,
    ResultSignature,
    Vote,
)
from privateyes.errors import AbortError

# Honest sessions


@pytest.mark.parametrize("mode", ["sealed", "public"])
@pytest.mark.parametrize("short", [False, True], ids=["full", "receipts"])
@pytest.mark.parametrize("whole", [False, True], ids=["part", "whole"])
def test_an_honest_session_is_certified_and_everything_holds(make: Any, mode: str, short: bool, whole: bool) -> None:
    case = make(mode=mode)
    world = case.world
    found = audit(world.manifest, as_receipts(world, case.said) if short else case.said, whole)
    (session,) = found.sessions
    assert (session.outcome, session.roster, session.epoch, session.round) == (Outcome.CERTIFIED, (1, 2, 3, 4), 1, 0)
    assert session.setup == world.setup
    assert found.faults == ()
    words = ("announcements", "votes", "commitments", "signatures on T", "openings", "result signatures")
    holds = {f"all 3 {what}" for what in words} | {
        "the roster of 4 is what all voted for",
        "T holds the signed roster and commitments",
        "every opening fits its commitment",
    }
    added_up = {"the signed result is the sum of what was opened", "the hub's sum is the sum of the roster's shares"}
    assert {finding.what for finding in session.findings if finding.level is Level.HOLDS} == (
        holds if short else holds | added_up
    )
    levels = {finding.level for finding in found.everything}
    assert levels == ({Level.HOLDS} if mode == "sealed" else {Level.HOLDS, Level.MISSING})
    assert found.verified > 30


def test_with_the_disclosed_key_anyone_checks_a_public_sum(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    disclosure = world.clients[2].disclose(world.client_memories[2], world.delivery)
    record = [*without(as_receipts(world, case.said), DeliveryReceipt), world.delivery, disclosure]
    (session,) = audit(world.manifest, record).sessions
    assert session.total_weight == world.ideal().total_weight
    assert all(finding.level is Level.HOLDS for finding in session.findings)


def test_a_record_of_another_task_is_not_judged(make: Any, make_world: Any) -> None:
    other = make_world(first_client=7, m=5)
    found = audit(other.manifest, make().said)
    assert found.verified == 0
    assert {fault.parties for fault in found.faults} == {(RECORDER,)}  # keys that verify under no such manifest
    assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]
    assert "another task or manifest" in found.sessions[0].findings[0].what


def test_what_is_right_under_another_manifest_of_the_same_parties_is_not_held_against_them(make_world: Any) -> None:
    """The same keys in two tasks: two clients are enough in the one and too few in the other."""
    world, stricter = make_world(), make_world(roster_min=3, set_up=False)
    world.run(1, 2)
    assert world.aggregator_keys[1].public_bytes == stricter.aggregator_keys[1].public_bytes
    found = audit(stricter.manifest, [*without(set_up_of(world), AggregatorKey), *record_of(world)])
    assert found.faults == ()
    assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]
    assert against_parties(stricter, [*set_up_of(world), *record_of(world)]) == ()


def test_without_an_announcement_a_session_is_not_judged(make: Any) -> None:
    case = make()
    world = case.world
    second = resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])
    record = [*without(case.said, Announcement), second]
    assert faults(world, record) == ()
    hint = forged(world, world.announcements[0])  # the session id itself shows that it belongs, whoever says so
    assert any(fault.parties == ("aggregator 2",) for fault in faults(world, [*record, hint]))


def test_without_the_sealing_keys_a_session_is_not_judged(make: Any) -> None:
    case = make()
    second = resigned(case.world, case.world.votes[1], entries=case.world.votes[1].entries[:-1])
    record = [*case.said, second]
    for number in (1, 2, 3):
        fewer = without(record, AggregatorKey, of=number)
        assert faults(case.world, fewer) == ()
        assert audit(case.world.manifest, fewer).sessions[0].outcome is Outcome.UNPLACED
    assert faults(case.world, record) != ()


def test_a_session_in_which_nothing_is_signed_makes_the_recorder_suspected(make: Any) -> None:
    case = make()
    stray = HubCommitment(OTHER, OTHER)
    found = audit(case.world.manifest, [*case.said, stray])
    assert [(fault.level, fault.parties) for fault in found.faults] == [(Level.SUSPECTED, (RECORDER,))]
    assert [session.outcome for session in found.sessions] == [Outcome.CERTIFIED, Outcome.UNPLACED]


def test_a_session_that_was_only_announced_is_of_this_manifest_without_the_sealing_keys_too(make_world: Any) -> None:
    """The last file after a kill, without its set-up: the words about the session are filed under the set-up."""
    world = make_world()
    world.announce()
    for said in ([world.request(ANNOUNCE, world.round), *world.announcements], world.announcements[:1]):
        found = audit(world.manifest, said)
        assert found.faults == ()
        assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]
        assert "no announcement and sealing keys" in found.sessions[0].findings[0].what
    forgery = forged(world, world.announcements[0])
    assert {fault.parties for fault in audit(world.manifest, [forgery]).faults} == {(RECORDER,)}
    stray = HubCommitment(world.sid, OTHER)
    assert audit(world.manifest, [world.request(ANNOUNCE, world.round), stray]).faults == ()
    assert {fault.parties for fault in audit(world.manifest, [forgery, stray]).faults} == {(RECORDER,)}


def test_an_aborted_session_tells_its_step_and_blames_nobody(make_world: Any) -> None:
    world = make_world(roster_min=3)
    world.announce()
    world.submit_all(1, 2)
    world.vote()
    with pytest.raises(AbortError):
        world.commit()
    world.commitments = []
    notices = world.give_up()
    (session,) = audit(world.manifest, [*set_up_of(world), *record_of(world), *notices]).sessions
    assert (session.outcome, session.step, session.faults) == (Outcome.ABORTED, 2, ())
    assert any(
        "every aggregator voted for 2 clients; a roster has 3..4" in finding.what for finding in session.findings
    )
    assert sum(finding.level is Level.REFUSED for finding in session.findings) == 3


def test_a_void_session_and_the_one_after_it_blame_nobody(make_world: Any) -> None:
    world = make_world()
    world.run(to="agree")
    first = [*record_of(world), *world.give_up()]
    world.announce()
    closings = world.closings(0)
    for client in world.clients:
        world.settle(client, closings)
    world.submit_all()
    world.finish()
    found = audit(world.manifest, [*set_up_of(world), *first, *closings, *record_of(world)], whole=True)
    assert [(session.outcome, session.step) for session in found.sessions] == [
        (Outcome.ABORTED, 4),
        (Outcome.CERTIFIED, 5),
    ]
    assert found.faults == ()
    assert "T holds the signed roster and commitments" in [finding.what for finding in found.sessions[0].findings]


def test_a_session_that_stops_without_a_word_is_incomplete(make: Any) -> None:
    case = make()
    record = without(case.said, ResultSignature, Delivery, OpeningReceipt)
    (session,) = audit(case.world.manifest, without(record, Opening, of=2)).sessions
    assert (session.outcome, session.step, session.faults) == (Outcome.INCOMPLETE, 4, ())
    missing = {finding.what: finding.parties for finding in session.findings if finding.level is Level.MISSING}
    assert missing == {"1 of 3 openings": ("aggregator 2",), "3 of 3 result signatures": ALL}


# Printing


def test_findings_read_as_sentences() -> None:
    finding = Finding(Level.INCONSISTENT, "step 3", "signed different T", ("hub", *ALL, "client 2", "client 5"))
    assert str(finding) == "INCONSISTENT (step 3) hub, aggregators 1-3, clients 2, 5: signed different T"
    assert joined(()) == ""


def test_an_empty_record_has_no_sessions(make: Any) -> None:
    for whole in (False, True):
        assert audit(make().world.manifest, [], whole) == Audit((), (), 0, 0)


def _outcomes(world: Any, record: Sequence[Message]) -> list[Outcome]:
    return [session.outcome for session in audit(world.manifest, record).sessions]


def test_sessions_come_by_label_set_up_and_round_and_those_that_are_not_judged_last(make_world: Any) -> None:
    world = make_world()
    said = set_up_of(world)
    for _ in range(2):
        world.run(to="vote")
        said += [*record_of(world), *world.give_up()]
        world.ledgers = {client: [] for client in world.clients}
    world.set_up()
    world.run(to="vote")
    said += [*set_up_of(world), *record_of(world), *[Vote(OTHER, s, ()) for s in (1, 2)]]
    found = audit(world.manifest, [*reversed(said)])
    assert [(session.epoch, session.round) for session in found.sessions] == [(1, 0), (1, 1), (2, 0), (None, None)]
    assert _outcomes(world, said)[-1] is Outcome.UNPLACED
