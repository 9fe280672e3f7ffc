"""What nobody signs, and what does not verify: somebody altered it, and no signer is to blame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit_records import OTHER, RecordedWorld, as_receipts, faults, forged, preimage, record_of, resigned, set_up_of
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import HUB, RECORDER, Level
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    NO_SESSION,
    AggregatorKey,
    Agreement,
    Announcement,
    DeliveryReceipt,
    Header,
    HubCommitment,
    HubSumReceipt,
    Message,
    OpeningReceipt,
    Origin,
    RosterCommitment,
    Vote,
    _layout,
)
from privateyes.errors import MalformedError

HUB_OR_RECORDER = (Level.SUSPECTED, (HUB, RECORDER))


def suspected(world: Any, record: list[Message]) -> set[tuple[Level, tuple[str, ...]]]:
    return {(fault.level, fault.parties) for fault in faults(world, record)}


@pytest.mark.parametrize("kind", [HubCommitment, HubSumReceipt])
def test_an_altered_word_of_the_hub_on_its_sum_is_suspected(make: Any, kind: Any) -> None:
    case = make()
    record = as_receipts(case.world, case.said)
    altered = [kind(case.world.sid, OTHER) if isinstance(message, kind) else message for message in record]
    assert faults(case.world, record) == ()
    assert suspected(case.world, altered) == {HUB_OR_RECORDER}
    assert suspected(case.world, [*record, kind(case.world.sid, OTHER)]) == {HUB_OR_RECORDER}


def test_two_sums_before_anybody_signed_t_are_suspected(make_world: Any) -> None:
    world = make_world()
    world.run(to="commit")
    record = [*set_up_of(world), *record_of(world)]
    assert faults(world, record) == ()
    assert suspected(world, [*record, HubCommitment(world.sid, OTHER)]) == {HUB_OR_RECORDER}


def test_a_hub_that_was_given_two_votes_is_not_suspected_of_two_sums(make: Any) -> None:
    """A corrupt aggregator votes again when the hub has lost its disk; another roster has another sum."""
    case = make()
    world = case.world
    second = resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])
    found = suspected(world, [*as_receipts(world, case.said), second, HubCommitment(world.sid, OTHER)])
    assert HUB_OR_RECORDER not in found
    assert (Level.PROVEN, ("aggregator 2",)) in found


def test_a_sum_beside_the_one_under_t_is_told_once_and_for_what_it_is(make: Any) -> None:
    case = make()
    record = [*as_receipts(case.world, case.said), HubCommitment(case.world.sid, OTHER)]
    told = [fault.what for fault in faults(case.world, record) if "in the hub's name" in fault.what]
    assert len(told) == 1
    assert told[0].startswith("a sum in the hub's name is not the one that T was signed over")


def test_what_is_set_aside_is_told_in_one_order(make: Any) -> None:
    case = make()
    world = case.world
    words = [forged(world, word) for word in (*world.results, *world.agreements, *world.votes)]
    orders = [[fault.what for fault in faults(world, [*case.said, *order])] for order in (words, words[::-1])]
    assert orders[0] == orders[1]
    kinds = [what.split(" x ")[1] for what in orders[0] if what.startswith("set aside: ")]
    assert kinds == sorted(kinds)
    assert len(kinds) == 9


def test_an_altered_agreement_is_suspected(make: Any) -> None:
    case = make()
    record = as_receipts(case.world, case.said)
    for changes in ({"transcript": OTHER}, {"signature": bytes(64)}, {"aggregator": 3}, {"aggregator": 9}):
        altered = [
            replace(message, **changes) if isinstance(message, Agreement) and message.aggregator == 2 else message
            for message in record
        ]
        assert suspected(case.world, altered) == {(Level.SUSPECTED, (RECORDER,))}


def test_an_altered_delivery_is_suspected(make: Any) -> None:
    case = make()
    record = [m for m in as_receipts(case.world, case.said) if not isinstance(m, DeliveryReceipt)]
    for changes in (
        {"share_root": OTHER},
        {"group_check": OTHER},
        {"roster": case.world.entries[:1]},
        {"results": case.world.delivery.results[::-1]},
        {"commitments": ()},
    ):
        assert HUB_OR_RECORDER in suspected(case.world, [*record, preimage(case.world, **changes)])


def test_a_hub_that_bundles_different_results_as_they_were_signed_is_not_suspected(make: Any) -> None:
    """Aggregator 2 signed another result. The hub passed on what it got."""
    case = make()
    world = case.world
    other = resigned(world, world.results[1], result=OTHER)
    record = [m for m in as_receipts(world, case.said) if not isinstance(m, DeliveryReceipt) and m != world.results[1]]
    signatures = tuple(word.signature for word in (world.results[0], other, world.results[2]))
    bundled = [*record, other, preimage(world, results=signatures)]
    too_small = preimage(world, results=signatures, roster=world.entries[:1])
    assert HUB_OR_RECORDER in suspected(world, [*bundled, too_small])
    found = audit(world.manifest, bundled)
    assert RECORDER not in {name for fault in found.faults for name in fault.parties}
    assert any("the aggregators signed different results" in finding.what for finding in found.everything)


def test_what_names_no_party_of_the_manifest_is_told_in_one_line(make: Any) -> None:
    case = make()
    world = case.world
    strangers = [replace(world.votes[0], aggregator=number) for number in range(100, 200)]
    (fault,) = faults(world, [*case.said, *strangers])
    assert "100 x Vote in the name of a party that the manifest does not name" in fault.what


# Every byte of an honest record is pinned


@pytest.fixture(scope="module", params=["sealed", "public"])
def task(request: Any) -> Any:
    """All that a task's record may hold: a void session, one that is accepted, one that is sent again, endings."""
    world = RecordedWorld(mode=request.param)
    world.run(to="vote")
    world.keep(*world.give_up())
    void = world.round
    world.announce()
    closings = world.closings(void)
    for client in world.clients:
        world.settle(client, closings)
    world.submit_all()
    world.finish()
    world.keep(*closings, world.request(CLOSING, void))
    if request.param == "public":
        world.said.append(world.clients[2].disclose(world.client_memories[2], world.delivery))
    world.finish_session()
    world.accept()
    world.run()
    world.keep()
    origin, commitments = world.origin, world.commitments
    world.announce()
    for client in world.clients:
        world.submit_again(client, origin, commitments)
    world.vote(origin=origin)
    world.commit(origin=origin)
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    world.keep(origin, world.clients[4].vouch(world.client_memories[4]))
    return world


