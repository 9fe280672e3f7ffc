"""The record of a whole task: gaps, states, and sessions that were left out."""

from __future__ import annotations

from typing import Any

import pytest

from audit_records import OTHER, RecordedWorld, forged, preimage, record_of, resigned
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import HUB, RECORDER, Audit, Level
from privateyes.aggregation.keys import session_id
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    OPENED,
    VOID,
    Announcement,
    Closing,
    Header,
    Message,
    RosterCommitment,
    Submission,
)
from privateyes.aggregation.roster import roster_digest
from world import state_after

LEFT_OUT = [(Level.SUSPECTED, (RECORDER,))]


def whole(world: Any, said: list[Message]) -> Audit:
    return audit(world.manifest, said, whole=True)


def told(found: Audit, level: Level = Level.MISSING) -> list[str]:
    return [finding.what for finding in found.everything if finding.level is level]


def notes(found: Audit) -> list[str]:
    """What is noted of the record as a whole."""
    return [finding.what for finding in found.findings if (finding.level, finding.step) == (Level.NOTED, "record")]


def against(found: Audit) -> list[tuple[Level, tuple[str, ...]]]:
    return [(fault.level, fault.parties) for fault in found.faults]


def less_session(world: Any, number: int) -> list[Message]:
    """The record less one round of the current set-up."""
    (place,) = {
        (message.setup, message.round, message.state_id)
        for message in world.said
        if isinstance(message, Announcement) and message.round == number and message.setup == world.setup
    }
    sid = session_id(*place)
    return [
        message
        for message in world.said
        if getattr(message, "sid", b"") != sid
        and not (isinstance(message, Announcement) and (message.setup, message.round) == place[:2])
    ]


@pytest.fixture
def world() -> Any:
    """Three rounds: one that is given up, and two that are accepted."""
    own = RecordedWorld(roster_min=4)
    own.void_round()
    own.accepted_round()
    own.accepted_round()
    return own


def test_rounds_that_follow_each_other_are_whole(world: Any) -> None:
    found = whole(world, world.said)
    assert (against(found), told(found), notes(found)) == ([], [], [])


def test_a_number_without_a_session_makes_the_record_incomplete_and_is_held_against_nobody(world: Any) -> None:
    """The hub may have skipped it: nothing that is signed shows that there was a session."""
    assert whole(world, world.said).is_complete
    found = whole(world, less_session(world, 0))
    assert against(found) == []
    assert not found.is_complete
    name = f"set-up {world.setup.hex()[:8]} (epoch 1)"
    assert f"session 0 of {name}: it was left out or lost, or the hub skipped this number" in told(found)
    part = audit(world.manifest, less_session(world, 0))
    assert (told(part), part.is_complete) == ([], True)  # a part of a record lacks what it lacks


def test_a_middle_session_whose_state_nothing_contradicts_is_missed_by_its_number() -> None:
    """Three accepted rounds: the result of the first may lead to the state of the third, as far as ids tell."""
    world = RecordedWorld(roster_min=4)
    for _ in range(3):
        world.accepted_round()
    found = whole(world, less_session(world, 1))
    assert (against(found), found.is_complete) == ([], False)


def test_a_session_that_the_hub_asked_for_and_nobody_announced_is_no_gap(world: Any) -> None:
    """A kill after the request was written down, or an aggregator that was away."""
    left = less_session(world, 0)
    assert whole(world, [*left, world.request(ANNOUNCE, 0)]).is_complete
    assert not whole(world, [*left, world.request(CLOSING, 0)]).is_complete  # the hub may ask about any number
    assert not whole(world, [*left, forged(world, world.request(ANNOUNCE, 0))]).is_complete


def _state_of_round(world: Any, number: int) -> bytes:
    (state,) = {m.state_id for m in world.said if isinstance(m, Announcement) and m.round == number}
    return state


