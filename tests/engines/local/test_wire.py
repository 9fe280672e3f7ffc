"""The wire carries bytes, counts them, and keeps what was signed."""

from __future__ import annotations

import pytest

from privateyes.aggregation.messages import HubCommitment, Message, Vote
from privateyes.engines.local.wire import Place, Traffic, TrafficKey, Wire


@pytest.fixture
def wire(make_world):
    return Wire(make_world(n=2, m=2).manifest)


def test_what_arrives_was_parsed_from_bytes(wire) -> None:
    sent = Vote(bytes(32), 1, ((1, bytes(32)),))
    received = wire.carry(sent, Place.AGGREGATOR, Place.HUB)
    assert received == sent
    assert received is not sent


def test_every_copy_on_every_path_is_counted(wire) -> None:
    message = HubCommitment(bytes(32), bytes(32))
    wire.carry(message, Place.HUB, Place.AGGREGATOR, copies=3)
    wire.carry(message, Place.HUB, Place.CLIENT)
    assert wire.bytes_between(Place.HUB, Place.AGGREGATOR) == 3 * 65
    assert wire.bytes_between(Place.HUB, Place.CLIENT) == 65
    assert wire.traffic[TrafficKey("HubCommitment", Place.HUB, Place.AGGREGATOR)] == Traffic(3, 195)
    assert {row["bytes"] for row in wire.table()} == {195, 65}


def test_a_relayed_message_goes_up_once_and_down_to_each_receiver(wire) -> None:
    size = len(Vote(bytes(32), 1, ()).to_bytes())
    wire.relay(Vote(bytes(32), 1, ()), Place.AGGREGATOR, Place.AGGREGATOR, copies=2)
    assert wire.bytes_between(Place.AGGREGATOR, Place.HUB) == size
    assert wire.bytes_between(Place.HUB, Place.AGGREGATOR) == 2 * size
    assert [kind for kind, _ in wire.transcript] == ["Vote"]


def test_the_transcript_holds_no_vectors(make_world) -> None:
    world = make_world(n=2, m=2)
    world.run()
    wire = Wire(world.manifest)
    for message in (*world.openings, *world.votes, *world.results):
        wire.relay(message, Place.AGGREGATOR, Place.AGGREGATOR)
    assert [kind for kind, _ in wire.transcript] == ["Vote", "Vote", "ResultSignature", "ResultSignature"]
    assert all(isinstance(message, Message) for message in world.openings)