def test_an_honest_task_with_all_that_can_happen_blames_nobody(task: Any) -> None:
    assert audit(task.manifest, task.said, whole=True).faults == ()
    assert {type(message).__name__ for message in task.said} >= {"Origin", "Abort", "Closing", "Voucher", "HubRequest"}


def _flipped(message: Message, position: int) -> bytes:
    data = bytearray(message.to_bytes())
    data[position] ^= 1
    return bytes(data)


def test_whatever_byte_is_altered_somebody_is_suspected_and_nobody_proven(task: Any) -> None:
    """One byte of every field of one message of each class and signer, as somebody who keeps the record could do."""
    chosen = {(type(message), getattr(message, "aggregator", 0)): message for message in task.said}
    tried = 0
    for message in chosen.values():
        rest = [other for other in task.said if other is not message]
        position = 1
        for name, codec in _layout(type(message)):
            size = memoryview(codec.write(getattr(message, name))).nbytes
            try:
                altered = type(message).from_bytes(_flipped(message, position + size - 1), task.manifest)
            except MalformedError:
                continue
            finally:
                position += size
            found = audit(task.manifest, [*rest, altered], whole=True).faults
            assert found, f"{type(message).__name__}.{name}"
            assert all(RECORDER in fault.parties for fault in found), f"{type(message).__name__}.{name}: {found}"
            tried += 1
    assert tried > 100


def test_a_message_that_is_left_out_is_held_against_no_party(task: Any) -> None:
    for message in {(type(message), getattr(message, "aggregator", 0)): message for message in task.said}.values():
        found = audit(task.manifest, [other for other in task.said if other is not message], whole=True)
        assert all(fault.parties == (RECORDER,) for fault in found.faults), type(message).__name__


@pytest.mark.parametrize("which", [slice(0, 1), slice(-1, None), slice(None)], ids=["the first", "the last", "all"])
@pytest.mark.parametrize("kind", [Header, Vote, RosterCommitment, Agreement, OpeningReceipt])
def test_without_a_word_that_led_to_a_certified_result_the_record_of_a_task_is_incomplete(
    make: Any, kind: Any, which: slice
) -> None:
    case = make()
    record = as_receipts(case.world, case.said)
    for said in (record, [message for message in record if not isinstance(message, DeliveryReceipt)]):
        assert audit(case.world.manifest, said, whole=True).is_complete  # nobody delivers before a kill
    gone = [message for message in record if isinstance(message, kind)][which]
    left = [message for message in record if message not in gone]
    found = audit(case.world.manifest, left, whole=True)
    assert (found.is_complete, found.faults) == (False, ())
    assert audit(case.world.manifest, left).is_complete  # a part of a record lacks what it lacks


