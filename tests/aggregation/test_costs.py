"""The byte formulas equal what crosses the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from local_task import local_parties, set_up_in
from privateyes.aggregation.costs import message_delays, messages_in_turn, round_costs, setup_costs
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint, MessageLog
from privateyes.engines.local.network import Give
from privateyes.engines.local.parties import LocalParties, SecurePlan
from privateyes.engines.local.session import Session
from privateyes.parties.packets import HUB
from privateyes.storage.store import PartyStore
from taking_part import giving

NAMES = ("a", "b", "c", "d")


class Task:
    """Parties of a local task whose every byte is counted."""

    def __init__(
        self, folder: Path, field: Field, aggregators: int, mode: str = "sealed", dimension: int = 100
    ) -> None:
        encoding = FixedPoint(field, 1.0, 10, 5, 4)
        plan = SecurePlan(NAMES, dimension, aggregators, encoding, roster_min=3, mode=mode)
        self.parties: LocalParties = local_parties(plan)
        self.manifest, self.store = self.parties.manifest, PartyStore.create(folder)
        self.setting_up = MessageLog(self.manifest)
        set_up_in(self.store, self.parties, self.setting_up)

    def session(self) -> tuple[Session, MessageLog]:
        message_log = MessageLog(self.manifest)
        return Session(self.parties, message_log, self.store, RoleClock()), message_log


def _inputs(count: int) -> Mapping[int, Give]:
    return {i: giving(np.full(100, 0.1, np.float32), 2, bytes(32)) for i in range(1, count + 1)}


def _sum_of(message_log: MessageLog, sender: Endpoint, receiver: Endpoint, *messages: str) -> int:
    return sum(
        entry.bytes
        for key, entry in message_log.traffic.items()
        if (key.sender, key.receiver) == (sender, receiver) and key.message in messages
    )


@pytest.mark.parametrize("field", [COMPACT, WIDE], ids=lambda field: field.name)
@pytest.mark.parametrize(("aggregators", "submitting"), [(2, 4), (3, 4), (5, 3)])
@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_the_formulas_of_a_round_equal_the_counted_traffic(
    field: Field, aggregators: int, submitting: int, mode: str, tmp_path: Path
) -> None:
    task = Task(tmp_path, field, aggregators, mode)
    session, message_log = task.session()
    session.run(0, _inputs(submitting))
    task.store.close()

    costs = round_costs(task.manifest, submitted=submitting, roster=submitting)

    assert message_log.bytes_between(Endpoint.CLIENT, Endpoint.HUB) == submitting * costs.client_up + costs.disclosure
    assert (
        message_log.bytes_between(Endpoint.HUB, Endpoint.CLIENT)
        == len(NAMES) * costs.client_down + (len(NAMES) - 1) * costs.disclosure
    )
    assert message_log.bytes_between(Endpoint.AGGREGATOR, Endpoint.HUB) == aggregators * costs.aggregator_up
    assert message_log.bytes_between(Endpoint.HUB, Endpoint.AGGREGATOR) == aggregators * costs.aggregator_down

    # In the order of first use: what goes along with another message costs no delay of its own.
    along = {
        ("HubCommitment", Endpoint.AGGREGATOR),
        ("HubSum", Endpoint.AGGREGATOR),
        ("ResultSignature", Endpoint.AGGREGATOR),
    }
    hops = [key.message for key in message_log.traffic if (key.message, key.receiver) not in along]
    assert hops == [message for message, count in messages_in_turn(task.manifest) for _ in range(count)]
    assert message_delays(task.manifest) == len(hops) == (15 if mode == "sealed" else 17)


@pytest.mark.parametrize("aggregators", [2, 3, 5])
def test_the_formulas_of_a_set_up_equal_the_counted_traffic(aggregators: int, tmp_path: Path) -> None:
    task = Task(tmp_path, COMPACT, aggregators)
    task.store.close()
    message_log, m = task.setting_up, len(NAMES)
    costs = setup_costs(task.manifest, clients=m)

    assert message_log.bytes_between(Endpoint.AGGREGATOR, Endpoint.HUB) == aggregators * costs.aggregator_up
    assert message_log.bytes_between(Endpoint.CLIENT, Endpoint.HUB) == m * costs.client_up + costs.leader_up
    # The offers go from the hub to everybody else; the message log counts all of their copies as going to clients.
    down = message_log.bytes_between(Endpoint.HUB, Endpoint.CLIENT) + message_log.bytes_between(
        Endpoint.HUB, Endpoint.AGGREGATOR
    )
    assert down == m * costs.client_down + costs.leader_down + aggregators * costs.aggregator_down
    bind = _sum_of(message_log, Endpoint.HUB, Endpoint.AGGREGATOR, "HubRequest", "SealedStreamKey")
    offers = (aggregators - 1) * costs.aggregator_up
    assert bind == aggregators * (costs.aggregator_down - offers)


def test_the_formulas_of_updates_that_are_sent_again_equal_the_counted_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first session's result is altered on the way, so that every client refuses it."""
    task, n = Task(tmp_path, COMPACT, 3), 3
    session, message_log = task.session()
    carry = MessageLog.carry

    def altered(self, packet):
        arrived = carry(self, packet)
        if packet.step != "check" or packet.sender != HUB:
            return arrived
        (message,) = packet.parts
        share = np.array(message.share)
        share[0] ^= 1
        return replace(arrived, parts=(replace(message, share=share),))

    monkeypatch.setattr(MessageLog, "carry", altered)
    refused = session.run(0, _inputs(3))
    monkeypatch.undo()
    assert len(refused.refusals) == len(NAMES)

    session, message_log = task.session()
    result = session.run_again(1, refused.sid)
    task.store.close()
    assert sorted(result.averages) == [1, 2, 3, 4]
    costs = round_costs(task.manifest, submitted=3, roster=3)
    besides = {
        (Endpoint.HUB, Endpoint.CLIENT): 3 * costs.again_client_down,
        (Endpoint.HUB, Endpoint.AGGREGATOR): n * costs.again_aggregator_down,
    }
    # Aggregators were shown the others' results of the first session, and asked how it ended, too.
    finishing = _sum_of(message_log, Endpoint.HUB, Endpoint.AGGREGATOR, "ResultSignature") // 2
    closings = {path: _sum_of(message_log, *path, "Closing") for path in besides}
    asked = _sum_of(message_log, Endpoint.HUB, Endpoint.AGGREGATOR, "HubRequest") // 2
    down = len(NAMES) * costs.client_down + besides[Endpoint.HUB, Endpoint.CLIENT]
    assert message_log.bytes_between(Endpoint.HUB, Endpoint.CLIENT) - closings[Endpoint.HUB, Endpoint.CLIENT] == down
    down = n * costs.aggregator_down + besides[Endpoint.HUB, Endpoint.AGGREGATOR]
    assert message_log.bytes_between(Endpoint.HUB, Endpoint.AGGREGATOR) - asked - finishing == down
    assert message_log.bytes_between(Endpoint.CLIENT, Endpoint.HUB) == 3 * costs.client_up


@pytest.mark.parametrize("aggregators", [2, 7])
def test_the_number_of_vectors_depends_on_the_aggregators_and_not_on_the_clients(tmp_path: Path, aggregators) -> None:
    manifests = [Task(tmp_path / str(d), WIDE, aggregators, dimension=d).manifest for d in (100, 101)]
    for count in (3, 4):
        short, long = (round_costs(manifest, submitted=count, roster=count) for manifest in manifests)
        word = WIDE.element_bytes
        assert long.client_up - short.client_up == long.client_down - short.client_down == word
        assert long.aggregator_up - short.aggregator_up == word
        assert long.aggregator_down - short.aggregator_down == aggregators * word
        assert long.again_client_down == short.again_client_down