def test_a_request_does_not_stand_for_a_session_whose_words_are_gone() -> None:
    """Three accepted rounds, and of the second the record has what the hub asked for alone."""
    world = RecordedWorld(roster_min=4)
    for _ in range(3):
        world.accepted_round()
    left = less_session(world, 1)
    request = world.request(ANNOUNCE, 1, _state_of_round(world, 1))
    found = whole(world, [*left, request])
    assert against(found) == [(Level.SUSPECTED, (HUB, RECORDER))]
    assert "session 1 of" in found.faults[0].what
    assert (Level.SUSPECTED, (HUB, RECORDER)) not in against(whole(world, [*left, forged(world, request)]))
    sid = session_id(request.setup, request.round, request.state_id)
    void = Closing(sid, 1, VOID).signed_by(world.aggregator_keys[1], sid)
    assert (Level.SUSPECTED, (HUB, RECORDER)) in against(whole(world, [*left, request, void]))


def test_what_the_hub_asks_about_others_or_of_nobody_yet_is_no_session_that_is_missing() -> None:
    world = RecordedWorld(roster_min=4)
    alone = [world.request(ANNOUNCE, number, OTHER) for number in (0, 1)]
    assert against(whole(world, [*world.said, *alone])) == []  # nobody has answered yet
    for _ in range(3):
        world.accepted_round()
    left = less_session(world, 1)
    assert against(whole(world, [*left, world.request(CLOSING, 1, OTHER)])) == []  # it may ask how any one ended
    assert against(whole(world, [*world.said, world.request(ANNOUNCE, 1, OTHER)])) == []  # that number has a session


def test_requests_without_words_are_told_in_the_order_of_their_numbers() -> None:
    world = RecordedWorld(roster_min=4)
    world.announce(8)
    said = [*world.said, *world.announcements]
    requests = [world.request(ANNOUNCE, number, OTHER) for number in (5, 2, 7, 3)]
    found = whole(world, [*said, *requests])
    assert [int(fault.what.split()[1]) for fault in found.faults] == [2, 3, 5, 7]


def test_a_request_before_a_kill_is_from_the_state_that_a_later_session_begins_from(world: Any) -> None:
    left, last = less_session(world, 0), world.request(ANNOUNCE, 9, OTHER)
    assert against(whole(world, [*left, world.request(ANNOUNCE, 0, _state_of_round(world, 1)), last])) == []


def test_a_certified_session_that_is_left_out_shows_in_the_next_ones_training_state(world: Any) -> None:
    """Round 0 was given up, so the state of round 2 comes from round 1."""
    found = whole(world, less_session(world, 1))
    assert against(found) == LEFT_OUT
    assert "a certified session before session 2 of" in found.faults[0].what
    assert audit(world.manifest, less_session(world, 1)).faults == ()
    unsigned = [message for message in less_session(world, 1) if not isinstance(message, Header)]
    assert against(whole(world, unsigned)) == []  # whatever the hub announces, no client submitted


def test_each_change_of_state_without_its_session_is_told_once() -> None:
    world = RecordedWorld(roster_min=4)
    world.void_round()
    world.accepted_round()
    world.void_round()
    world.void_round()
    world.accepted_round()
    world.void_round()
    found = whole(world, [message for message in less_session(world, 1) if message in less_session(world, 4)])
    name = f"set-up {world.setup.hex()[:8]} (epoch 1)"
    assert [fault.what.partition(", which")[0] for fault in found.faults] == [
        f"a certified session before session {number} of {name}" for number in (2, 5)
    ]


def test_headers_of_no_more_clients_than_may_be_corrupt_show_no_state() -> None:
    """They may have made the state up."""
    world = RecordedWorld(roster_min=4, corrupt_clients=2)
    world.void_round()
    world.accepted_round()
    world.accepted_round()
    left = less_session(world, 1)
    fewer = [m for m in left if not (isinstance(m, Header) and m.sid == world.sid and m.client > 2)]
    assert against(whole(world, left)) == LEFT_OUT
    assert against(whole(world, fewer)) == []


def test_in_public_mode_the_first_state_of_all_is_known() -> None:
    world = RecordedWorld(roster_min=4, mode="public")
    world.accepted_round()
    world.accepted_round()
    found = whole(world, world.said)
    assert against(found) == []
    assert against(whole(world, less_session(world, 0))) == LEFT_OUT


