"""The message log counts bytes on every path, once to each receiver, and records what can be shown later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from privateyes.aggregation.messages import Delivery, DeliveryReceipt, HubSum, Opening
from privateyes.engines.local.message_log import Endpoint, MessageLog, size_bytes
from privateyes.errors import RunDirectoryError
from privateyes.parties.packets import HUB, Packet


@pytest.fixture(params=["sealed", "public"])
def world(request: pytest.FixtureRequest, make_world: Callable[..., Any]) -> Any:
    made = make_world(mode=request.param)
    made.run()
    return made


def test_a_word_that_the_hub_passes_on_goes_two_hops_and_every_receiver_counts(world: Any) -> None:
    message_log, vote = MessageLog(world.manifest), world.votes[0]
    answer = Packet("aggregator 1", HUB, "vote", (vote,))
    assert message_log.carry(answer) == answer
    for receiver in ("client 1", "client 2", "client 3"):
        message_log.carry(Packet(HUB, receiver, "commit", (vote,)))
    size = len(vote.to_bytes())
    assert message_log.bytes_between(Endpoint.AGGREGATOR, Endpoint.HUB) == size
    assert message_log.bytes_between(Endpoint.HUB, Endpoint.CLIENT) == 3 * size
    assert message_log.transcript == [("Vote", vote.to_bytes())]
    assert [(row["from"], row["to"], row["messages"], row["bytes"]) for row in message_log.table()] == [
        ("aggregator", "hub", 1, size),
        ("hub", "client", 3, 3 * size),
    ]


def test_nobody_is_sent_a_message_twice_and_no_aggregator_its_own(world: Any) -> None:
    message_log, header = MessageLog(world.manifest), world.submissions[1].header
    for step in ("vote", "commit"):
        message_log.carry(Packet(HUB, "aggregator 1", step, (world.sid, header)))
    message_log.carry(Packet(HUB, "aggregator 1", "agree", tuple(world.commitments)))
    message_log.carry(Packet(HUB, "aggregator 1", "certify", tuple(world.openings)))
    counts = {(row["message"], row["messages"]) for row in message_log.table()}
    others = world.n - 1
    assert counts == {("Header", 1), ("RosterCommitment", others), ("Opening", others)}
    assert message_log.transcript == [("Header", header.to_bytes())]


def test_a_submission_is_counted_and_not_recorded_and_its_header_is_when_it_is_passed_on(world: Any) -> None:
    message_log, submission = MessageLog(world.manifest), world.submissions[1]
    message_log.carry(Packet("client 1", HUB, "submit", (submission,)))
    assert message_log.bytes_between(Endpoint.CLIENT, Endpoint.HUB) == len(submission.to_bytes())
    assert message_log.transcript == []


def test_what_was_said_before_is_not_recorded_once_more(world: Any) -> None:
    message_log = MessageLog(world.manifest)
    message_log.carry(Packet("aggregator 1", HUB, "words", (world.votes[0],)))
    assert message_log.transcript == []
    assert message_log.bytes_between(Endpoint.AGGREGATOR, Endpoint.HUB) > 0


def test_the_roster_that_is_sent_again_is_recorded_when_the_aggregators_see_it(world: Any) -> None:
    message_log, origin = MessageLog(world.manifest), world.origin
    for receiver, recorded in (("client 1", 0), ("aggregator 1", 1), ("aggregator 2", 1)):
        message_log.carry(Packet(HUB, receiver, "vote", (world.sid, origin)))
        assert len(message_log.transcript) == recorded


def test_sizes_are_those_of_the_bytes(world: Any) -> None:
    for message in (world.votes[0], world.submissions[1], world.openings[0], world.total, world.delivery):
        assert size_bytes(message) == len(message.to_bytes())


def test_of_messages_with_a_vector_the_receipt_is_recorded_and_a_public_delivery_whole(world: Any) -> None:
    message_log = MessageLog(world.manifest)
    for message in (world.openings[0], world.total, world.delivery):
        message_log.record(message)
    kinds = [kind for kind, _ in message_log.transcript]
    last = "DeliveryReceipt" if world.manifest.sealed else "Delivery"
    assert kinds == ["OpeningReceipt", "HubSumReceipt", last]
    data = message_log.transcript[-1][1]
    if world.manifest.sealed:
        assert DeliveryReceipt.from_bytes(data, world.manifest) == world.delivery.receipt(world.manifest.bulk_hash)
    else:
        assert Delivery.from_bytes(data, world.manifest).share.tobytes() == world.delivery.share.tobytes()
    assert not {Opening.__name__, HubSum.__name__} & set(kinds)


def test_what_cannot_be_recorded_does_not_go_out_and_is_recorded_when_it_does(world: Any) -> None:
    full = True

    def keep(kind: str, data: bytes) -> None:
        if full:
            raise RunDirectoryError("the disk is full")

    message_log, packet = MessageLog(world.manifest, keep), Packet("aggregator 1", HUB, "vote", (world.votes[0],))
    with pytest.raises(RunDirectoryError):
        message_log.carry(packet)
    assert not message_log.traffic
    full = False
    message_log.carry(packet)
    assert message_log.transcript[-1] == ("Vote", world.votes[0].to_bytes())
