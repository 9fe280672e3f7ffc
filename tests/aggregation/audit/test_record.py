"""Sessions as a record shows them: what was certified, why others ended, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from audit_records import (
    ALL,
    OTHER,
    RecordedWorld,
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
from privateyes.aggregation.audit import record as audit_record
from privateyes.aggregation.audit.findings import RECORDER, Audit, Finding, Level, Outcome, SessionAudit, joined
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    OPENED,
    VOID,
    Abort,
    AggregatorKey,
    Announcement,
    Closing,
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


def test_what_is_there_and_what_is_missing_is_told_up_to_the_step_that_a_record_reaches(make: Any) -> None:
    case = make()
    world = case.world
    holds = [
        "(step 0) all 3 announcements",
        "(step 2) all 3 votes",
        "(step 2) the roster of 4 is what all voted for",
        "(step 3) all 3 commitments",
        "(step 3) all 3 signatures on T",
        "(step 3) T holds the signed roster and commitments",
        "(step 4) all 3 openings",
        "(step 4) all 3 result signatures",
        "(step 4) the signed result is the sum of what was opened",
        "(step 4) every opening fits its commitment",
    ]
    fit = holds[-1]
    no_t = "MISSING (step 3) aggregators 1-3: 3 of 3 signatures on T"
    no_result = "MISSING (step 4) aggregators 1-3: 3 of 3 result signatures"
    one_result = "MISSING (step 4) aggregators 2-3: 2 of 3 result signatures"
    no_delivery = "MISSING (step 5) the delivery, which tells what the result signatures stand for"
    expected: list[tuple[Sequence[Message], Outcome, int, list[str], list[str]]] = [
        (world.announcements, Outcome.INCOMPLETE, 0, [], holds[:1]),
        ([world.submissions[1].header], Outcome.INCOMPLETE, 1, [], holds[:1]),
        ([own.header for own in world.submissions.values()], Outcome.INCOMPLETE, 1, [], holds[:1]),
        (world.votes, Outcome.INCOMPLETE, 2, [], holds[:2]),
        (world.commitments, Outcome.INCOMPLETE, 3, [no_t], holds[:4]),
        ([world.hub_commitment], Outcome.INCOMPLETE, 3, [no_t], holds[:4]),
        (world.agreements, Outcome.INCOMPLETE, 3, [], holds[:6]),
        (world.openings, Outcome.INCOMPLETE, 4, [no_result], [*holds[:7], fit]),
        ([world.total], Outcome.INCOMPLETE, 4, [no_result], [*holds[:7], fit]),
        (world.results[:1], Outcome.INCOMPLETE, 4, [one_result], [*holds[:7], *holds[8:]]),
        (world.results, Outcome.CERTIFIED, 5, [no_delivery], holds),
        ([world.delivery], Outcome.CERTIFIED, 5, [], holds),
    ]
    said = set_up_of(world)
    for more, outcome, step, missing, there in expected:
        said += more
        (session,) = audit(world.manifest, said).sessions
        assert (session.outcome, session.step) == (outcome, step)
        assert [str(finding) for finding in session.findings] == [*missing, *(f"HOLDS {what}" for what in there)]
    assert session.roster == (1, 2, 3, 4)


def _told(world: Any, messages: Sequence[Message], *levels: Level) -> list[str]:
    """What is said at these levels about the one session of a record, in order."""
    (session,) = audit(world.manifest, [*world.offers, *messages]).sessions
    return [str(finding) for finding in session.findings if finding.level in levels]


def test_announcements_are_missing_where_more_was_said_or_others_announced(make: Any) -> None:
    world = make().world
    place = world.request(CLOSING, world.round)
    closing = resigned(world, Closing(world.sid, 2, VOID))
    header = world.submissions[1].header
    expected = {
        "MISSING (step 0) aggregators 1-3: 3 of 3 announcements": [place, header],
        "MISSING (step 0) aggregators 2-3: 2 of 3 announcements": [world.announcements[0]],
    }
    for text, said in expected.items():
        assert _told(world, said, Level.MISSING) == [text]
    assert _told(world, [place, closing], Level.MISSING) == []


def test_what_cannot_be_recomputed_is_told_and_why(make: Any) -> None:
    case = make()
    world = case.world
    base = [*world.announcements, *(own.header for own in world.submissions.values())]
    no_votes = "MISSING (step 2) votes or headers, without which the signed roster cannot be recomputed"
    no_t = (
        "MISSING (step 3) what T was signed over: a commitment, or the hub's sum, is not in the record as it was signed"
    )
    roster = "HOLDS (step 2) the roster of 4 is what all voted for"

    def told(*said: Message) -> list[str]:
        found = _told(world, [*base, *said], Level.MISSING, Level.HOLDS)
        return [text for text in found if " of 3 " not in text and " all 3 " not in text]

    assert told(*world.votes) == []
    assert told(*world.votes, *world.commitments) == [roster]
    assert told(*world.commitments) == [no_votes]
    assert told(*world.agreements) == [no_t]
    assert told(*world.votes, *world.commitments, *world.agreements) == [no_t, roster]
    assert told(*world.votes, *world.agreements) == [no_t]
    # Of two rosters, or of one that the votes do not give, nothing is said here.
    second = resigned(world, world.commitments[1], rho=OTHER)
    assert told(*world.votes, *world.commitments, second) == []
    assert told(*world.votes, second) == []


def test_a_roster_that_came_to_nothing_is_explained_by_its_size_where_the_votes_show_it(make: Any) -> None:
    world = make().world
    notes = []
    for size in (1, 2, 4):
        votes = [resigned(world, vote, entries=world.entries[:size]) for vote in world.votes]
        notes.append(_told(world, [*world.announcements, *votes], Level.NOTED))
    assert notes == [
        ["NOTED (step 2) every aggregator voted for 1 client; a roster has 2..4"],
        [],
        [],
    ]
    one = [resigned(world, vote, entries=world.entries[:1]) for vote in world.votes]
    assert _told(world, [*world.announcements, *one[:2]], Level.NOTED) == []
    assert _told(world, [*world.announcements, *one, world.commitments[0]], Level.NOTED) == []


def test_how_a_session_ended_is_told_with_the_earliest_step_that_anybody_names(make: Any) -> None:
    world = make().world
    base = [*world.announcements, *world.votes]
    gone = [resigned(world, Abort(world.sid, number, step)) for number, step in ((1, 4), (2, 3), (3, 4))]
    void, opened = (resigned(world, Closing(world.sid, 2, outcome)) for outcome in (VOID, OPENED))
    complaint = world.clients[2].complain(world.sid, 5)
    for said, expected in (
        ([], (Outcome.INCOMPLETE, 2)),
        ([opened], (Outcome.INCOMPLETE, 2)),
        ([void], (Outcome.ABORTED, 2)),
        ([void, *gone], (Outcome.ABORTED, 3)),
        ([void, complaint], (Outcome.ABORTED, 5)),
        ([complaint, *gone], (Outcome.ABORTED, 3)),
    ):
        (session,) = audit(world.manifest, [*world.offers, *base, *said]).sessions
        assert (session.outcome, session.step) == expected


def test_a_public_sum_that_was_not_checked_is_told_once_it_is_certified(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    text = (
        "MISSING (step 5) the delivery with its vector, the roster's headers or a disclosed key: so the sum was not "
        "checked here"
    )
    assert text in _told(world, case.said[len(set_up_of(world)) :], Level.MISSING)
    assert text not in _told(world, without(record_of(world), Delivery, ResultSignature), Level.MISSING)


def test_a_session_that_is_not_judged_has_no_place(make: Any) -> None:
    world = make().world
    (session,) = audit(world.manifest, world.votes).sessions
    assert replace(session, findings=()) == SessionAudit(
        world.sid, None, None, None, Outcome.UNPLACED, 0, None, None, ()
    )
    assert session.is_complete  # what came to no certified result lacks no word of one


def test_a_whole_record_may_lack_words_of_a_session_that_came_to_no_result(make_world: Any) -> None:
    """Not all were heard when it was given up."""
    world = make_world()
    world.run(to="vote")
    notices = world.give_up()
    headers = [submission.header for submission in world.submissions.values()]
    said = [*set_up_of(world), *world.announcements, *headers, world.votes[0], *notices]
    found = audit(world.manifest, said, whole=True)
    (session,) = found.sessions
    assert session.outcome is Outcome.ABORTED
    assert [one.what for one in session.findings if one.level is Level.MISSING] == ["2 of 3 votes"]
    assert found.is_complete


def test_the_search_for_what_was_signed_goes_by_session_id_in_whatever_order_a_record_has_them() -> None:
    """Else the same messages in another order would leave another session unsearched."""
    world = RecordedWorld()
    for _ in range(6):
        world.void_round()
    orders = []
    for said in (world.said, world.said[::-1]):
        with mock.patch.object(audit_record, "find_preimages", wraps=audit_record.find_preimages) as searched:
            audit(world.manifest, said)
        orders.append([call.args[1].sid for call in searched.call_args_list])
    assert orders[0] == orders[1] == sorted(orders[0])
    assert len(orders[0]) == 6


def test_with_the_disclosed_key_anyone_checks_a_public_sum(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    disclosure = world.clients[2].disclose(world.client_memories[2], world.delivery)
    record = [*without(as_receipts(world, case.said), DeliveryReceipt), world.delivery, disclosure]
    (session,) = audit(world.manifest, record).sessions
    weight = world.ideal().total_weight
    assert session.total_weight == weight
    assert all(finding.level is Level.HOLDS for finding in session.findings)
    assert session.findings[-1].what == f"anyone can check this sum: its tags are right; total weight {weight}"


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


def test_labels_order_sessions_and_the_ids_of_set_ups_those_under_one_label() -> None:
    world = RecordedWorld(set_up=False)
    setups = []
    for label in (0, 0, 0, 1, 1, 1, 2):
        world.epoch = label - 1
        world.set_up()
        for number in range(2):
            setups.append((label, world.setup, number))
            world.void_round()
    found = audit(world.manifest, world.said[::-1])
    assert [(session.epoch, session.setup, session.round) for session in found.sessions] == sorted(setups)
