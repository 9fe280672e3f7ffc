"""Reading messages, and what makes a message count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit_records import OTHER, as_receipts
from privateyes.aggregation.audit.evidence import MESSAGE_TYPES, collect, read_message
from privateyes.aggregation.messages import BIND, CLOSING, HubRequest, Message
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
    both = collect(manifest, [*as_receipts(case.world, case.said), *case.said])
    assert both.verified == once.verified


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
