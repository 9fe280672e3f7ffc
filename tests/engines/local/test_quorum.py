"""All aggregators take a step or none does; what they say is stored first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from privateyes.aggregation.states import Announced

from privateyes.aggregation.aggregator import Point
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Abort
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import FIRST_EPOCH, SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.quorum import Quorum
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import AbortError, MalformedError, RefusedError, RunDirectoryError

PLAN = SecurePlan(("a", "b"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 2), roster_min=2)
STATE = bytes(32)


@pytest.fixture(params=[1, 3])
def quorum(request: pytest.FixtureRequest, tmp_path: Path):
    parties = parties_from(PLAN, draw_identities(PLAN))
    set_up_epoch(parties, STATE, Wire(parties.manifest))
    store, crew = PartyStore(tmp_path / "store"), Crew(request.param)
    yield Quorum(parties, Wire(parties.manifest), store, RoleClock(crew.seconds), crew)
    store.close()
    crew.close()


def announce(own, memory):
    return own.announce(memory, FIRST_EPOCH, 4, STATE)


def test_all_steps_come_in_the_aggregators_order_and_are_remembered_once_they_are_stored(quorum) -> None:
    steps = quorum.take(Point.ROSTER, announce)
    assert [step.message.aggregator for step in steps] == [1, 2, 3]
    assert {memory.last_round for memory in quorum.parties.aggregator_memories.values()} == {-1}
    quorum.keep(steps, bytes(32), [{"agreed": b"word"}] * 3)
    assert {memory.last_round for memory in quorum.parties.aggregator_memories.values()} == {4}
    assert set(quorum.store.stages(bytes(32), "agreed")) == {f"aggregator {s}" for s in (1, 2, 3)}
    assert quorum.clock.seconds[Place.AGGREGATOR] > 0


def test_what_cannot_be_stored_is_not_remembered(quorum) -> None:
    steps = quorum.take(Point.ROSTER, announce)
    quorum.keep(steps, bytes(32), [{"agreed": b"word"}] * 3)
    again = quorum.take(Point.ROSTER, lambda own, memory: own.announce(memory, FIRST_EPOCH, 5, STATE))
    with pytest.raises(RunDirectoryError, match="past agreed"):
        quorum.keep(again, bytes(32), [{"agreed": b"another word"}] * 3)
    assert {memory.last_round for memory in quorum.parties.aggregator_memories.values()} == {4}


@pytest.mark.parametrize("error", [AbortError, RefusedError, MalformedError])
def test_if_some_stop_they_say_so_and_the_first_reason_is_raised_and_the_others_erase(quorum, error) -> None:
    quorum.keep(quorum.take(Point.ROSTER, lambda own, memory: own.announce(memory, FIRST_EPOCH, 3, STATE)), bytes(32))
    (sid,) = {memory.last_sid for memory in quorum.parties.aggregator_memories.values()}
    erased: list[bytes] = []

    class Watched(Announced):
        __slots__ = ()

        def erase(self) -> None:
            erased.append(self.sid)

    def some_stop(own, memory):
        if own.number > 1:
            raise error(f"aggregator {own.number} stops")
        step = announce(own, memory)
        return replace(step, state=Watched(step.state.sid))

    with pytest.raises(error, match="aggregator 2 stops"):
        quorum.take(Point.COMMIT, some_stop)
    notices = [Abort.from_bytes(data, quorum.parties.manifest) for _, data in quorum.wire.transcript]
    assert [(notice.sid, notice.aggregator, notice.step) for notice in notices] == [(sid, 2, 3), (sid, 3, 3)]
    assert len(erased) == 1
    stored = [AggregatorMemory.from_bytes(quorum.store.memory(f"aggregator {s}")) for s in (1, 2, 3)]
    assert [memory.stopped for memory in stored] == [False, True, True]
    assert stored == list(quorum.parties.aggregator_memories.values())