def test_a_late_result_of_another_set_up_explains_one_change_in_a_fixed_cohort() -> None:
    """A set-up is made while a certified result is on its way; clients take it before or after they begin anew."""
    world = RecordedWorld(roster_min=4)
    world.void_round()
    world.accepted_round()
    world.set_up()
    world.void_round()
    world.accepted_round()
    world.void_round()
    world.accepted_round()
    world.accepted_round()
    assert against(whole(world, world.said)) == []
    assert against(whole(world, less_session(world, 1))) == []  # may have come from the other set-up
    # Two changes are more than one late result explains.
    fewer = [message for message in less_session(world, 1) if message in less_session(world, 3)]
    assert against(whole(world, fewer)) == LEFT_OUT


@pytest.mark.parametrize(("roster_min", "expected"), [(4, LEFT_OUT), (2, [])])
def test_where_clients_may_sit_out_as_many_late_results_explain_as_there_are_elsewhere(
    roster_min: int, expected: list[Any]
) -> None:
    world = RecordedWorld(roster_min=roster_min)
    world.accepted_round()
    world.accepted_round()
    world.set_up()
    for _ in range(2):
        world.void_round()
        world.accepted_round()
    world.accepted_round()
    fewer = [message for message in less_session(world, 1) if message in less_session(world, 3)]
    assert against(whole(world, fewer)) == expected


def send_again(world: Any, origin: Any, commitments: Any) -> None:
    """The updates of an earlier session once more, up to the votes."""
    world.announce()
    for client in world.clients:
        world.submit_again(client, origin, commitments)
    world.vote(origin=origin)


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_a_set_up_may_begin_from_a_state_of_an_earlier_one_and_a_late_result_follow(mode: str) -> None:
    """The result of the second session is late; its repeat is given up in the next set-up, and then it is accepted."""
    world = RecordedWorld(roster_min=4, mode=mode)
    world.accepted_round()
    world.run()
    world.keep()
    world.finish_session()
    late, origin, commitments = world.delivery, world.origin, world.commitments
    world.set_up()
    send_again(world, origin, commitments)
    world.keep(origin, *world.give_up())
    world.delivery = late
    world.accept()
    world.accepted_round()
    assert against(whole(world, world.said)) == []


def test_in_public_mode_every_state_but_the_first_of_all_takes_a_certified_session_wherever_it_ran() -> None:
    """The second set-up begins from a state that the one session of the first explains, and no late one follows."""
    world = RecordedWorld(roster_min=4, mode="public")
    world.accepted_round()
    world.set_up()
    world.void_round()
    world.accepted_round()
    world.void_round()
    assert against(whole(world, world.said)) == []
    assert against(whole(world, less_session(world, 1))) == LEFT_OUT


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_clients_that_a_hub_splits_over_a_session_and_its_repeat_make_nobody_suspected(mode: str) -> None:
    """Both results are right and late, and each half of the clients is shown another one: two states in one set-up."""
    world = RecordedWorld(roster_min=4, mode=mode)
    world.accepted_round()
    world.run()
    world.keep()
    world.finish_session()
    first, origin, commitments = world.delivery, world.origin, world.commitments
    world.set_up()
    send_again(world, origin, commitments)
    world.commit(origin=origin)
    world.finish_from("agree")
    world.keep(origin)
    world.finish_session()
    second = world.delivery
    world.set_up()
    send_again(world, origin, commitments)
    world.keep(origin, *world.give_up())
    for clients, delivery in (((1, 2), first), ((3, 4), second)):
        for client in clients:
            memory = world.client_memories[client]
            average = world.check(client, delivery)
            after = state_after(memory.state, delivery.sid)
            world.take_change(client, world.clients[client].accept(memory, world.ledgers[client], average, after))
    for clients in ((1, 2), (3, 4)):
        announce_from(world, clients[0])
        for client in clients:
            world.submit(client)
        world.vote()
        world.keep(*world.give_up())
    assert against(whole(world, world.said)) == []


def test_a_request_that_is_lost_and_a_late_result_of_another_set_up_make_nobody_suspected() -> None:
    """The hub asked for a session from one state, was not heard, and all clients moved on meanwhile."""
    world = RecordedWorld(roster_min=4)
    world.run()
    world.keep()
    world.finish_session()
    late = world.delivery
    world.set_up()
    lost = world.request(ANNOUNCE, 0, world.client_memories[1].state_id)
    for client in world.clients:
        memory = world.client_memories[client]
        average, after = world.check(client, late), state_after(memory.state, late.sid)
        world.take_change(client, world.clients[client].accept(memory, world.ledgers[client], average, after))
    world.next_round = 1
    world.accepted_round()
    found = whole(world, [*world.said, lost])
    assert (against(found), found.is_complete) == ([], True)
    assert any("or a result of another set-up came late" in what for what in told(found))


