"""What an aggregator may still do in a session: the guards that its transitions share, each on and off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.keys import session_id
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, SessionRecord
from privateyes.aggregation.messages import Header, HubRequest, OpeningReceipt, Vote
from privateyes.aggregation.session_rules import (
    current_session,
    headers_of,
    is_closed,
    last_session,
    require_committed,
    require_committed_share,
    require_kind,
    require_not_given_up,
    require_settled,
)
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.commitment import commit_to_share
from privateyes.errors import AbortError, BlamedError, RefusedError

OLD, NOW, NEXT, STATE = (bytes([value]) * 32 for value in (1, 2, 3, 4))
LAST = SessionRecord(NOW, 5, STATE)
AGREED = replace(LAST, rho=OLD, commitments=(OLD, NOW, NEXT))


def _memory(session: SessionRecord | None = LAST, current: bytes = NOW, **changes) -> AggregatorMemory:
    return AggregatorMemory(3, BoundSetup(current, 1, 1, started=True), session=session, **changes)


def _is_closed(memory: AggregatorMemory, setup: bytes, number: int, state: bytes = STATE) -> bool:
    request = HubRequest(2, setup, number, state)
    return is_closed(memory, request, session_id(setup, number, state))


@pytest.mark.parametrize(
    ("number", "state", "closed"), [(4, STATE, True), (0, STATE, True), (4, OLD, True), (5, STATE, False),
                                    (5, OLD, False), (6, STATE, False)]
)  # fmt: skip
def test_in_the_set_up_of_the_last_session_every_earlier_round_is_closed(number, state, closed) -> None:
    assert _is_closed(_memory(), NOW, number, state) == closed
    # Whether another set-up was bound since or not: it closes the last session with its announcement alone.
    bound = _memory(current=NEXT, terminal={NOW: False})
    assert _is_closed(bound, NOW, number, state) == closed


def test_a_session_that_was_given_up_is_closed_and_no_other_of_its_round() -> None:
    memory = _memory(replace(LAST, given_up=True))
    assert _is_closed(memory, NOW, 5)
    assert not _is_closed(memory, NOW, 5, OLD)
    assert not _is_closed(memory, NOW, 6)


def test_in_a_terminal_set_up_everything_is_closed_once_a_later_one_has_announced() -> None:
    for closed in (True, False):
        memory = _memory(terminal={OLD: closed})
        for number in (0, 5, 99):
            assert _is_closed(memory, OLD, number) == closed


def test_nothing_is_closed_in_a_set_up_without_a_session_or_that_nobody_knows() -> None:
    assert not _is_closed(_memory(session=None), NOW, 0)
    assert not _is_closed(_memory(), NEXT, 0)
    assert not _is_closed(_memory(current=NEXT, terminal={NOW: False}), NEXT, 0)


def test_a_future_session_cannot_be_declared_void_in_advance_and_then_run(make_world) -> None:
    """A closing that named the sid alone could be had for a round still to come."""
    world = make_world(n=2)
    world.announce(3)
    own, memory = world.aggregators[1], world.aggregator_memories[1]
    for number in (3, 4, 2**63):
        with pytest.raises(RefusedError, match="may still be opened"):
            own.closing(memory, world.request(2, number))
    world.announce(4)
    assert own.closing(world.aggregator_memories[1], world.request(2, 3)).outcome == 0


@pytest.mark.parametrize(
    ("record", "opened", "outstanding"),
    [
        (None, False, False),
        (LAST, False, False),
        (replace(LAST, rho=OLD), False, False),
        (AGREED, False, True),
        (AGREED, True, False),
        (replace(AGREED, given_up=True), False, False),
    ],
)
def test_a_transcript_is_outstanding_until_it_is_opened_or_given_up(record, opened, outstanding) -> None:
    memory = _memory(record, opened={record.sid: OLD} if opened else {})
    if not outstanding:
        require_settled(memory)
        return
    with pytest.raises(RefusedError, match="signed transcript, and is neither opened nor given up") as refusal:
        require_settled(memory)
    assert refusal.value.remedy


def test_without_that_rule_a_session_that_others_opened_is_left_behind(make_world) -> None:
    """Version 1: one late message after T, and the clients of an opened session never get its result."""
    world = make_world(n=2)
    world.run(to="agree")
    opened = world.aggregators[1].open(world.aggregator_memories[1], world.shares[1], world.agreements)
    assert opened.message
    before = world.aggregator_memories[2]
    with pytest.raises(RefusedError, match="neither opened nor given up"):
        world.announce()
    forgetful = replace(before, session=replace(before.session, commitments=()))
    later = world.aggregators[2].announce(forgetful, world.request(1, world.round)).memory
    with pytest.raises(RefusedError, match="not the last announced session"):
        world.aggregators[2].open(later, world.shares[2], world.agreements)


def test_a_share_is_opened_only_with_the_root_that_was_committed_to() -> None:
    record, share = replace(LAST, share_root=OLD), np.zeros(3, np.uint32)
    require_committed_share(record, OwnShare(share, OLD))
    with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
        require_committed_share(record, OwnShare(share, NOW))
    with pytest.raises(RefusedError, match="not the one"):
        require_committed_share(LAST, OwnShare(share, OLD))


def test_without_it_a_share_that_was_damaged_on_disk_is_shown_and_fits_no_signature(make_world) -> None:
    world = make_world(n=2)
    world.run(to="agree")
    own, memory = world.aggregators[1], world.aggregator_memories[1]
    damaged = own.own_share(world.shifted(world.shares[1].elements, {0: 1}))
    with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
        own.open(memory, damaged, world.agreements)
    pretending = OwnShare(damaged.elements, memory.session.share_root)
    opening = own.open(memory, pretending, world.agreements).message
    world.open()
    with pytest.raises(AbortError, match="type Opening does not verify"):
        world.certify({2: [opening, world.openings[1]]})


def test_a_session_that_was_given_up_is_over() -> None:
    require_not_given_up(LAST)
    with pytest.raises(RefusedError, match="gave the session up"):
        require_not_given_up(replace(LAST, given_up=True))


def test_only_the_last_session_goes_on_and_only_if_it_was_not_given_up() -> None:
    assert last_session(_memory(), LAST.sid) is LAST
    for memory, sid in ((_memory(), OLD), (_memory(None), LAST.sid), (_memory(), b"")):
        with pytest.raises(RefusedError, match="is not the last announced session"):
            last_session(memory, sid)
    with pytest.raises(RefusedError, match="gave the session up"):
        last_session(_memory(replace(LAST, given_up=True)), LAST.sid)
    # One that was opened and is not finished is known, but goes on no more.
    with pytest.raises(RefusedError, match="is not the last announced session"):
        last_session(_memory(unfinished={OLD: LAST}), OLD)


def test_streams_are_made_in_the_current_set_up_or_never() -> None:
    assert current_session(_memory(), LAST.sid) is LAST
    with pytest.raises(RefusedError, match="of an earlier set-up, whose keys are erased"):
        current_session(_memory(current=NEXT, terminal={NOW: False}), LAST.sid)
    with pytest.raises(RefusedError, match="is not the last announced session"):
        current_session(_memory(), OLD)


def _header(client: int, nonce: bytes = OLD) -> Header:
    return Header(LAST.sid, client, nonce, OLD, OLD, (), OLD)


def test_a_rosters_headers_are_found_by_client_and_hash_in_the_rosters_order() -> None:
    one, two, other = _header(1), _header(2), _header(2, NOW)
    entries = ((1, one.hash()), (2, two.hash()))
    assert headers_of(entries, [other, two, one, _header(3)]) == [one, two]
    for headers in ([one], [one, other], [], [one, "no header"]):
        with pytest.raises(AbortError, match=r"the header of client [12] is missing"):
            headers_of(entries, headers)


def test_a_message_of_another_kind_is_named() -> None:
    require_kind(_header(1), Header)
    with pytest.raises(AbortError, match="a message of type Header came where Vote was expected"):
        require_kind(_header(1), Vote)


def test_an_opening_that_fits_its_commitment_is_nobodys_fault_and_any_other_is_its_signers() -> None:
    receipt = OpeningReceipt(LAST.sid, 2, NOW, NEXT)
    fitting = commit_to_share(LAST.sid, OLD, 2, NOW, 48, NEXT)
    commitments = [bytes(32), bytes(32), fitting, bytes(32)]
    require_committed(receipt, OLD, 48, commitments)
    wrong = [
        (replace(receipt, salt=OLD), OLD, 48, commitments),
        (replace(receipt, share_root=OLD), OLD, 48, commitments),
        (replace(receipt, sid=OLD), OLD, 48, commitments),
        (receipt, NOW, 48, commitments),
        (receipt, OLD, 52, commitments),
        (receipt, OLD, 48, [bytes(32), fitting, bytes(32), fitting]),
    ]
    for arguments in wrong:
        with pytest.raises(BlamedError, match="opened something other than it committed to") as blame:
            require_committed(*arguments)
        assert blame.value.party == "aggregator 2"
