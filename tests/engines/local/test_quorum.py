"""All aggregators take a step or none does; what they say is stored first."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_task import local_task
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import ANNOUNCE, Abort, HubRequest
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.quorum import Quorum
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import AbortError, MalformedError, RefusedError

PLAN = SecurePlan(("a", "b"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 2), roster_min=2)
STATE = bytes(32)


@pytest.fixture(params=[1, 3])
def quorum(request: pytest.FixtureRequest, tmp_path: Path):
    parties, store = local_task(PLAN, tmp_path / "store")
    crew = Crew(request.param)
    yield Quorum(parties, Wire(parties.manifest), store, RoleClock(crew.seconds), crew)
    store.close()
    crew.close()


def _announce(quorum, round_number: int):
    setup = quorum.parties.aggregator_memories[1].current.id
    request = HubRequest(ANNOUNCE, setup, round_number, STATE).signed_by(quorum.parties.hub, setup)
    return quorum.take(lambda own, memory: own.announce(memory, request))


def _rounds(quorum) -> set[int]:
    memories = quorum.parties.aggregator_memories.values()
    return {-1 if memory.session is None else memory.session.round for memory in memories}


def test_all_steps_come_in_the_aggregators_order_and_are_remembered_once_they_are_stored(quorum) -> None:
    steps = _announce(quorum, 4)
    assert [step.message.aggregator for step in steps] == [1, 2, 3]
    assert _rounds(quorum) == {-1}
    quorum.keep(steps)
    assert _rounds(quorum) == {4}
    stored = [AggregatorMemory.from_bytes(quorum.store.memory(f"aggregator {s}")) for s in (1, 2, 3)]
    assert stored == list(quorum.parties.aggregator_memories.values())
    assert quorum.clock.seconds[Place.AGGREGATOR] > 0


def test_what_cannot_be_stored_is_not_remembered(quorum) -> None:
    quorum.keep(_announce(quorum, 4))
    stale, following = _announce(quorum, 5), _announce(quorum, 6)
    quorum.keep(following)
    with pytest.raises(RefusedError, match="another handler wrote first"):
        quorum.keep(stale)
    assert _rounds(quorum) == {6}


@pytest.mark.parametrize("error", [AbortError, RefusedError, MalformedError])
def test_if_some_cannot_take_a_step_the_first_reason_is_raised_and_nothing_changes(quorum, error) -> None:
    quorum.keep(_announce(quorum, 3))
    before = dict(quorum.parties.aggregator_memories)

    def some_stop(own, memory):
        if own.number > 1:
            raise error(f"aggregator {own.number} stops")
        return own.vote(memory, memory.session.sid, [])

    with pytest.raises(error, match="aggregator 2 stops"):
        quorum.take(some_stop)
    assert quorum.parties.aggregator_memories == before
    assert not quorum.wire.transcript


def test_when_all_give_a_session_up_they_store_it_forget_their_shares_and_then_say_so(quorum) -> None:
    quorum.keep(_announce(quorum, 3))
    (sid,) = {memory.session.sid for memory in quorum.parties.aggregator_memories.values()}
    body = quorum.store.write_large(sid, {("aggregator 1", "share"): [b"secret"]})
    quorum.store.put_large(body[0])
    record = quorum.parties.aggregator_memories[1].session
    quorum.give_up(record.setup, record.round, record.state_id)
    assert quorum.store.large(sid, "aggregator 1", "share") is None
    notices = [
        Abort.from_bytes(data, quorum.parties.manifest) for kind, data in quorum.wire.transcript if kind == "Abort"
    ]
    assert [(notice.sid, notice.aggregator, notice.step) for notice in notices] == [(sid, s, 2) for s in (1, 2, 3)]
    stored = [AggregatorMemory.from_bytes(quorum.store.memory(f"aggregator {s}")) for s in (1, 2, 3)]
    assert all(memory.session.given_up for memory in stored)
    assert stored == list(quorum.parties.aggregator_memories.values())
