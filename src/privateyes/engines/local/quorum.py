"""All aggregators of a local run taking the same step: side by side where threads pay off, each word stored before it
is sent. If one of them cannot take the step, nobody's word counts, and the session is given up by all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import GIVE_UP, HubRequest, Message
from privateyes.aggregation.steps import Step
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import LocalParties, aggregator_name
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import MalformedError, ProtocolError
from privateyes.storage.store import LargeBody, PartyStore

M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=Step[Any])
R = TypeVar("R")

Transition: TypeAlias = Callable[[Aggregator, AggregatorMemory], S]
"""What one aggregator does in a step, with what it remembers then."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """The aggregators of one session; the attributes are as for ``Session``."""

    parties: LocalParties
    wire: Wire
    store: PartyStore
    clock: RoleClock
    crew: Crew

    def by_number(self, values: Sequence[R]) -> dict[int, R]:
        """Values that stand in the aggregators' order, by aggregator."""
        return {own.number: value for own, value in zip(self.parties.aggregators, values, strict=True)}

    def memory_of(self, own: Aggregator) -> AggregatorMemory:
        """What it remembers now."""
        return self.parties.aggregator_memories[own.number]

    def take(self, transition: Transition[S]) -> list[S]:
        """Every aggregator's transition, in their order.

        Raises:
            ProtocolError, MalformedError: of the first that could not. Nothing was stored of anyone's step.
        """

        def attempt(own: Aggregator) -> S | ProtocolError | MalformedError:
            try:
                with self.clock.work_of(Place.AGGREGATOR):
                    return transition(own, self.memory_of(own))
            except (ProtocolError, MalformedError) as error:
                return error

        outcomes = self.crew.run(attempt, self.parties.aggregators)
        errors = [outcome for outcome in outcomes if isinstance(outcome, ProtocolError | MalformedError)]
        if errors:
            raise errors[0]
        return [outcome for outcome in outcomes if isinstance(outcome, Step)]

    def give_up(self, setup: bytes, round_number: int, state_id: bytes) -> None:
        """All give the last session up: they store that they did and forget their share, and then say so.

        Raises:
            RefusedError: an aggregator opened it.
        """
        request = HubRequest(GIVE_UP, setup, round_number, state_id).signed_by(self.parties.hub, setup)
        request = self.wire.tell(request, Place.HUB, Place.AGGREGATOR, copies=len(self.parties.aggregators))
        steps = self.take(lambda own, memory: own.give_up(memory, request))
        unfinished = {sid for memory in self.parties.aggregator_memories.values() for sid in memory.unfinished}
        with self.store.transaction():
            aggregators = [aggregator_name(own.number) for own in self.parties.aggregators]
            self.store.clear_stages_of(aggregators, but=unfinished)
            self.put_memories(steps)
        self.take_memories(steps)
        self.store.fold_journal()
        for step in steps:
            notice = self.send(step.message)
            self.wire.carry(notice, Place.HUB, Place.CLIENT, copies=len(self.parties.clients))

    def keep(self, steps: Sequence[Step[Any]], large: Sequence[LargeBody] = ()) -> None:
        """Store every aggregator's word and memory; in one process, in one transaction.

        Args:
            steps: in the aggregators' order.
            large: bodies that are on disk already, of anyone.

        Raises:
            RunDirectoryError: they cannot be stored, so nothing of it may be sent.
        """
        with self.store.transaction():
            self.put_memories(steps)
            for stored in large:
                self.store.put_large(stored)
        self.take_memories(steps)

    def send(self, message: M) -> M:
        """Send an aggregator's word to the others; what they receive."""
        self.wire.record(message)
        return self.forward(message)

    def forward(self, message: M) -> M:
        """As ``send``, for a message that is recorded already."""
        others = len(self.parties.aggregators) - 1
        return self.wire.forward(message, Place.AGGREGATOR, Place.AGGREGATOR, others)

    def put_memories(self, steps: Sequence[Step[Any]]) -> None:
        """Store what each remembers after its step; inside a transaction."""
        for own, step in zip(self.parties.aggregators, steps, strict=True):
            if step.memory is not None:
                self.store.put_memory(aggregator_name(own.number), step.memory.to_bytes(), step.memory.version)

    def take_memories(self, steps: Sequence[Step[Any]]) -> None:
        """Go on with what is stored now."""
        for own, step in zip(self.parties.aggregators, steps, strict=True):
            if step.memory is not None:
                self.parties.aggregator_memories[own.number] = step.memory
