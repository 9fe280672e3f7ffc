"""All aggregators of a local run taking the same step: side by side where threads pay off, each word stored before it
is sent, and together at an end when one of them stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, TypeVar

from privateyes.aggregation.aggregator import Aggregator, Point
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Signed
from privateyes.aggregation.states import State, Step
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import LocalParties, aggregator_name
from privateyes.engines.local.stages import Store
from privateyes.engines.local.store import LargeBody
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import MalformedError, ProtocolError

M = TypeVar("M", bound=Signed)
S = TypeVar("S", bound=State)
R = TypeVar("R")

Transition: TypeAlias = Callable[[Aggregator, AggregatorMemory], Step[S, M]]
"""What one aggregator does in a step, with what it remembers then."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """The aggregators of one session; the attributes are as for ``Session``."""

    parties: LocalParties
    wire: Wire
    store: Store
    clock: RoleClock
    crew: Crew

    def by_number(self, values: Sequence[R]) -> dict[int, R]:
        """Values that stand in the aggregators' order, by aggregator."""
        return {own.number: value for own, value in zip(self.parties.aggregators, values, strict=True)}

    def memory_of(self, own: Aggregator) -> AggregatorMemory:
        """What it remembers now."""
        return self.parties.aggregator_memories[own.number]

    def take(self, point: Point, transition: Transition[S, M]) -> list[Step[S, M]]:
        """Every aggregator's transition, in their order. If one stops, all erase what they hold, and it says so.

        Raises:
            ProtocolError, MalformedError: of the first that stopped. Nothing was stored of anyone's step.
        """

        def attempt(own: Aggregator) -> Step[S, M] | ProtocolError | MalformedError:
            try:
                with self.clock.work_of(Place.AGGREGATOR):
                    return transition(own, self.memory_of(own))
            except (ProtocolError, MalformedError) as error:
                return error

        outcomes = self.crew.run(attempt, self.parties.aggregators)
        steps = [outcome for outcome in outcomes if isinstance(outcome, Step)]
        if len(steps) < len(outcomes):
            for step in steps:
                step.state.erase()
            self._stop(point, self.by_number(outcomes))
        return steps

    def _stop(self, point: Point, outcomes: Mapping[int, Step[S, M] | ProtocolError | MalformedError]) -> NoReturn:
        """Those that stopped store that they did and forget their share; then they say so; then raise why."""
        failed = [own for own in self.parties.aggregators if not isinstance(outcomes[own.number], Step)]
        stopped = {own.number: own.stop(self.memory_of(own), point) for own in failed}
        with self.store.transaction():
            for number, end in stopped.items():
                self.store.clear_stages_of(aggregator_name(number))
                self.store.put_memory(aggregator_name(number), end.memory.to_bytes())
        self.parties.aggregator_memories.update({number: end.memory for number, end in stopped.items()})
        self.store.fold_journal()
        for end in stopped.values():
            notice = self.send(end.message)
            self.wire.carry(notice, Place.HUB, Place.CLIENT, copies=len(self.parties.clients))
        raise next(error for error in outcomes.values() if not isinstance(error, Step))

    def keep(
        self,
        steps: Sequence[Step[S, M]],
        sid: bytes,
        stages: Sequence[Mapping[str, bytes]] = (),
        large: Sequence[LargeBody] = (),
    ) -> None:
        """Store every aggregator's word and memory; in one process, in one transaction.

        Args:
            steps: in the aggregators' order.
            stages: for each aggregator, stage -> body; or none at all.
            large: bodies that are on disk already, of anyone.

        Raises:
            RunDirectoryError: they cannot be stored, so nothing of it may be sent.
        """
        with self.store.transaction():
            self.put_memories(steps)
            for own, bodies in zip(self.parties.aggregators if stages else (), stages, strict=True):
                for stage, body in bodies.items():
                    self.store.put_stage(sid, aggregator_name(own.number), stage, body)
            for stored in large:
                self.store.put_large(sid, stored)
        self.take_memories(steps)

    def send(self, message: M) -> M:
        """Send an aggregator's word to the others; what they receive."""
        self.wire.record(message)
        return self.forward(message)

    def forward(self, message: M) -> M:
        """As ``send``, for a message that is recorded already."""
        others = len(self.parties.aggregators) - 1
        return self.wire.forward(message, Place.AGGREGATOR, Place.AGGREGATOR, others)

    def put_memories(self, steps: Sequence[Step[S, M]]) -> None:
        """Store what each remembers after its step; inside a transaction."""
        for own, step in zip(self.parties.aggregators, steps, strict=True):
            if step.memory is not None:
                self.store.put_memory(aggregator_name(own.number), step.memory.to_bytes())

    def take_memories(self, steps: Sequence[Step[S, M]]) -> None:
        """Go on with what is stored now."""
        for own, step in zip(self.parties.aggregators, steps, strict=True):
            if step.memory is not None:
                self.parties.aggregator_memories[own.number] = step.memory
