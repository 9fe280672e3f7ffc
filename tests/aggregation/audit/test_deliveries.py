"""The deliveries of a record, each held against what every client holds it against."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from audit_records import OTHER, preimage
from privateyes.aggregation.audit import deliveries
from privateyes.aggregation.audit.deliveries import look_at_deliveries
from privateyes.aggregation.audit.evidence import SessionEvidence
from privateyes.aggregation.messages import DeliveryReceipt
from privateyes.aggregation.result import Check


def session_with(world: Any, *receipts: DeliveryReceipt) -> SessionEvidence:
    return SessionEvidence(world.sid, deliveries=dict.fromkeys(receipts))


def test_who_is_listed_is_told_of_every_legal_roster_whoever_signed_its_result(make: Any) -> None:
    world = make().world
    right = preimage(world)
    smaller = preimage(world, roster=world.entries[1:], group_check=OTHER)
    illegal = preimage(world, roster=world.entries[:1])
    found = look_at_deliveries(world.manifest, session_with(world, illegal, smaller, right))
    checks = {receipt: None if fault is None else fault.check for receipt, fault in found.faults.items()}
    assert checks == {illegal: Check.ROSTER, smaller: Check.SIGNATURES, right: None}
    assert list(found.certified.values()) == [right]
    assert found.group_checks == {right.group_check, OTHER}
    assert found.with_legal_roster == 2
    assert found.listed == {
        client: Counter({value: 1 if client == 1 else 2}) for client, value in world.entries
    }  # fmt: skip


@pytest.mark.parametrize("full", [0, 1])
def test_of_one_result_the_delivery_that_has_its_vector_is_looked_at(make: Any, full: int) -> None:
    """A corrupt aggregator can sign a result in many ways, each of which verifies."""
    world = make().world
    receipts = [preimage(world), preimage(world, results=world.delivery.results[::-1])]
    session = replace(session_with(world, *receipts), full={receipts[full]: world.delivery})
    with mock.patch.object(deliveries, "_fault_of", return_value=None):
        found = look_at_deliveries(world.manifest, session)
    assert list(found.certified.values()) == [receipts[full]]
