"""Reading messages, and what makes a message count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from audit_records import OTHER, RecordedWorld, as_receipts, forged, resigned, without
from privateyes.aggregation.audit import evidence
from privateyes.aggregation.audit.evidence import MESSAGE_TYPES, collect, read_message
from privateyes.aggregation.messages import (
    BIND,
    CLOSING,
    VOID,
    AggregatorKey,
    Closing,
    Delivery,
    HubRequest,
    Message,
    ResultSignature,
)
from privateyes.crypto.sealing import SEALING_PUBLIC_KEY_BYTES
from privateyes.errors import MalformedError


def test_every_message_of_the_protocol_can_be_read_from_a_record(make: Any) -> None:
    case = make()
    for message in [*case.said, *as_receipts(case.world, case.said)]:
        kind = type(message).__name__
        assert read_message(kind, message.to_bytes(), case.world.manifest).to_bytes() == message.to_bytes()
    missing = {kind.__name__ for kind in _subclasses(Message)} - {"Signed"} - set(MESSAGE_TYPES)
    assert missing == set()
    with pytest.raises(MalformedError, match="no message of the protocol"):
        read_message("Gossip", b"", case.world.manifest)


def _subclasses(kind: type) -> set[type]:
    return {sub for direct in kind.__subclasses__() for sub in {direct, *_subclasses(direct)}}


def test_messages_count_once_and_a_receipt_is_what_it_stands_for(make: Any) -> None:
    case = make()
    manifest = case.world.manifest
    once = collect(manifest, case.said)
    again = collect(manifest, [*case.said, *case.said])
    assert (once.messages, once.verified) == (again.messages, again.verified)
    assert once.messages == len(case.said)
    both = collect(manifest, [*as_receipts(case.world, case.said), *case.said])
    assert both.verified == once.verified


def test_the_result_signatures_in_a_delivery_count_as_the_messages_that_they_were(make: Any) -> None:
    case = make()
    world = case.world
    (session,) = collect(world.manifest, without(case.said, ResultSignature)).judged
    assert session.signed.of(ResultSignature) == {word.aggregator: (word,) for word in world.results}
    # One more than there are aggregators is nobody's.
    more = replace(world.delivery, results=(*world.delivery.results, world.delivery.results[0]))
    (session,) = collect(world.manifest, [*without(case.said, ResultSignature, Delivery), more]).judged
    assert session.signed.of(ResultSignature) == {word.aggregator: (word,) for word in world.results}


def test_uploads_that_do_not_fit_their_headers_are_counted_for_the_client_that_they_name(make: Any) -> None:
    case = make()
    world = case.world
    own = world.submissions[3]
    altered = [replace(own, share=world.shifted(own.share, {place: 1})) for place in (0, 1)]
    (session,) = collect(world.manifest, [*case.said, *altered]).judged
    assert session.set_aside == {("Submission", "client 3"): 2}
    assert session.shares.keys() == {submission.header.hash() for submission in world.submissions.values()}


@pytest.mark.parametrize(
    ("kind", "empty"),
    [("Header", False), ("Vote", False), ("HubCommitment", False), ("HubSum", False), ("DeliveryReceipt", False),
     ("Announcement", False), ("Closing", True), ("Complaint", True)],
)  # fmt: skip
def test_a_session_is_empty_where_others_speak_of_it_and_nobody_in_it(make: Any, kind: str, empty: bool) -> None:
    case = make()
    world = case.world
    said = [*case.said, *as_receipts(world, case.said), resigned(world, Closing(world.sid, 2, VOID))]
    said.append(world.clients[2].complain(world.sid, 3))
    word = next(message for message in said if type(message).__name__ == kind)
    if kind == "DeliveryReceipt":  # without the signatures inside
        word = replace(word, results=())
    session = collect(world.manifest, [word]).sessions[world.sid]
    assert session.is_empty == empty


def test_an_unsigned_header_is_a_word_of_its_session_too(make: Any) -> None:
    world = make().world
    made_up = forged(world, world.submissions[3].header)
    assert not collect(world.manifest, [made_up]).sessions[world.sid].is_empty


def test_set_ups_come_by_label_in_whatever_order_the_record_has_them() -> None:
    world = RecordedWorld()
    world.set_up()
    for said in (world.said, world.said[::-1]):
        assert [setup.epoch for setup in collect(world.manifest, said).placed] == [1, 2]


def test_labels_with_few_combinations_of_keys_are_tried_first(make: Any) -> None:
    """So nobody can hide a set-up behind many keys under another label."""
    world = make().world
    many = [
        resigned(world, AggregatorKey(2, 1, number, bytes([mark]) * SEALING_PUBLIC_KEY_BYTES))
        for number in (1, 2, 3)
        for mark in (1, 2)
    ]
    with mock.patch.object(evidence, "_MOST_SETUPS", 1):
        found = collect(world.manifest, [*many, *world.offers, *world.announcements])
    assert found.unsearched
    assert [setup.id for setup in found.placed] == [world.setup]


def test_vectors_are_not_written_out_where_evidence_is(make: Any) -> None:
    case = make()
    (session,) = collect(case.world.manifest, case.said).judged
    assert session.sums
    assert session.opened
    assert "sums=" not in repr(session)
    assert "opened=" not in repr(session)


def test_a_request_of_the_hub_shows_where_a_session_belongs(make: Any) -> None:
    """An ending is signed for a session id alone; the request that it answers names set-up, round and state."""
    case = make()
    world = case.world
    base = [*world.offers, *world.votes]
    request = HubRequest(CLOSING, world.setup, world.round, world.state_id)
    assert collect(world.manifest, base).judged == []
    (session,) = collect(world.manifest, [*base, request]).judged
    assert (session.sid, session.round, session.announced_by) == (world.sid, 0, set())
    assert collect(world.manifest, [*base, replace(request, state_id=OTHER)]).judged == []
    assert collect(world.manifest, [*base, replace(request, action=BIND)]).judged == []