def announce_from(world: Any, client: int) -> None:
    """As the world announces, from another client's state than client 1's."""
    memories = world.client_memories
    memories[1], memories[client] = memories[client], memories[1]
    world.announce()
    memories[1], memories[client] = memories[client], memories[1]


def test_a_certified_result_that_was_not_taken_is_noted_where_the_next_round_begins_from_the_same_state() -> None:
    world = RecordedWorld()
    world.run()
    world.keep()
    world.ledgers = {client: [] for client in world.clients}
    world.run(to="vote")
    world.keep()
    found = whole(world, world.said)
    assert against(found) == []
    (note,) = [what for what in told(found, Level.NOTED) if "same training state" in what]
    assert "session 1 of set-up" in note
    assert "as session 0, whose result was certified: clients did not accept it" in note


def test_a_certified_result_that_was_not_taken_is_noted_once_and_where_clients_submitted() -> None:
    """Round 0's headers are not in the record, nobody submits to round 1, and round 3 follows no certified one."""
    world = RecordedWorld()
    world.run()
    world.said += [message for message in record_of(world) if not isinstance(message, Submission)]
    world.announce()
    world.keep()
    for _ in range(2):
        world.ledgers = {client: [] for client in world.clients}
        world.run(to="vote")
        world.keep()
    name = f"set-up {world.setup.hex()[:8]} (epoch 1)"
    assert [note.partition(", whose")[0] for note in notes(whole(world, world.said))] == [
        f"session 2 of {name} begins from the same training state as session 0"
    ]


# What a signed word shows to be missing


def opened_elsewhere(world: Any, outcome: int = OPENED) -> list[Message]:
    """An aggregator's word on a session of which the record has nothing else."""
    sid = session_id(world.setup, 9, OTHER)
    return [resigned(world, Closing(sid, 2, outcome)), world.request(CLOSING, 9, OTHER)]


def test_a_session_that_an_aggregator_opened_and_that_is_left_out_is_told(world: Any) -> None:
    for word in (opened_elsewhere(world), opened_elsewhere(world)[:1]):  # without the request its set-up is not known
        found = whole(world, [*world.said, *word])
        assert against(found) == LEFT_OUT
        assert told(found) == []  # such a word is about no round of the record
        assert "which aggregator 2 says was opened: it was left out or lost, or that word is wrong" in str(found.faults)
        part = audit(world.manifest, [*world.said, *word])
        assert part.faults == ()
        assert any("or it stands in another file" in what for what in told(part))
    assert against(whole(world, [*world.said, *opened_elsewhere(world, VOID)])) == []


def test_a_session_that_was_opened_and_is_there_is_not_missing(world: Any) -> None:
    opened = resigned(world, Closing(world.sid, 2, OPENED))
    assert against(whole(world, [*world.said, opened])) == []


def test_a_session_whose_updates_were_sent_again_is_missing_where_it_is_left_out() -> None:
    world = RecordedWorld()
    world.run(1, 2, 3)
    world.keep()
    origin, commitments, first = world.origin, world.commitments, world.sid
    world.announce()
    for client in (1, 2, 3):
        world.submit_again(client, origin, commitments)
    world.vote(origin=origin)
    world.commit(origin=origin)
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    world.keep(origin)
    assert against(whole(world, world.said)) == []
    left = [message for message in world.said if getattr(message, "sid", b"") != first or message is origin]
    left = [message for message in left if not (isinstance(message, Announcement) and message.round == 0)]
    found = whole(world, left)
    assert against(found) == LEFT_OUT
    assert (
        f"the session with the id {first.hex()[:8]}, whose updates were sent again, is left out" in found.faults[0].what
    )
    # A word about how it ended is nothing of the session itself.
    void = resigned(world, Closing(first, 2, VOID))
    assert against(whole(world, [*left, void])) == LEFT_OUT
    # Fewer than all aggregators' words are not enough: those may be corrupt.
    fewer = [message for message in left if not (isinstance(message, RosterCommitment) and message.aggregator == 1)]
    assert against(whole(world, fewer)) == []


