"""All parties that are asked for a step take it or none does; what they say is stored first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from local_task import INITIAL, local_task
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Abort
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint, MessageLog
from privateyes.engines.local.network import (
    LocalNetwork,
    dump_training_state,
    load_training_state,
    trainers_of,
)
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.thread_team import ThreadTeam
from privateyes.errors import AbortError, MalformedError, RefusedError
from privateyes.parties.effects import Effects, Write
from privateyes.parties.hub import Named
from privateyes.parties.packets import HUB, Packet

PLAN = SecurePlan(("a", "b"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 2), roster_min=2)
STATE = bytes(32)


class Local:
    """The aggregators of a task whose hub asks by hand."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.parties, self.store = local_task(PLAN, folder)
        self.team = ThreadTeam(threads)
        self.message_log, self.clock = MessageLog(self.parties.manifest), RoleClock(self.team.seconds)
        trainers = trainers_of(self.parties, None, lambda before, _: before)
        self.network = LocalNetwork(self.parties, self.store, trainers, self.message_log, self.clock, self.team)
        self.setup = self.memories[1].current.id

    @property
    def memories(self) -> dict[int, AggregatorMemory]:
        return self.parties.aggregator_memories(self.store)

    def stored(self) -> list[AggregatorMemory]:
        return [AggregatorMemory.from_bytes(self.store.memory(f"aggregator {s}")) for s in (1, 2, 3)]

    def announce(self, round_number: int) -> tuple[Packet, ...]:
        """Asks the aggregators, and keeps back what the clients would be asked for."""
        effects = self.network.hub.announce(Named(self.setup, round_number, STATE), ["client 1"])
        return self.network.carry(effects, but=("submit", "observe"))

    def rounds(self) -> set[int]:
        return {-1 if memory.session is None else memory.session.round for memory in self.memories.values()}


@pytest.fixture(params=[1, 3])
def local(request: pytest.FixtureRequest, tmp_path: Path):
    made = Local(tmp_path / "store", request.param)
    yield made
    made.store.close()
    made.team.close()


def test_all_answers_come_in_the_aggregators_order_and_are_remembered_and_stored(local) -> None:
    assert local.rounds() == {-1}
    held = local.announce(4)
    assert [(packet.receiver, packet.step) for packet in held] == [("client 1", "submit"), ("client 2", "observe")]
    assert [message.aggregator for message in held[0].messages(local.parties.manifest)] == [1, 2, 3]
    assert local.rounds() == {4}
    assert local.stored() == list(local.memories.values())
    assert local.clock.seconds[Endpoint.AGGREGATOR] > 0


def test_what_cannot_be_stored_is_not_remembered_and_not_sent(local, monkeypatch) -> None:
    local.announce(4)
    said = len(local.message_log.transcript)
    views = {name: part.read() for name, part in local.network.stores.items()}
    local.announce(6)
    for name, part in local.network.stores.items():
        if name.startswith("aggregator"):
            monkeypatch.setattr(part, "read", lambda name=name: views[name])
    with pytest.raises(RefusedError, match="another handler wrote first"):
        local.announce(5)
    assert local.rounds() == {6}
    assert local.stored() == list(local.memories.values())
    assert [kind for kind, _ in local.message_log.transcript[said:]].count("Announcement") == 3, "of round 6 alone"


@pytest.mark.parametrize("error", [AbortError, RefusedError, MalformedError])
def test_if_some_cannot_take_a_step_the_first_reason_is_raised_and_nothing_changes(local, monkeypatch, error) -> None:
    local.announce(3)
    before, said = local.stored(), len(local.message_log.transcript)
    announce = Aggregator.announce

    def some_stop(self, memory, request):
        if self.number > 1:
            raise error(f"aggregator {self.number} stops")
        return announce(self, memory, request)

    monkeypatch.setattr(Aggregator, "announce", some_stop)
    with pytest.raises(error, match="aggregator 2 stops"):
        local.announce(5)
    assert local.stored() == before == list(local.memories.values())
    assert [kind for kind, _ in local.message_log.transcript[said:]] == ["HubRequest"]


def test_when_all_give_a_session_up_they_store_it_forget_their_shares_and_then_say_so(local) -> None:
    local.announce(3)
    (sid,) = {memory.session.sid for memory in local.memories.values()}
    part, slot = local.network.stores["aggregator 1"], local.parties.manifest.digest()
    share = np.zeros(3, np.uint32)
    part.write(part.read(), Write({("memory", slot): local.memories[1].next(), ("share", sid): share}))
    assert local.store.large(sid, "aggregator 1", "share") is not None
    local.network.carry(local.network.hub.give_up(Named(local.setup, 3, STATE)))
    assert local.store.large(sid, "aggregator 1", "share") is None
    notices = [
        Abort.from_bytes(data, local.parties.manifest) for kind, data in local.message_log.transcript if kind == "Abort"
    ]
    assert [(notice.sid, notice.aggregator, notice.step) for notice in notices] == [(sid, s, 2) for s in (1, 2, 3)]
    assert all(memory.session.given_up for memory in local.stored())
    assert local.stored() == list(local.memories.values())


def test_where_words_are_asked_for_once_more_one_answer_fewer_is_no_error(local) -> None:
    packets = tuple(Packet(HUB, f"client {i}", "resend", (bytes(32),)) for i in (1, 2))
    assert local.network.carry(Effects(packets=packets)) == ()
    assert {(name, step) for name, step in local.network.failures} == {("client 1", "resend"), ("client 2", "resend")}
    with pytest.raises(RefusedError, match="signed no result of that session"):
        local.network.carry(Effects(packets=(Packet(HUB, "aggregator 1", "finish", ()),)))


def test_of_two_requests_to_one_party_the_second_sees_what_the_first_stored(local) -> None:
    requests = [local.network.hub.announce(Named(local.setup, number, STATE), []).packets[0] for number in (3, 4)]
    local.network.carry(Effects(packets=tuple(requests)), but=("submit", "observe"))
    assert local.memories[1].session.round == 4
    assert local.memories[2].session is None


def test_a_clients_model_is_what_the_protocol_knows_of_a_state() -> None:
    assert load_training_state(dump_training_state(INITIAL)) == INITIAL
    with pytest.raises(MalformedError, match="no training state"):
        load_training_state(dump_training_state(INITIAL)[:-1])
