"""Statements are kept by signer, in order; only parties of the manifest have a key to be held against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audit_records import resigned
from privateyes.aggregation.audit.statements import Statements, is_signed, signer_of
from privateyes.aggregation.messages import Header, Vote


def test_statements_come_by_signer_in_whatever_order_they_were_added(make: Any) -> None:
    world = make().world
    votes = {vote.aggregator: vote for vote in world.votes}
    statements = Statements()
    for number in (3, 1, 2):
        statements.add(votes[number], number, world.sid)
    again = resigned(world, votes[2], entries=votes[2].entries[:-1])
    statements.add(again, 2, world.sid)
    statements.add(again, 2, world.sid)
    assert list(statements.of(Vote)) == [1, 2, 3]
    assert statements.all_of(Vote) == (votes[1], votes[2], again, votes[3])
    assert list(statements.single(Vote)) == [1, 3]
    assert statements.count == 4


def test_a_party_that_the_manifest_does_not_name_has_no_key(make: Any) -> None:
    """Python would take number 0 for the last party."""
    world = make().world
    n, m = len(world.manifest.aggregators), len(world.manifest.clients)
    vote, header = world.votes[0], world.submissions[1].header
    for message, field, last in ((vote, "aggregator", n), (header, "client", m)):
        assert isinstance(message, Vote | Header)
        keys = world.aggregator_keys if message is vote else world.client_keys
        for number in (1, last):
            known = resigned(world, message, **{field: number})
            assert signer_of(world.manifest, known)[1:] == (f"{field} {number}", keys[number].public_bytes)
            assert is_signed(world.manifest, known, world.sid)
        for number in (0, last + 1):
            unknown = replace(message, **{field: number}).signed_by(keys[last], world.sid)
            assert signer_of(world.manifest, unknown) == (number, "a party that the manifest does not name", None)
            assert not is_signed(world.manifest, unknown, world.sid)