def test_every_session_that_is_missing_so_is_told_in_the_order_of_their_ids(world: Any) -> None:
    """In a task whose aggregators are all corrupt they send updates again of sessions that were never announced."""
    said, check = list(world.said), world.delivery.group_check
    origins = [bytes([number]) * 32 for number in (5, 3, 6, 1, 2, 4)]
    for number, origin in enumerate(origins, start=10):
        announcement = resigned(world, Announcement(world.setup, 2, number, OTHER))
        sid = session_id(world.setup, number, OTHER)
        named = [resigned(world, own.header, sid=sid, origin=origin) for own in world.submissions.values()]
        entries = tuple((header.client, header.hash()) for header in named)
        rho = roster_digest(sid, check, entries)
        signed = [resigned(world, word, sid=sid, rho=rho) for word in world.commitments]
        said += [announcement, *named, *signed, preimage(world, sid=sid, roster=entries)]
    text = "whose updates were sent again, is left out"
    missing = [fault.what for fault in whole(world, said).faults if text in fault.what]
    assert missing == [f"the session with the id {origin.hex()[:8]}, {text}" for origin in sorted(origins)]


# Size


def test_gaps_of_any_size_are_told_in_one_line(world: Any) -> None:
    far = [
        resigned(world, Announcement(world.setup, 2, number, OTHER)) for number in (10, 1 << 40, *range(100, 200, 2))
    ]
    found = whole(world, [*world.said, *far])
    (gaps,) = [what for what in told(found) if what.startswith("sessions ")]
    assert "sessions 3-9, 11-99, 101, 103" in gaps
    assert "and 32 more gaps of" in gaps


@pytest.mark.parametrize(
    ("later", "what"),
    [
        ([4], "session 3 of"),
        ([5], "sessions 3-4 of"),
        ([4, 6], "sessions 3, 5 of"),
        ([4, 7], "sessions 3, 5-6 of"),
        ([6, 8], "sessions 3-5, 7 of"),
    ],
)
def test_one_missing_session_is_told_as_one_and_more_as_many(world: Any, later: list[int], what: str) -> None:
    far = [resigned(world, Announcement(world.setup, 2, number, OTHER)) for number in later]
    (told_of,) = [line for line in told(whole(world, [*world.said, *far])) if line.startswith("session")]
    assert told_of.startswith(what)
    assert told_of.endswith("the hub skipped this number" if what.startswith("session ") else "these numbers")


@pytest.mark.parametrize(("count", "more"), [(19, ""), (20, ""), (21, " and 1 more gap"), (22, " and 2 more gaps")])
def test_twenty_gaps_are_told_and_the_rest_is_counted(world: Any, count: int, more: str) -> None:
    numbers = range(4, 4 + 2 * count, 2)
    far = [resigned(world, Announcement(world.setup, 2, number, OTHER)) for number in numbers]
    (line,) = [line for line in told(whole(world, [*world.said, *far])) if line.startswith("sessions ")]
    shown = ", ".join(str(number - 1) for number in numbers[:20])
    assert line.startswith(f"sessions {shown}{more} of")


def test_gaps_are_told_of_every_set_up(world: Any) -> None:
    world.set_up()
    world.accepted_round()
    earlier, later = sorted({m.setup for m in world.said if isinstance(m, Announcement)})
    far = [resigned(world, Announcement(setup, 2, 9, OTHER)) for setup in (earlier, later)]
    lines = [line for line in told(whole(world, [*world.said, *far])) if line.startswith("session")]
    assert len(lines) == 2
    for one in far:
        (line,) = [line for line in told(whole(world, [*world.said, one])) if line.startswith("session")]
        assert one.setup.hex()[:8] in line


def test_gaps_in_labels_are_told() -> None:
    world = RecordedWorld()
    world.set_up()
    assert told(whole(world, world.said)) == []
    for label in (4, 8):
        world.epoch = label - 1
        world.set_up()
    found = whole(world, world.said)
    assert told(found) == [
        "set-ups with epoch labels 3, 5-7: nobody used these labels, or the set-ups were left out",
    ]
    assert found.is_complete  # a set-up that was not finished takes its label with it
