"""The wire counts bytes on every path, parses strictly, and records what can be shown later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from privateyes.aggregation.messages import Delivery, DeliveryReceipt, HubSum, Opening, Vote
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import MalformedError, RunDirectoryError


@pytest.fixture(params=["sealed", "public"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., Any]) -> Any:
    made = make_world(mode=request.param)
    made.run()
    return made


def test_a_relayed_message_goes_two_hops_and_every_copy_counts(world: Any) -> None:
    wire = Wire(world.manifest)
    received = wire.relay(world.votes[0], Place.AGGREGATOR, Place.CLIENT, copies=3)
    size = len(world.votes[0].to_bytes())
    assert received == world.votes[0]
    assert wire.bytes_between(Place.AGGREGATOR, Place.HUB) == size
    assert wire.bytes_between(Place.HUB, Place.CLIENT) == 3 * size
    assert wire.transcript == [("Vote", world.votes[0].to_bytes())]
    assert [(row["from"], row["to"], row["messages"], row["bytes"]) for row in wire.table()] == [
        ("aggregator", "hub", 1, size),
        ("hub", "client", 3, 3 * size),
    ]


def test_a_carried_message_is_parsed_and_not_recorded(world: Any) -> None:
    wire = Wire(world.manifest)
    submission = world.submissions[1]
    received = wire.carry(submission, Place.CLIENT, Place.HUB)
    assert received is not submission
    assert received.header == submission.header
    assert received.share.tobytes() == submission.share.tobytes()
    assert wire.transcript == []


def test_of_messages_with_a_vector_the_receipt_is_recorded_and_a_public_delivery_whole(world: Any) -> None:
    wire = Wire(world.manifest)
    for message in (world.openings[0], world.total, world.delivery):
        wire.record(message)
    kinds = [kind for kind, _ in wire.transcript]
    last = "DeliveryReceipt" if world.manifest.sealed else "Delivery"
    assert kinds == ["OpeningReceipt", "HubSumReceipt", last]
    data = wire.transcript[-1][1]
    if world.manifest.sealed:
        assert DeliveryReceipt.from_bytes(data, world.manifest) == world.delivery.receipt(world.manifest.bulk_hash)
    else:
        assert Delivery.from_bytes(data, world.manifest).share.tobytes() == world.delivery.share.tobytes()
    assert not {Opening.__name__, HubSum.__name__} & set(kinds)


def test_what_cannot_be_recorded_does_not_go_out(world: Any) -> None:
    def full(kind: str, data: bytes) -> None:
        raise RunDirectoryError("the disk is full")

    wire = Wire(world.manifest, full)
    with pytest.raises(RunDirectoryError):
        wire.relay(world.votes[0], Place.AGGREGATOR, Place.AGGREGATOR)
    assert not wire.traffic


def test_what_the_receiver_cannot_parse_is_an_error(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vote, "to_bytes", lambda self: b"\x08")
    with pytest.raises(MalformedError):
        Wire(world.manifest).carry(world.votes[0], Place.HUB, Place.CLIENT)