# Rosters that are sent again


def test_a_roster_to_be_sent_again_that_is_not_the_one_committed_to_is_suspected(task: Any) -> None:
    origin = next(message for message in task.said if isinstance(message, Origin))
    rest = [message for message in task.said if message is not origin]
    for altered in (replace(origin, roster=origin.roster[:-1]), replace(origin, group_check=OTHER)):
        assert suspected(task, [*rest, altered]) == {HUB_OR_RECORDER}
    nowhere = [*task.said, replace(origin, sid=NO_SESSION)]
    assert suspected(task, nowhere) == {HUB_OR_RECORDER}
    for sid in (OTHER, NO_SESSION):
        found = audit(task.manifest, [*task.said, replace(origin, sid=sid)], whole=True)
        assert [(fault.level, fault.parties) for fault in found.faults] == [HUB_OR_RECORDER]
        assert "1 roster to be sent again: not what was committed to" in found.faults[0].what


def test_in_a_whole_record_a_wrong_roster_is_told_though_a_commitment_is_missing(task: Any) -> None:
    origin = next(message for message in task.said if isinstance(message, Origin))
    gone = next(m for m in task.said if isinstance(m, RosterCommitment) and m.sid == origin.sid)
    rest = [message for message in task.said if message not in (origin, gone)]
    altered = replace(origin, roster=origin.roster[:-1])
    assert suspected_in_whole(task, [*rest, altered]) == {HUB_OR_RECORDER}
    assert suspected_in_whole(task, [*rest, origin]) == set()


def suspected_in_whole(task: Any, said: list[Message]) -> set[tuple[Level, tuple[str, ...]]]:
    return {(fault.level, fault.parties) for fault in audit(task.manifest, said, whole=True).faults}


def test_a_roster_of_a_session_in_another_file_is_not_held_against_anybody(task: Any) -> None:
    origin = next(message for message in task.said if isinstance(message, Origin))
    last = [message for message in task.said if getattr(message, "sid", origin.sid) == task.sid]
    setup = [message for message in task.said if not hasattr(message, "sid")]
    assert faults(task, [*setup, *last, origin]) == ()
    assert any(isinstance(message, Header) for message in last)
    assert any(isinstance(message, RosterCommitment) for message in last)


def repeat_of(task: Any) -> list[Message]:
    """The file of the repeat: what was said in its session, in order, and nothing of the session before it."""
    origin = next(message for message in task.said if isinstance(message, Origin))
    own = [message for message in task.said if getattr(message, "sid", b"") == task.sid]
    announced = [m for m in task.said if isinstance(m, Announcement) and m.round == task.round]
    return [task.request(ANNOUNCE, task.round), *announced, origin, *own]


@pytest.mark.parametrize("placed", [True, False], ids=["with the set-up", "without"])
def test_wherever_the_file_of_a_repeat_ends_nobody_is_suspected(task: Any, placed: bool) -> None:
    """As a kill leaves it: right after the roster, for example, before any header names its session."""
    setup = [message for message in task.said if isinstance(message, AggregatorKey)] if placed else []
    said = repeat_of(task)
    assert isinstance(said[4], Origin)
    for count in range(1, len(said) + 1):
        assert faults(task, [*setup, *said[:count]]) == (), said[count - 1]
    found = audit(task.manifest, [*setup, *said[:5]])
    (note,) = [finding for finding in found.findings if finding.level is Level.NOTED and "roster" in finding.what]
    assert note.what == "1 roster to be sent again, not judged: not all the commitments are in this part"


def test_of_part_of_the_commitments_none_shows_that_a_roster_to_be_sent_again_is_wrong(task: Any) -> None:
    """Aggregator 2 committed to another roster as well, and of the first session the record has that word alone."""
    origin = next(message for message in task.said if isinstance(message, Origin))
    first = [m for m in task.said if isinstance(m, RosterCommitment) and m.sid == origin.sid]
    other = resigned(task, first[1], rho=OTHER)
    assert faults(task, [*repeat_of(task), other]) == ()
    alone = [resigned(task, word, rho=OTHER) for word in first]
    assert HUB_OR_RECORDER in suspected(task, [*repeat_of(task), *alone])


def test_forged_requests_of_the_hub_are_suspected(task: Any) -> None:
    request = forged(task, task.request(CLOSING, 0))
    (fault,) = faults(task, [*task.said, request])
    assert "1 x HubRequest in the name of hub" in fault.what
